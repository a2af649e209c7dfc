"""`armarius sessions sync|list|search`: what is asked for, on machines where several ask at once."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.session_world import DATA, as_thread, thread_id
from support.terminal import UNPRIVILEGED, Terminal

TOOLS, FAILED, OLD, CHILD, KILLED = range(1, 6)
FILES = {
    TOOLS: "0.169-tools.jsonl",
    FAILED: "0.169-rate-limited.jsonl",
    OLD: "0.118-two-turns.jsonl",
    CHILD: "0.169-subagent-child.jsonl",
    KILLED: "0.169-killed.jsonl",
}
LONG_AGO = 1_790_000_000


def put(home: Path, number: int, *, day: str = "20", cwd: str | None = None) -> Path:
    folder = home / "sessions" / "2026" / "11" / day
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-11-{day}T10-00-00-{thread_id(number)}.jsonl"
    data = as_thread(FILES.get(number, FILES[TOOLS]), number)
    if cwd is not None:
        own = json.loads(data.partition(b"\n")[0])["payload"]["cwd"]
        data = data.replace(json.dumps(own).encode(), json.dumps(cwd).encode())
    path.write_bytes(data)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def busy(terminal: Terminal) -> Terminal:
    for number in FILES:
        put(terminal.codex_home, number)
    return terminal


def listed(terminal: Terminal, *words: str, **more: Any) -> set[int]:
    done = terminal.type("sessions", "list", "--json", "--limit", "500", *words, **more)
    assert done.code == 0, done
    return {int(one["id"][-12:], 16) for one in done.answer["sessions"]}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (list[str](), set(FILES)),
        (["--source", "subagent"], {CHILD}),
        (["--source", "exec"], {TOOLS, FAILED, OLD, KILLED}),
        (["--source", "codex"], set(FILES)),
        (["--source", "claude"], set[int]()),
        (["--model", "no-such-model"], set[int]()),
        (["--model", "*"], set(FILES)),
        (["--state", "completed"], {TOOLS, OLD, CHILD}),
        (["--state", "failed", "--state", "rate_limited"], {FAILED}),
        (["--since", "2026-11-20"], set(FILES) - {OLD}),
        (["--since", "2099-01-01"], set[int]()),
        (["--since", "2026-11-20T00:00:00+00:00", "--source", "subagent"], {CHILD}),
    ],
)
def test_sessions_are_chosen_by_what_is_known_of_them(busy: Terminal, words: list[str], expected: set[int]) -> None:
    if "--since" in words and expected:
        path = next(busy.codex_home.rglob(f"*{thread_id(OLD)}.jsonl"))
        path.write_bytes(path.read_bytes().replace(b'"timestamp":"2026-11-20T', b'"timestamp":"2026-10-20T'))
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert listed(busy, *words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "yesterday"],
        ["--since", "99999999999d"],
        ["--since", "2026-13-01"],
        ["--since", ""],
        ["--repo", "/no/such/folder"],
        ["--state", "busy"],
        ["--limit", "0"],
    ],
)
def test_a_filter_that_means_nothing_is_refused(terminal: Terminal, words: list[str]) -> None:
    done = terminal.type("sessions", "list", *words)
    assert (done.code, done.out) == (2, "")


def test_a_repository_is_its_folders_and_worktrees_and_not_what_lies_above(terminal: Terminal) -> None:
    repo = terminal.home / "repo"
    tree = terminal.home / "tree"
    for folder in (repo / ".git" / "worktrees" / "tree", repo / "sub", tree / "sub", terminal.home / "other" / ".git"):
        folder.mkdir(parents=True)
    (repo / ".git" / "HEAD").touch()
    (terminal.home / "other" / ".git" / "HEAD").touch()
    (tree / ".git").write_text(f"gitdir: {repo}/.git/worktrees/tree\n")
    (repo / ".git" / "worktrees" / "tree" / "commondir").write_text("../..\n")
    cwds = [repo, repo / "sub", tree, tree / "sub", terminal.home, terminal.home / "other", terminal.home / "repo2"]
    for number, cwd in enumerate(cwds, start=10):
        put(terminal.codex_home, number, cwd=str(cwd))
    put(terminal.codex_home, 20, cwd=str(repo / "deleted" / "since"))
    assert listed(terminal, "--repo", str(repo)) == {10, 11, 12, 13, 20}
    assert listed(terminal, "--repo", str(tree)) == {10, 11, 12, 13, 20}
    assert listed(terminal, "--repo", str(repo / "sub")) == {11, 13}
    assert listed(terminal, "--repo", ".", folder=tree) == {10, 11, 12, 13, 20}
    assert listed(terminal, "--repo", str(terminal.home / "other")) == {15}
    assert listed(terminal, "--repo", str(terminal.home)) == set(range(10, 17)) | {20}


def test_those_that_need_a_person_stand_on_top_and_then_the_newest(busy: Terminal) -> None:
    for number in range(100, 600):
        put(busy.codex_home, number, day=f"{number % 28 + 1:02d}")
    newest = put(busy.codex_home, 600)
    os.utime(newest, (LONG_AGO + 1, LONG_AGO + 1))
    done = busy.type("sessions", "list", "--json", "--limit", "500")
    sessions = done.answer["sessions"]
    assert (len(sessions), done.answer["total"]) == (500, 506)
    assert [one["id"] for one in sessions[:2]] in ([thread_id(KILLED), thread_id(FAILED)], [thread_id(FAILED)])
    completed = [one["id"] for one in sessions if one["state"] == "completed"]
    assert completed[0] == thread_id(600)
    assert busy.type("sessions", "list").err == "20 of 506; more with --limit\n"


def test_a_thread_with_several_files_is_one_session_and_costs_once(busy: Terminal) -> None:
    [before] = [one for one in listing(busy) if one["id"] == thread_id(TOOLS)]
    archive = busy.codex_home / "archived_sessions"
    archive.mkdir()
    path = next(busy.codex_home.rglob(f"*{thread_id(TOOLS)}.jsonl"))
    shutil.copy2(path, archive)
    [after] = [one for one in listing(busy) if one["id"] == thread_id(TOOLS)]
    assert after["usage"]["input"] > 0
    assert (after["files"], after["usage"], after["path"], after["state"]) == (
        2,
        before["usage"],
        str(path),
        "completed",
    )


def listing(terminal: Terminal) -> list[dict[str, Any]]:
    return terminal.type("sessions", "list", "--json").answer["sessions"]


def test_names_given_in_codex_are_shown(busy: Terminal) -> None:
    said = {"id": thread_id(TOOLS), "thread_name": "the \x1b[31mred one", "updated_at": "2026-11-20T12:00:00Z"}
    (busy.codex_home / "session_index.jsonl").write_text(json.dumps(said) + "\n")
    [session] = [one for one in listing(busy) if one["name"]]
    assert (session["id"], session["name"]) == (thread_id(TOOLS), said["thread_name"])
    assert "[the \\x1b[31mred one]" in busy.type("sessions", "list").out


def test_several_homes_are_looked_into_together(busy: Terminal, tmp_path: Path) -> None:
    put(tmp_path / "two", 50)
    words = ["--codex-home", str(busy.codex_home), "--codex-home", str(tmp_path / "two")]
    assert listed(busy, *words) == set(FILES) | {50}
    assert listed(busy, "--codex-home", str(tmp_path / "two")) == {50}
    assert listed(busy) == set(FILES)


def test_a_sync_says_what_there_was(busy: Terminal, check: Callable[[Any], None]) -> None:
    first = busy.type("sessions", "sync", "--json").answer
    check(first)
    size = sum(path.stat().st_size for path in busy.codex_home.rglob("*.jsonl"))
    assert (first["files"], first["read"], first["bytes"], first["unreadable"]) == (len(FILES), len(FILES), size, 0)
    next(busy.codex_home.rglob(f"*{thread_id(TOOLS)}.jsonl")).unlink()
    assert busy.type("sessions", "sync").out == "4 session files: 0 read (0.0 MB), 1 gone\n"
    assert "1 forgotten" in busy.type("sessions", "sync", "--forget-gone").out
    assert busy.type("sessions", "sync", "--rebuild", "--json").answer["read"] == len(FILES) - 1


def test_syncs_at_the_same_time_do_not_get_in_each_others_way(busy: Terminal) -> None:
    for number in range(100, 160):
        put(busy.codex_home, number)
    started = [busy.start("sessions", "sync", "--json") for _ in range(4)]
    answers = list[dict[str, Any]]()
    for process in started:
        out, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, b"")
        answers.append(json.loads(out))
    assert sorted(answer["read"] for answer in answers) == [0, 0, 0, len(FILES) + 60]
    assert len(listed(busy)) == len(FILES) + 60


def test_folders_that_cannot_be_listed_hide_no_others_and_lose_nothing(busy: Terminal) -> None:
    shut = put(busy.codex_home, 77, day="21").parent
    assert 77 in listed(busy, through=UNPRIVILEGED)
    shut.chmod(0)
    done = busy.type("sessions", "sync", "--json", through=UNPRIVILEGED)
    assert (done.code, done.answer["closed"], done.answer["gone"]) == (0, ["sessions/2026/11/21"], 0)
    assert listed(busy, through=UNPRIVILEGED) == set(FILES) | {77}  # as it was when it could be seen
    found = busy.type("sessions", "search", "hello", "--json", through=UNPRIVILEGED)
    assert found.answer["closed"] == ["sessions/2026/11/21"]
    assert "sessions/2026/11/21 could not be listed" in busy.type("sessions", "list", through=UNPRIVILEGED).err
    shut.chmod(0o700)
    assert busy.type("sessions", "sync", "--json").answer["read"] == 0


def test_a_file_that_was_closed_is_read_once_it_is_open(busy: Terminal) -> None:
    path = put(busy.codex_home, 78)
    path.chmod(0)
    assert busy.type("sessions", "sync", "--json", through=UNPRIVILEGED).answer["unreadable"] == 1
    assert busy.type("sessions", "sync", "--json", through=UNPRIVILEGED).answer["unreadable"] == 1
    path.chmod(0o600)
    again = busy.type("sessions", "sync", "--json", through=UNPRIVILEGED).answer
    assert (again["unreadable"], again["read"]) == (0, 1)
    path.chmod(0)
    with path.open("ab") as file:
        file.write(b"{}\n")
    assert busy.type("sessions", "sync", "--json", through=UNPRIVILEGED).answer["unreadable"] == 1
    assert 78 in listed(busy, through=UNPRIVILEGED)  # with what was read of it before


def test_words_are_found_with_their_place(busy: Terminal, check: Callable[[Any], None]) -> None:
    done = busy.type("sessions", "search", "echo", "--json")
    check(done.answer)
    hit = next(hit for hit in done.answer["hits"] if hit["thread_id"] == thread_id(TOOLS) and hit["kind"] == "command")
    assert hit["source"] == "present"
    assert "echo" in hit["snippet"]
    text = busy.type("sessions", "search", "echo", "--limit", "1")
    assert (text.code, text.out.count("\n"), text.err) == (0, 2, "")
    only = busy.type("sessions", "search", "echo", "--json", "--state", "failed", "--source", "exec").answer["hits"]
    assert {hit["thread_id"] for hit in only} <= {thread_id(FAILED)}
    assert busy.type("sessions", "search", "nosuchword").out == "Nothing found.\n"


@pytest.mark.parametrize(
    ("words", "code"), [(["!!!"], 2), ([""], 2), (["'; DROP", "--", "TABLE"], 0), ([b"\xff x"], 0)]
)
def test_any_words_may_be_typed(busy: Terminal, words: list[str | bytes], code: int) -> None:
    done = busy.type("sessions", "search", *words)
    assert (done.code, "Traceback" in done.err) == (code, False), done


def test_what_an_agent_said_cannot_steer_the_terminal(terminal: Terminal) -> None:
    path = put(terminal.codex_home, TOOLS)
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b'"echo ', b'"echo \\u001b[2J\\u202e\\u0007 ', 1).replace(b"echo ", b"echo \\u001b]0;x ", 1)
    )
    done = terminal.type("sessions", "search", "echo")
    assert done.out
    assert not set(done.out) & set("\x1b\x07\u202e")


def test_claude_codes_sessions_are_found_beside_codexs(busy: Terminal) -> None:
    own = "9f8d2c1e-1111-4222-8333-444455556666"
    folder = busy.home / ".claude" / "projects" / "-x-y"
    folder.mkdir(parents=True)
    rows = [
        {"type": "user", "uuid": "a", "parentUuid": None, "message": {"role": "user", "content": "find the xylophone"}},
        {
            "type": "assistant",
            "uuid": "b",
            "parentUuid": "a",
            "requestId": "r",
            "message": {
                "id": "msg_1",
                "role": "assistant",
                "model": "claude-x",
                "content": [{"type": "text", "text": "Here it is."}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 5, "output_tokens": 7},
            },
        },
    ]
    common = {"sessionId": own, "cwd": "/x/y", "version": "2.1.0", "timestamp": "2026-11-20T10:00:00.000Z"}
    (folder / f"{own}.jsonl").write_text("".join(json.dumps(row | common) + "\n" for row in rows))
    [session] = [one for one in listing(busy) if one["id"] == own]
    assert (session["title"], session["usage"]["output"], session["cwd"]) == ("find the xylophone", 7, "/x/y")
    assert [hit["thread_id"] for hit in busy.type("sessions", "search", "xylophone", "--json").answer["hits"]] == [own]
    assert {one["id"] for one in busy.type("sessions", "list", "--json", "--source", "claude").answer["sessions"]} == {
        own
    }
    assert listed(busy, "--source", "codex") == set(FILES)
    assert listed(busy, "--codex-home", str(busy.codex_home)) == set(FILES)


def test_the_data_is_there() -> None:
    assert all((DATA / name).is_file() for name in FILES.values())
