"""Streams of `codex exec --json` as threads: real ones, several runs in one file, and ends that nobody heard of."""

import json
from pathlib import Path
from typing import Any

import pytest

from armarius.rollouts.formats import classify, read_thread, read_threads
from armarius.thread import (
    AgentMessage,
    Command,
    FileChange,
    Format,
    Item,
    ItemStatus,
    Notice,
    Sandbox,
    StreamSpot,
    Thread,
    ToolCall,
    TurnState,
    Usage,
)

DATA = Path(__file__).parents[1] / "data"
CORPUS = DATA / "corpus" / "rollouts"
SETTINGS = {"workdir": "/w", "provider": "p", "approval": "never", "sandbox": "workspace-write", "model": "m"}


def read(folder: Path, *lines: dict[str, Any] | bytes) -> tuple[Thread, ...]:
    path = folder / "stream.jsonl"
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return read_threads(path)


def items(thread: Thread) -> list[Item]:
    return [item for turn in thread.turns for item in turn.items]


def old(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "1", "msg": {"type": kind, **fields}}


def done(tokens: int) -> dict[str, Any]:
    return {"type": "turn.completed", "usage": {"input_tokens": tokens, "output_tokens": 1}}


def said(text: str, number: int = 0) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": f"item_{number}", "type": "agent_message", "text": text}}


def started(thread_id: str) -> dict[str, Any]:
    return {"type": "thread.started", "thread_id": thread_id}


TURN = {"type": "turn.started"}


def test_runs_in_one_file_are_told_apart_by_their_thread() -> None:
    first, second = read_threads(CORPUS / "0.150.0" / "exec_stream.jsonl")

    assert [turn.state for turn in first.turns] == [TurnState.COMPLETED] * 2
    assert [item.exit_code for item in items(first) if isinstance(item, Command)] == [0, 1]
    assert [response.usage.input for response in first.responses] == [2103, 2109]
    assert [item.message[:14] for item in items(first) if isinstance(item, Notice)] == ["Model metadata"] * 2
    assert (len(second.turns), second.usage) == (1, Usage(1053, 500, 0, 20, 5))
    assert items(second)[0].spot == StreamSpot(second.path, 10)
    assert read_thread(CORPUS / "0.150.0" / "exec_stream.jsonl") == second


@pytest.mark.parametrize("version", ["0.118.0", "0.130.0", "0.139.0", "0.144.4"])
def test_a_command_whose_end_was_never_shown_has_no_known_end(version: str) -> None:
    first, _ = read_threads(CORPUS / version / "exec_stream.jsonl")

    commands = [item for item in items(first) if isinstance(item, Command)]
    assert [(item.status, item.exit_code) for item in commands] == [(ItemStatus.UNKNOWN, None)] * 2


def test_a_command_of_a_turn_without_end_may_still_run() -> None:
    [thread] = read_threads(DATA / "exec" / "0.169-sigkill.jsonl")

    assert [turn.state for turn in thread.turns] == [TurnState.OPEN]
    assert [item.status for item in items(thread) if isinstance(item, Command)] == [ItemStatus.IN_PROGRESS]


def test_what_a_retry_repeated_was_said_once() -> None:
    [thread] = read_threads(DATA / "exec" / "0.169-cut.jsonl")

    assert sum(isinstance(item, AgentMessage) for item in items(thread)) == 1
    assert thread.turns[0].state is TurnState.FAILED


RUNS: list[tuple[list[dict[str, Any] | bytes], list[tuple[str, list[TurnState], int]]]] = [
    ([started("a")], [("a", [], 0)]),
    ([started("a"), TURN], [("a", [TurnState.OPEN], 0)]),
    ([started("a"), TURN, done(5), started("a"), TURN, done(7)], [("a", [TurnState.COMPLETED] * 2, 7)]),
    ([started("a"), TURN, done(5), TURN, done(9)], [("a", [TurnState.COMPLETED] * 2, 9)]),
    (
        [started("a"), TURN, done(5), started("b"), TURN, started("a"), TURN, done(6)],
        [("a", [TurnState.COMPLETED] * 2, 6), ("b", [TurnState.OPEN], 0)],
    ),
    ([started("a"), TURN, done(9), started("a"), TURN, done(4)], [("a", [TurnState.COMPLETED] * 2, 13)]),
    ([TURN, done(5)], [("", [TurnState.COMPLETED], 5)]),
    ([started("a"), TURN, b'{"type":"turn.comp'], [("a", [TurnState.OPEN], 0)]),
]


