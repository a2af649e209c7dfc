"""Transcripts of Claude Code: real ones of three versions, and what stands in others' files."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from armarius.rollouts.claude import TranscriptReader, find_transcripts, read_transcript
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    FileSpot,
    ItemStatus,
    Notice,
    Other,
    PathChange,
    Thread,
    ToolCall,
    TurnState,
    Usage,
    UserMessage,
)

HOME = Path(__file__).parents[1] / "data" / "claude"
PROJECT = HOME / "projects" / "-home-ada-project"
SESSION = "5d1c8f0e-7a51-4f43-9d5e-0f7a3a1b2c3d"
ANSWER = Usage(1107, 1000, 100, 42)
"""What each answer of the scripted model cost: 7 fresh tokens, 100 written to the cache, 1,000 read."""


class Row(NamedTuple):
    """What a transcript says: turns, messages, exit codes of commands, answers of the model, helpers."""

    turns: tuple[str, ...]
    said: int
    exits: tuple[int | None, ...]
    answers: int
    version: str
    helpers: int = 0


ALL = (0, 3, 0, 143, 0)
TABLE = {
    "1a6aebac-17e0-4ba0-be8e-c8e5cff66247": Row(("completed",), 3, (0, 3, 0, None, None), 7, "2.0.60"),
    "3f351354-4499-4b6a-8b22-a255016b9df8": Row(("failed",), 1, (), 0, "2.1.197"),
    "5100ac2c-442e-40da-8b55-c516d2dcbfb9": Row(("interrupted",), 1, (None,), 1, "2.1.197"),
    "64dd2272-f3a1-4c9b-9250-14a79f3f8756": Row(("completed",), 3, (0, None, 0, 143, 0), 7, "2.1.197"),
    "6a45c7df-17e1-4de8-a77c-c2b71653f92d": Row((), 0, (), 0, "2.1.197"),
    "7ce0a0c9-5fe8-41e9-9554-ee4e6104c7ac": Row(("completed",), 3, ALL, 7, "2.1.197"),
    "a6cb9263-abf5-4b7c-b196-3e8b547e1fb9": Row(("completed",), 3, (), 2, "2.1.197"),
    "a928cbb2-acd1-432d-90e4-8327fad05ec7": Row(("completed",), 3, ALL, 7, "2.1.197"),
    "aa73da71-7a70-446b-867b-72f556e42f2e": Row(("failed",), 1, (), 0, "2.1.197"),
    "agent-3b203bfa@f378885c-136a-4096-bfb5-8eb87ad7caea": Row(("completed",), 1, (), 1, "2.0.60"),
    "agent-8803b8ef@f378885c-136a-4096-bfb5-8eb87ad7caea": Row(("completed",), 1, (0,), 2, "2.0.60"),
    "agent-ab7b74a2589237fdf@a6cb9263-abf5-4b7c-b196-3e8b547e1fb9": Row(("completed",), 2, (0,), 2, "2.1.197"),
    "c3cbedf1-50b7-438d-8328-ddb7d7b83fbd": Row(("open",), 1, (None,), 1, "2.1.197"),
    "d7ba032b-05ab-4bf2-9504-ce72324c14e9": Row(("open",), 2, (), 1, "1.0.40", helpers=1),
    "ea80a452-537e-49af-8530-8e3704d3e3a3": Row(("completed", "completed"), 6, ALL, 9, "2.1.197"),
    "f378885c-136a-4096-bfb5-8eb87ad7caea": Row(("completed",), 3, (), 2, "2.0.60"),
}


def items_of(thread: Thread) -> list[Any]:
    return [item for turn in thread.turns for item in turn.items]


def row_of(thread: Thread, helpers: int) -> Row:
    items = items_of(thread)
    return Row(
        tuple(turn.state.value for turn in thread.turns),
        sum(isinstance(item, UserMessage | AgentMessage) for item in items),
        tuple(item.exit_code for item in items if isinstance(item, Command)),
        len(thread.responses),
        thread.cli_version or "",
        helpers,
    )


def test_real_transcripts_of_three_versions_say_what_happened() -> None:
    found = dict[str, Row]()
    for file in find_transcripts(HOME):
        reader = TranscriptReader(file.path)
        reader.advance()
        thread = reader.thread()
        found[thread.id] = row_of(thread, len(reader.helpers()))
        assert (thread.source, thread.unknown, thread.bad_lines) == ("claude", {}, ())
        assert {response.usage for response in thread.responses} <= {ANSWER}
        assert (thread.cwd in {"/home/ada/project", None}, thread.started_at_us is not None) == (True, True)
    assert found == TABLE


def test_a_command_and_a_patch_have_what_they_did() -> None:
    [turn] = read_transcript(PROJECT / "a928cbb2-acd1-432d-90e4-8327fad05ec7.jsonl").turns

    commands = [item for item in turn.items if isinstance(item, Command)]
    assert [(item.command, item.status.value, item.output) for item in commands[:2]] == [
        ("printf 'one\\ntwo\\n'; echo err >&2", "completed", "one\ntwo\nerr"),
        ("ls /no/such; exit 3", "failed", "ls: cannot access '/no/such': No such file or directory"),
    ]
    assert [(item.changes, item.status.value) for item in turn.items if isinstance(item, FileChange)] == [
        ((PathChange("/home/ada/project/a.txt", "add", "+x\n+y\n"),), "completed"),
        ((PathChange("/home/ada/project/a.txt", "update", "@@ -1,2 +1,2 @@\n x\n-y\n+z\n"),), "completed"),
        ((PathChange("/home/ada/project/a.txt", "update"),), "failed"),
    ]
    assert (turn.model, turn.approval, turn.final_message) == ("claude-opus-4-8", "bypassPermissions", "All done.")
    assert (turn.started_at_us, turn.ended_at_us) == (1_795_262_080_408_000, 1_795_262_081_864_000)


def test_what_failed_says_why_and_what_was_refused_did_not_run() -> None:
    [failed] = read_transcript(PROJECT / "3f351354-4499-4b6a-8b22-a255016b9df8.jsonl").turns
    assert (failed.error, failed.is_rate_limited) == ("API Error: Request rejected (429) · no", True)
    [refused] = read_transcript(PROJECT / "aa73da71-7a70-446b-867b-72f556e42f2e.jsonl").turns
    assert (refused.error, refused.error_kind) == ("API Error: 400 no", "unknown")
    [turn] = read_transcript(PROJECT / "64dd2272-f3a1-4c9b-9250-14a79f3f8756.jsonl").turns
    assert [item.status for item in turn.items if isinstance(item, Command)][1] is ItemStatus.DECLINED
    [stopped] = read_transcript(PROJECT / "5100ac2c-442e-40da-8b55-c516d2dcbfb9.jsonl").turns
    assert [item.status for item in stopped.items if isinstance(item, Command)] == [ItemStatus.UNKNOWN]


def test_a_helper_is_a_thread_of_its_own_wherever_a_version_writes_it() -> None:
    inside = TranscriptReader(PROJECT / "d7ba032b-05ab-4bf2-9504-ce72324c14e9.jsonl")
    inside.advance()
    [old] = inside.helpers()
    beside = read_transcript(PROJECT / "agent-8803b8ef.jsonl")
    below = read_transcript(
        PROJECT / "a6cb9263-abf5-4b7c-b196-3e8b547e1fb9" / "subagents" / "agent-ab7b74a2589237fdf.jsonl"
    )

    assert old.id == "agent-e8577855-4bb7-4e36-8c6c-fc840ff39c77@d7ba032b-05ab-4bf2-9504-ce72324c14e9"
    for thread in (old, beside, below):
        assert thread.parent_id == thread.id.partition("@")[2]
        assert thread.usage == ANSWER + ANSWER
        [command] = [item for item in items_of(thread) if isinstance(item, Command)]
        assert (command.command, command.output) == ("echo from-child", "from-child")
        assert thread.turns[-1].final_message == "hi"


# What stands in transcripts that are not ours


def line(kind: str, number: int, /, **fields: Any) -> bytes:
    at = f"2026-11-20T12:00:{number:02}.000Z"
    own = {"uuid": f"u{number}", "timestamp": at, "sessionId": SESSION, "cwd": "/p", "version": "2.1.100"}
    return json.dumps({"parentUuid": None, "isSidechain": False, "type": kind, **own, **fields}).encode() + b"\n"


def user(number: int, content: Any, /, **fields: Any) -> bytes:
    return line("user", number, message={"role": "user", "content": content}, **fields)


def model(number: int, *blocks: dict[str, Any], stop: str | None = None, tokens: int = 5, answer: str = "m1") -> bytes:
    usage = {"input_tokens": 1, "output_tokens": tokens}
    message = {"id": answer, "model": "claude-x", "content": list(blocks), "stop_reason": stop, "usage": usage}
    return line("assistant", number, message=message)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(call_id: str, name: str, **asked: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": asked}


def answer(call_id: str, content: Any, *, error: bool = False) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": error}]


def read(folder: Path, *lines: bytes) -> Thread:
    path = folder / f"{SESSION}.jsonl"
    path.write_bytes(b"".join(lines))
    return read_transcript(path)


SHELL = (user(3, "<bash-input>ls</bash-input>"), user(4, "<bash-stdout>a</bash-stdout><bash-stderr></bash-stderr>"))
SEEN = model(5, text("I see."), stop="end_turn", answer="m5")
DONE = model(9, text("Done."), stop="end_turn", answer="m9")
BASH = model(2, call("c1", "Bash", command="make"), stop="tool_use")
TASK = '<task-notification>\n<tool-use-id>c1</tool-use-id>\n<summary>"(exit code 0)" failed (exit code 2)</summary>\n'


@pytest.mark.parametrize(
    ("lines", "states", "said"),
    [
        ([user(1, "go"), DONE], ["completed"], ["go", "Done."]),
        ([user(1, [text("go"), {"type": "image", "source": {}}]), DONE], ["completed"], ["go", "Done."]),
        ([user(1, [{"type": "image", "source": {}}]), DONE], ["completed"], ["[image]", "Done."]),
        ([user(1, "go"), model(2, text("Hm."))], ["unknown"], ["go", "Hm."]),
        ([user(1, "go"), model(2, text("Hm.")), user(3, "on")], ["completed", "open"], ["go", "Hm.", "on"]),
        ([user(1, "go"), model(2, text("Hm.")), line("system", 3, subtype="turn_duration")], ["completed"], None),
        ([user(1, "go"), BASH, user(3, "on")], ["open", "open"], None),
        ([user(1, "go"), BASH, user(3, "[Request interrupted by user for tool use]")], ["interrupted"], ["go"]),
        (
            [user(1, "go"), model(2, text("Hm.")), user(3, [text("[Request interrupted by user]"), text("no")]), DONE],
            ["interrupted", "completed"],
            ["go", "Hm.", "no", "Done."],
        ),
        ([user(1, "go"), user(2, "[Request interrupted by user]stop")], ["interrupted", "open"], ["go", "stop"]),
        ([user(1, "go"), model(2, text("a"), stop="end_turn"), model(3, text("b"))], ["unknown"], None),
        ([user(1, "go"), model(2, text("a"), stop="max_tokens")], ["completed"], None),
        ([user(1, "go"), model(2, text("a"), stop="pause_turn")], ["open"], None),
        ([user(1, "Caveat", isMeta=True), user(2, "go"), DONE], ["completed"], ["go", "Done."]),
        ([user(1, "<command-name>/model</command-name>"), user(2, "<local-command-stdout>x")], [], []),
        (
            [user(1, "<command-name>/r</command-name>\n<command-args>1 2</command-args>"), DONE],
            ["completed"],
            ["/r 1 2", "Done."],
        ),
        ([user(1, "go"), DONE, user(10, TASK), model(11, text("So."), stop="end_turn")], ["completed"] * 2, None),
        ([user(1, "go"), DONE, user(10, "hello", origin={"kind": "channel"})], ["completed", "open"], ["go", "Done."]),
        (
            [user(1, "go"), line("attachment", 2, attachment={"type": "queued_command", "prompt": "faster"}), DONE],
            ["completed"],
            ["go", "faster", "Done."],
        ),
        (
            [user(1, "go"), line("attachment", 2, attachment={"type": "queued_command", "prompt": [text("f")]}), DONE],
            ["completed"],
            ["go", "f", "Done."],
        ),
        ([user(1, "go"), DONE, user(1, "go"), DONE], ["completed"], ["go", "Done."]),
        ([user(1, "go", origin={"kind": "human"}), DONE], ["completed"], ["go", "Done."]),
        ([*SHELL], ["unknown"], []),
        (
            [user(1, "go"), DONE, *SHELL, SEEN],
            ["completed", "completed"],
            ["go", "Done.", "I see."],
        ),
        (
            [user(1, "go"), BASH, *SHELL],
            ["open"],
            ["go"],
        ),
        (
            [user(1, "<command-name>/cost</command-name>"), user(2, "<local-command-stdout>"), DONE],
            ["completed"],
            ["Done."],
        ),
        (
            [user(1, "go"), BASH, user(3, [*answer("c1", "x"), text("Tool loaded.")]), DONE],
            ["completed"],
            ["go", "Done."],
        ),
    ],
)
def test_a_turn_begins_with_what_a_person_asks(
    tmp_path: Path, lines: list[bytes], states: list[str], said: list[str] | None
) -> None:
    thread = read(tmp_path, *lines)

    assert [turn.state.value for turn in thread.turns] == states
    words = [item.text for item in items_of(thread) if isinstance(item, UserMessage | AgentMessage)]
    assert words == (said if said is not None else words)
    assert (thread.id, thread.unknown, thread.bad_lines) == (SESSION, {}, ())


@pytest.mark.parametrize(
    ("content", "is_error", "more", "outcome"),
    [
        ("a\nb", False, {}, (ItemStatus.COMPLETED, 0, "a\nb")),
        ([text("a"), text("b")], False, {}, (ItemStatus.COMPLETED, 0, "a\nb")),
        ("Exit code 2\nno", True, {"toolUseResult": "Error: Exit code 2\nno"}, (ItemStatus.FAILED, 2, "no")),
        ("Error: Exit code 127", True, {}, (ItemStatus.FAILED, 127, "")),
        ("Exit code 2\nno", False, {}, (ItemStatus.COMPLETED, 0, "Exit code 2\nno")),
        ("no such file", True, {}, (ItemStatus.FAILED, None, "no such file")),
        ("", False, {"toolUseResult": {"returnCodeInterpretation": "None found"}}, (ItemStatus.COMPLETED, None, "")),
        ("part", False, {"toolUseResult": {"interrupted": True}}, (ItemStatus.FAILED, None, "part")),
        ("in the background", False, {"toolUseResult": {"backgroundTaskId": "b"}}, (ItemStatus.IN_PROGRESS, None, "")),
        ("denied", True, {"toolDenialKind": "rule"}, (ItemStatus.DECLINED, None, "denied")),
        ("a", False, {"toolUseResult": ["odd"]}, (ItemStatus.COMPLETED, 0, "a")),
        (None, False, {}, (ItemStatus.COMPLETED, 0, "")),
    ],
)
def test_a_command_ends_as_its_answer_says(
    tmp_path: Path, content: Any, *, is_error: bool, more: dict[str, Any], outcome: tuple[Any, ...]
) -> None:
    thread = read(tmp_path, user(1, "go"), BASH, user(3, answer("c1", content, error=is_error), **more))

    [command] = [item for item in items_of(thread) if isinstance(item, Command)]
    assert (command.status, command.exit_code, command.output) == outcome
    assert (command.command, command.cwd, command.spot) == ("make", "/p", FileSpot(thread.path, len(user(1, "go"))))


@pytest.mark.parametrize("in_the_queue", [False, True])
def test_a_command_in_the_background_ends_when_its_end_is_reported(tmp_path: Path, *, in_the_queue: bool) -> None:
    begun = (user(1, "go"), BASH, user(3, answer("c1", "id"), toolUseResult={"backgroundTaskId": "b"}), DONE)
    queued = {"type": "queued_command", "prompt": TASK, "commandMode": "task-notification"}
    report = line("attachment", 10, attachment=queued) if in_the_queue else user(10, TASK)

    [before] = [item for item in items_of(read(tmp_path, *begun)) if isinstance(item, Command)]
    [after] = [item for item in items_of(read(tmp_path, *begun, report)) if isinstance(item, Command)]
    assert (before.status, before.exit_code) == (ItemStatus.UNKNOWN, None)
    assert (after.status, after.exit_code) == (ItemStatus.FAILED, 2)


def test_an_answer_on_several_lines_is_counted_once_with_its_last_numbers(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        user(1, "go"),
        model(2, text("a"), tokens=1),
        model(3, call("c1", "Bash", command="ls"), tokens=60),
        model(4, text("b"), tokens=7, answer="m2"),
    )

    assert [(one.response_id, one.usage.output, one.turn_id) for one in thread.responses] == [
        ("m1", 60, "u1"),
        ("m2", 7, "u1"),
    ]
    assert thread.usage == Usage(2, 0, 0, 67)


def test_other_things_that_happen_are_items_too(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        user(1, "go"),
        line("system", 2, subtype="api_error", error={"status": 529}, retryAttempt=1),
        model(3, call("c2", "mcp__x__y", a=1), {"type": "server_tool_use", "id": "s1"}, {"type": "hologram"}),
        user(4, answer("c2", "found")),
        user(5, answer("c3", "of a call that was lost")),
        line("system", 6, subtype="compact_boundary"),
        user(7, "This session is being continued", isCompactSummary=True),
        user(8, "<bash-input>ls</bash-input>"),
        user(10, "<bash-stdout>a\n</bash-stdout><bash-stderr></bash-stderr>"),
        line("assistant", 11, message={"model": "<synthetic>", "content": [text("No response requested.")]}),
        line("assistant", 12, message={"model": "<synthetic>", "content": [text("Stopped by a hook.")]}),
        line("system", 13, subtype="party"),
        line("confetti", 14),
        line("summary", 15, summary="a title"),
    )

    _, notice, called, server, strange, lost, compaction, shell, hook = items_of(thread)
    assert isinstance(notice, Notice)
    assert notice.message == "529"
    assert isinstance(called, ToolCall)
    assert (called.name, json.loads(called.arguments), called.output) == ("mcp__x__y", {"a": 1}, "found")
    assert isinstance(server, Other)
    assert isinstance(strange, Other)
    assert (server.kind, strange.kind) == ("server_tool_use", "hologram")
    assert isinstance(lost, ToolCall)
    assert lost.output == "of a call that was lost"
    assert isinstance(compaction, Compaction)
    assert isinstance(shell, Command)
    assert (shell.command, shell.output, shell.exit_code) == ("ls", "a\n", None)
    assert isinstance(hook, Notice)
    assert hook.message == "Stopped by a hook."
    assert thread.unknown == {"content:hologram": 1, "system:party": 1, "confetti": 1}


def test_marks_without_an_end_cost_no_more_than_their_length(tmp_path: Path) -> None:
    many = 150_000
    heads = ("<command-name>", "<bash-stdout>", "<bash-input>", "<tool-use-id>", "<task-notification>exit code 1", " ")
    lines = [user(number, head * many) for number, head in enumerate(heads, start=1)]
    thread = read(tmp_path, *lines, DONE)
    assert (thread.bad_lines, thread.turns[-1].final_message) == ((), "Done.")


@pytest.mark.parametrize("two", [True, False])
def test_an_older_version_compacts_without_a_mark(tmp_path: Path, *, two: bool) -> None:
    summary = user(3, "Continued", isCompactSummary=True)
    lines = [user(1, "go"), model(2, text("a"), stop="end_turn"), summary]
    lines += [model(4, text("b")), user(5, "Continued", isCompactSummary=True)] if two else []

    assert sum(isinstance(item, Compaction) for item in items_of(read(tmp_path, *lines))) == 1 + two


@pytest.mark.parametrize(
    ("broken", "bad", "said"),
    [
        (b'{"type":"user","mess\n', 1, ["go", "Done."]),
        (b"\n", 0, ["go", "Done."]),
        (b'["no object"]\n', 1, ["go", "Done."]),
        (b'{"type":"user","message":{"content":5}}\n', 1, ["go", "Done."]),
        (b'{"type":7}\n', 0, ["go", "Done."]),
        (b'{"parentUuid":null,"ty' + user(5, "torn"), 1, ["go", "torn", "Done."]),
        (user(5, "one")[:-1] + user(6, "two"), 0, ["go", "one", "two", "Done."]),
        (user(5, "caf?").replace(b"?", b"\xe9"), 1, ["go", "caf\N{REPLACEMENT CHARACTER}", "Done."]),
        (b"[" * 100_000 + b"\n", 1, ["go", "Done."]),
        (b'{"type":"user","message":{"content":"' + b"x" * (9 << 20) + b'"}}\n', 1, ["go", "Done."]),
    ],
)
def test_a_line_that_cannot_be_used_is_noted_and_hides_no_other(
    tmp_path: Path, broken: bytes, bad: int, said: list[str]
) -> None:
    thread = read(tmp_path, user(1, "go"), broken, DONE)

    assert [item.text for item in items_of(thread) if isinstance(item, UserMessage | AgentMessage)] == said
    assert len(thread.bad_lines) == bad
    assert all((note.line, note.byte) >= (2, len(user(1, "go"))) for note in thread.bad_lines)


@pytest.mark.parametrize("path", sorted(PROJECT.glob("*.jsonl")), ids=lambda path: path.name[:8])
def test_a_transcript_read_while_it_grows_is_the_same(path: Path, tmp_path: Path) -> None:
    growing = tmp_path / path.name
    growing.touch()
    reader, data = TranscriptReader(growing), path.read_bytes()
    for start in range(0, len(data), 700):
        with growing.open("ab") as stream:
            stream.write(data[start : start + 700])
        reader.advance()
        reader.thread()

    whole = TranscriptReader(growing)
    whole.advance()
    assert (reader.thread(), reader.helpers()) == (whole.thread(), whole.helpers())
    assert reader.offset == len(data)


@pytest.mark.parametrize("how", ["shrunk", "cut in its last line", "replaced", "rewritten"])
def test_a_transcript_that_is_another_one_now_is_read_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(user(1, "go") + user(2, "x" * 10_000))
    reader = TranscriptReader(path)
    assert (reader.advance(), reader.advance(), reader.restarts) == (True, False, 0)

    now = user(1, "other") if how != "cut in its last line" else path.read_bytes()[:-100]
    if how == "replaced":
        path.with_name("new").write_bytes(path.read_bytes() + now)
        path.with_name("new").replace(path)
    else:
        path.write_bytes(now + (user(2, "y" * 20_000) if how == "rewritten" else b""))
    assert (reader.advance(), reader.restarts) == (True, 1)
    assert (reader.thread(), reader.offset) == (read_transcript(path), path.read_bytes().rfind(b"\n") + 1)


def test_transcripts_are_found_newest_first_and_nothing_else_is(tmp_path: Path) -> None:
    home = tmp_path / ".claude"
    shutil.copytree(HOME, home)
    folder = home / "projects" / "-home-ada-project"
    deep = folder / SESSION / "subagents" / "workflows" / "wf_1"
    deep.mkdir(parents=True)
    (deep / "agent-a1.jsonl").write_bytes(user(1, "go", isSidechain=True))
    for name in ("notes.txt", "history.jsonl", "deadbeef.jsonl", f"{SESSION}.jsonl.bak"):
        (folder / name).write_text("{}\n")
    (deep / "journal.jsonl").write_text("{}\n")
    (folder / f"{SESSION[:-1]}0.jsonl").symlink_to("/no/such/file")

    found = find_transcripts(home)
    assert len(found) == len(TABLE) + 1
    assert [file.changed_us for file in found] == sorted((file.changed_us for file in found), reverse=True)
    helpers = {(file.helper, file.session_id) for file in found if file.helper}
    assert helpers == {
        ("agent-a1", SESSION),
        ("agent-3b203bfa", ""),
        ("agent-8803b8ef", ""),
        ("agent-ab7b74a2589237fdf", "a6cb9263-abf5-4b7c-b196-3e8b547e1fb9"),
    }
    assert find_transcripts(tmp_path / "nowhere") == []


def test_a_turn_that_is_open_keeps_its_call_in_progress() -> None:
    [turn] = read_transcript(PROJECT / "c3cbedf1-50b7-438d-8328-ddb7d7b83fbd.jsonl").turns
    [command] = [item for item in turn.items if isinstance(item, Command)]
    assert (turn.state, command.status) == (TurnState.OPEN, ItemStatus.IN_PROGRESS)
