"""`armarius sessions show`, `tail` and `export`, as somebody types them."""

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.terminal import Terminal

DATA = Path(__file__).parents[1] / "data"
TOOLS = "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
GOAL = "01a1f8e4-8b8a-73f0-bf31-afe67745cc21"
EVIL = "00000000-0000-7000-8000-00000000e711"
CLAUDE = "a928cbb2-acd1-432d-90e4-8327fad05ec7"
KEY = "sk-" + "abcdefghij0123456789ABCD"
RED = "\x1b[31mred\u202e\x07"
AT = "2026-11-20T12:00:00.000Z"


def place(terminal: Terminal, thread_id: str) -> Path:
    folder = terminal.codex_home / "sessions" / "2026" / "11" / "20"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rollout-2026-11-20T10-00-00-{thread_id}.jsonl"


def line(kind: str, payload: dict[str, Any]) -> str:
    return json.dumps({"timestamp": AT, "type": kind, "payload": payload}, separators=(",", ":")) + "\n"


def said(kind: str, item_id: str, text: str) -> str:
    item = {"type": kind, "id": item_id, "content": [{"type": "Text", "text": text}]}
    return line("event_msg", {"type": "item_completed", "turn_id": "t1", "item": item})


@pytest.fixture
def desk(terminal: Terminal) -> Terminal:
    """Two sessions of Codex, one that says what a terminal must not see, and those of Claude Code."""
    place(terminal, TOOLS).write_bytes((DATA / "rollouts" / "0.169-tools.jsonl").read_bytes())
    place(terminal, GOAL).write_bytes((DATA / "rollouts" / "0.169-goal.jsonl").read_bytes())
    meta = line("session_meta", {"id": EVIL, "cwd": f"/w/{RED}", "history_mode": "paginated", "timestamp": AT})
    place(terminal, EVIL).write_text(
        meta
        + line("event_msg", {"type": "task_started", "turn_id": "t1"})
        + said("UserMessage", "u1", f"look {RED} <script>alert({KEY})</script>")
        + said("AgentMessage", "a1", f"\x1b]0;title\x07{RED}")
        + "{broken\n"
    )
    (terminal.codex_home / "session_index.jsonl").write_text(
        json.dumps({"id": TOOLS, "thread_name": "the tools", "updated_at": AT}) + "\n"
    )
    shutil.copytree(DATA / "claude", terminal.home / ".claude")
    return terminal


@pytest.mark.parametrize("name", [TOOLS, "01a1f8dc", f"codex://threads/{TOOLS}", "the tools", "path"])
def test_a_session_is_shown_by_each_of_its_names(desk: Terminal, name: str) -> None:
    done = desk.type("sessions", "show", str(place(desk, TOOLS)) if name == "path" else name)
    head, *lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert head == f"{TOOLS}  the tools  completed (by rollout)"
    assert lines[0] == "/srv/cxlab/ws · master · gpt-5.5 · codex 0.169.0 · exec"
    assert lines[-6:-1] == ["  +line1", "± update /srv/cxlab/ws/a.txt", "  @@ -1 +1 @@", "  -hi", "  +hi2"]
    assert ("  │ … 1 more line" in lines, "  [exit 3, 0 ms]" in lines) == (True, True)


def test_nothing_is_folded_with_full(desk: Terminal) -> None:
    done = desk.type("sessions", "show", TOOLS, "--full")
    assert (done.code, "  │ … 1 more line" in done.out, ".agents" in done.out) == (0, False, True)
    assert desk.type("sessions", "show", TOOLS, "--full", "--brief").code == 2


def test_a_session_of_claude_code_is_shown_alike(desk: Terminal) -> None:
    done = desk.type("sessions", "show", CLAUDE[:8])
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{CLAUDE}  completed (by rollout)\n/home/ada/project · HEAD · claude-opus-4-8 · claude")
    assert (
        "$ ls /no/such; exit 3\n  │ ls: cannot access '/no/such': No such file or directory\n  [exit 3]\n" in done.out
    )
    assert "  @@ -1,2 +1,2 @@\n   x\n  -y\n  +z\n" in done.out


def test_several_files_of_a_thread_are_shown_as_one(desk: Terminal) -> None:
    path, archive = place(desk, TOOLS), desk.codex_home / "archived_sessions"
    archive.mkdir()
    head, *rest = path.read_bytes().splitlines(keepends=True)
    (archive / path.name.replace("10-00-00", "09-00-00")).write_bytes(path.read_bytes())
    path.write_bytes(head + b"".join(rest) + said("AgentMessage", "m9", "later").encode())
    shown = desk.type("sessions", "show", TOOLS)
    assert (shown.code, shown.out.count("\nAll done.\n"), shown.out.count("later\n")) == (0, 1, 1)
    assert "5,000 tokens in" in shown.out