@pytest.mark.parametrize(("lines", "expected"), RUNS)
def test_turns_and_tokens_belong_to_their_thread(
    tmp_path: Path, lines: list[dict[str, Any] | bytes], expected: list[tuple[str, list[TurnState], int]]
) -> None:
    """The count is the thread's running total; where it is smaller than before, it began anew."""
    threads = read(tmp_path, *lines)

    assert [(thread.id, [turn.state for turn in thread.turns], thread.usage.input) for thread in threads] == expected


def test_an_old_stream_tells_a_run_with_its_settings() -> None:
    first, second = read_threads(CORPUS / "0.20.0" / "exec_stream.jsonl")

    [turn] = first.turns
    assert (turn.model, turn.sandbox, turn.approval, first.cwd) == (
        "mock-model",
        Sandbox.READ_ONLY,
        "never",
        "/home/cxrepo",
    )
    [command] = [item for item in turn.items if isinstance(item, Command)]
    assert (command.command, command.exit_code, command.output[:6]) == ("echo hello; ls", 0, "hello\n")
    assert command.spot == StreamSpot(first.path, 8)
    assert [response.usage for response in first.responses] == [
        Usage(1006, 500, 0, 20, 5),
        Usage(1007, 500, 0, 20, 5),
    ]
    assert second.usage == Usage(1008, 500, 0, 20, 5)
    assert {first.format, second.format} == {Format.EXEC_OLD}


def test_an_old_stream_of_any_kind_of_deed(tmp_path: Path) -> None:
    [thread] = read(
        tmp_path,
        SETTINGS,
        {"prompt": "do it"},
        old("session_configured", session_id="x"),
        old("task_started"),
        old("exec_command_begin", call_id="c1", command=["bash", "-lc", "make"], cwd="/w"),
        old("patch_apply_begin", call_id="c2", changes={}),
        old("patch_apply_end", call_id="c2", success=True, changes={"a": {"add": {"content": "x"}}}),
        old("mcp_tool_call_begin", call_id="c3"),
        old(
            "mcp_tool_call_end", call_id="c3", invocation={"server": "s", "tool": "t", "arguments": {"q": 1}}, result={}
        ),
        old("web_search_end", call_id="c4", query="q"),
        old("stream_error", message="again"),
        old("agent_message_delta", delta="x"),
        old("prophecy", said="doom"),
        b"nonsense\n",
        old("exec_command_end", call_id="c9", exit_code=3, stdout="o", stderr="e"),
        old("error", message="no more"),
        old("task_complete", last_agent_message=None),
    )

    [turn] = thread.turns
    command, patch, tool, search, notice, orphan, _ = turn.items[1:]
    assert isinstance(command, Command)
    assert isinstance(patch, FileChange)
    assert isinstance(tool, ToolCall)
    assert isinstance(search, ToolCall)
    assert isinstance(orphan, Command)
    assert (command.command, command.status) == ("make", ItemStatus.IN_PROGRESS)
    assert (patch.changes[0].path, patch.status) == ("a", ItemStatus.COMPLETED)
    assert (tool.name, tool.arguments, tool.output) == ("s.t", '{"q": 1}', "{}")
    assert (search.name, notice.id.startswith("notice")) == ("web_search", True)
    assert (orphan.exit_code, orphan.output) == (3, "oe")
    assert (turn.state, turn.error) == (TurnState.FAILED, "no more")
    assert thread.unknown == {"event_msg:prophecy": 1}
    assert [bad.line for bad in thread.bad_lines] == [14]


@pytest.mark.parametrize(
    "content",
    [
        b'{"id":"1","msg":{"type":"exec_command_end"}}\n',
        b'{"id":"1","msg":[]}\n',
        b'{"id":"1","msg":{"type":"token_count","info":7}}\n',
        b'{"prompt":"x"}\n{"id":"1","msg":' + b"[" * 100_000 + b"\n",
        b'{"workdir":7}\n',
        b'{"type":"item.completed","item":7}\n',
        b'{"type":"turn.started"}\n' + b"\xff\xfe\n" * 3,
    ],
)
def test_no_stream_raises(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(content)

    assert sum(len(thread.bad_lines) + len(items(thread)) for thread in read_threads(path)) > 0


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"words\n", b"{}\n", b"[]\n", b'{"type":7}\n', b'{"type":"thread.star']
)
def test_what_is_no_format_is_unknown_and_still_a_thread(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(content)

    assert classify(path) is Format.UNKNOWN
    assert read_thread(path).turns == ()