def test_a_stream_of_codex_exec_is_shown_too(desk: Terminal) -> None:
    stream = str(DATA / "exec" / "0.150-command.jsonl")
    for words in ((), ("--brief",)):
        done = desk.type("sessions", "show", stream, *words)
        assert (done.code, done.err, len(done.out.splitlines()) > 3, "skipped" in done.out) == (0, "", True, False)
    assert desk.type("sessions", "tail", stream, "-n", "1").out


def test_a_glance_shows_the_goal_and_what_was_said_last(desk: Terminal) -> None:
    done = desk.type("sessions", "show", GOAL, "--brief")
    head, goal, quiet, *rest = done.out.splitlines()
    assert (done.code, head) == (0, f"{GOAL}  interrupted (by rollout)")
    assert goal == "goal (active): finish the thing"
    assert quiet.startswith("/srv/cxlab/ws · last record ")
    assert (rest[1].startswith("> SCRIPT:"), rest[-1]) == (True, "turn end, goal still active")


def test_a_glance_at_a_long_session_shows_its_last_five_messages(desk: Terminal) -> None:
    with place(desk, GOAL).open("a") as stream:
        for number in range(2_000):
            stream.write(said("AgentMessage", f"m{number}", f"message {number} {'x' * 1_000}"))
    seen = desk.type("sessions", "show", GOAL, "--brief", "--json").answer
    assert [one["text"].split()[1] for one in seen["messages"]] == ["1995", "1996", "1997", "1998", "1999"]
    assert (seen["cwd"], seen["id"]) == ("/srv/cxlab/ws", GOAL)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("show", TOOLS), "armarius.session.v1"),
        (("show", TOOLS, "--brief"), "armarius.brief.v1"),
        (("show", CLAUDE), "armarius.session.v1"),
        (("show", EVIL), "armarius.session.v1"),
        (("tail", EVIL, "-n", "1"), "armarius.item.v1"),
        (("export", EVIL), "armarius.export.v1"),
    ],
)
def test_a_program_gets_an_object_that_fits_its_schema(
    desk: Terminal, check: Callable[[Any], None], words: tuple[str, ...], name: str
) -> None:
    done = desk.type("sessions", *words, "--json")
    assert (done.code, done.err, done.answer["schema"]) == (0, "", name)
    assert not any(code in done.out for code in "\x1b\x07\u202e\x9b")
    check(done.answer)


@pytest.mark.parametrize("words", [("show",), ("show", "--full"), ("show", "--brief"), ("tail",), ("export",)])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_no_control_character_reaches_a_terminal(desk: Terminal, words: tuple[str, ...], more: tuple[str, ...]) -> None:
    done = desk.type("sessions", *words, *(() if "--full" in words else more), EVIL)
    assert (done.code, "red" in done.out) == (0, True)
    assert not any(code in done.out + done.err for code in "\x1b\x07\u202e")


def test_what_could_not_be_read_is_said(desk: Terminal) -> None:
    done = desk.type("sessions", "show", EVIL)
    assert "skipped " in done.out
    assert ":5 (byte " in done.out


@pytest.mark.parametrize("words", [("show",), ("show", "--brief"), ("tail",), ("tail", "-f"), ("export",)])
@pytest.mark.parametrize("name", ["nothing-like-it", "", "\x1b[31m", "/etc", "0"])
def test_a_name_that_means_no_session_is_refused(desk: Terminal, words: tuple[str, ...], name: str) -> None:
    done = desk.type("sessions", *words, name, "--json")
    assert (done.code, done.out, done.error["schema"]) == (3, "", "armarius.error.v1")
    assert "\x1b" not in done.err


@pytest.mark.parametrize("content", ["", "hello\nworld\n", '{"a":1}\n', "\0" * 9])
@pytest.mark.parametrize("words", [("show",), ("show", "--brief"), ("export",)])
def test_a_file_that_is_no_session_is_refused(
    desk: Terminal, words: tuple[str, ...], content: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.jsonl").write_text(content)
    done = desk.type("sessions", *words, str(tmp_path / "notes.jsonl"))
    assert (done.code, done.out) == (3, "")
    assert "notes.jsonl is no session" in done.err


@pytest.mark.parametrize("words", [("show", "--brief"), ("tail",)])
def test_a_compressed_file_that_is_damaged_is_named(desk: Terminal, words: tuple[str, ...]) -> None:
    plain = place(desk, EVIL)
    plain.with_name(plain.name + ".zst").write_bytes(b"no zstd")
    plain.unlink()
    done = desk.type("sessions", *words, EVIL)
    assert (done.code, done.out) == (3, "")
    assert f"{plain.name}.zst: " in done.err


def test_the_last_items_are_printed(desk: Terminal) -> None:
    done = desk.type("sessions", "tail", TOOLS, "-n", "2")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "± add /srv/cxlab/ws/new.txt"
    assert done.out.splitlines()[-1] == "All done."
    assert desk.type("sessions", "tail", TOOLS, "-n", "0").out == ""


@contextmanager
def following(desk: Terminal, *words: str) -> Generator[Callable[[], str]]:
    """`tail -f` at work; gives its next line. In the end somebody presses Ctrl-C."""
    process = desk.start("sessions", "tail", "-f", *words)
    stdout, stderr = process.stdout, process.stderr
    assert stdout
    assert stderr
    try:
        yield lambda: stdout.readline().decode()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert ("interrupted" in (told := stderr.read().decode()), "Traceback" in told) == (True, False)
    finally:
        process.kill()
        process.wait()
        stdout.close()
        stderr.close()


def test_what_happens_next_is_printed_until_ctrl_c(desk: Terminal) -> None:
    path = place(desk, TOOLS)
    with following(desk, TOOLS, "-n", "1") as next_line:
        assert next_line() == "All done.\n"
        with path.open("a") as stream:
            stream.write(said("AgentMessage", "m1", f"and {RED}"))
        assert next_line() == "and \\x1b[31mred\\u202e\\x07\n"

        archived = desk.codex_home / "archived_sessions" / path.name
        archived.parent.mkdir()
        path.rename(archived)
        with archived.open("a") as stream:
            stream.write(said("AgentMessage", "m2", "from the archive"))
        assert next_line() == "from the archive\n"


def test_a_program_follows_line_by_line(desk: Terminal, check: Callable[[Any], None]) -> None:
    with following(desk, TOOLS, "-n", "1", "--json") as next_line:
        first = json.loads(next_line())
        with place(desk, TOOLS).open("a") as stream:
            stream.write(said("AgentMessage", "m1", "more"))
        second = json.loads(next_line())
    check(first)
    check(second)
    assert (first["item"]["text"], second["item"]["text"]) == ("All done.", "more")


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ((), f"# Session `{EVIL}`\n"),
        (("--format", "md"), f"# Session `{EVIL}`\n"),
        (("--format", "html"), "<!doctype html>\n"),
        (("--format", "json"), '{"thread":'),
        (("--json",), '{"thread":'),
    ],
)
def test_an_export_has_no_secret_and_no_markup_of_others(desk: Terminal, words: tuple[str, ...], begins: str) -> None:
    done = desk.type("sessions", "export", EVIL, *words)
    assert (done.code, done.err, done.out.startswith(begins)) == (0, "", True)
    assert KEY not in done.out
    assert ("[redacted:openai-key]" in done.out, "<script>" in done.out) == (True, begins.startswith("{"))


@pytest.mark.parametrize(
    ("file", "words", "begins"),
    [
        ("talk.md", (), b"# Session"),
        ("talk.HTML", (), b"<!doctype html>"),
        ("talk.json", (), b'{"thread":'),
        ("talk", (), b"# Session"),
        ("talk.md", ("--format", "html"), b"<!doctype html>"),
    ],
)
def test_an_export_is_a_file_of_the_kind_that_its_name_says(
    desk: Terminal, file: str, words: tuple[str, ...], begins: bytes
) -> None:
    done = desk.type("sessions", "export", TOOLS, "--output", file, *words)
    path = desk.project / file
    assert (done.code, done.out, done.err) == (0, "", f"{file}: {path.stat().st_size:,} bytes\n")
    assert path.read_bytes().startswith(begins)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_kept_unless_somebody_insists(desk: Terminal) -> None:
    path = desk.project / "talk.md"
    path.write_text("mine")
    done = desk.type("sessions", "export", TOOLS, "--output", "talk.md")
    assert (done.code, done.err, path.read_text()) == (
        2,
        "armarius: talk.md is there; give --force to replace it\n",
        "mine",
    )
    assert desk.type("sessions", "export", TOOLS, "--output", "talk.md", "--force").code == 0
    assert path.read_text().startswith("# Session")


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--output", "."), 2), (("--output", "no/such/folder/x.md"), 4), (("--json", "--format", "md"), 2)],
)
def test_what_cannot_be_written_is_an_error_and_no_traceback(desk: Terminal, words: tuple[str, ...], code: int) -> None:
    done = desk.type("sessions", "export", TOOLS, *words)
    assert (done.code, done.out, "Traceback" in done.err, done.err.count("\n")) == (code, "", False, 1)
