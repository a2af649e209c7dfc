"""What `codex exec --json` printed: streams of real runs as they were recorded, and lines nobody ever saw."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.events import Stream, fold, read_stream
from armarius.thread import (
    AgentMessage,
    Command,
    FileChange,
    ItemStatus,
    Other,
    PathChange,
    Reasoning,
    StreamSpot,
    ToolCall,
    TurnState,
    Usage,
)

DATA = Path(__file__).parents[1] / "data" / "exec"
START = ({"type": "thread.started", "thread_id": "t"}, {"type": "turn.started"})
END = {"type": "turn.completed", "usage": {"input_tokens": 1, "output_tokens": 2}}


def recorded(name: str) -> Stream:
    return read_stream(DATA / f"{name}.jsonl")


def read(*lines: dict[str, Any] | bytes) -> Stream:
    return fold((line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines), name="s")


def item(kind: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": f"item_{number}", "type": kind, **fields}}


def message(text: str, number: int) -> dict[str, Any]:
    return item("agent_message", number, text=text)


def reasoning(text: str, number: int) -> dict[str, Any]:
    return item("reasoning", number, text=text)


def command(number: int) -> dict[str, Any]:
    return item("command_execution", number, command="ls", aggregated_output="", exit_code=0, status="completed")


RETRY = {"type": "error", "message": "Reconnecting... 1/5 (stream disconnected before completion)"}


def texts(stream: Stream) -> list[str]:
    return [item.text for item in stream.items if isinstance(item, AgentMessage | Reasoning)]


@pytest.mark.parametrize(
    ("name", "state", "notices", "error"),
    [
        ("0.169-orig", "completed", 0, None),
        ("0.169-hk-behave", "completed", 2, None),
        ("0.150-command", "completed", 1, None),
        ("0.169-e429", "failed", 1, "exceeded retry limit, last status: 429 Too Many Requests"),
        ("0.169-e401", "failed", 6, "unexpected status 401 Unauthorized: Incorrect API key provided"),
        ("0.169-e500", "failed", 6, "experiencing high demand"),
        ("0.169-failed", "failed", 6, "stream disconnected before completion: boom"),
        ("0.169-incomplete", "failed", 1, "Incomplete response returned, reason: max_output_tokens"),
        ("0.169-unreachable-retries1", "failed", 2, "Connection failed: error sending request"),
        ("0.169-unreachable", "open", 4, None),
        ("0.169-sigint", "open", 0, None),
        ("0.169-sigterm", "open", 0, None),
        ("0.169-sigkill", "open", 0, None),
    ],
)
def test_only_the_end_of_a_turn_ends_it_and_no_error_does(
    name: str, state: str, notices: int, error: str | None
) -> None:
    stream = recorded(name)
    assert (stream.state, len(stream.notices)) == (TurnState(state), notices)
    assert stream.error is None if error is None else error in (stream.error or "")
    assert (stream.unknown, stream.bad_lines) == ({}, ())
    assert stream.thread_id is not None


def test_a_run_with_tools_is_read_item_by_item_with_its_line() -> None:
    stream = recorded("0.169-tools-ws")
    failed, made, patch = stream.commands[0], stream.commands[1], stream.items[4]
    assert [type(item) for item in stream.items] == [
        *(Reasoning, AgentMessage, Command, Command, FileChange, AgentMessage)
    ]
    assert (failed.command, failed.status, failed.exit_code) == (
        "/bin/bash -lc 'echo hello; ls -la; exit 3'",
        ItemStatus.FAILED,
        3,
    )
    assert failed.output.startswith("hello\ntotal 16\n")
    assert (made.status, made.exit_code, made.output) == (ItemStatus.COMPLETED, 0, "1\n2\n3\n")
    assert isinstance(patch, FileChange)
    assert patch.status is ItemStatus.COMPLETED
    assert patch.changes == (
        PathChange("/srv/cxlab/ws/a.txt", "update"),
        PathChange("/srv/cxlab/ws/new.txt", "add"),
    )
    assert stream.final_message == "All done."
    assert [item.spot for item in stream.items] == [
        StreamSpot(str(DATA / "0.169-tools-ws.jsonl"), line) for line in (3, 4, 6, 8, 10, 11)
    ]


@pytest.mark.parametrize(
    ("name", "status", "exit_code"),
    [
        ("0.169-sigint", ItemStatus.IN_PROGRESS, None),
        ("0.169-bgproc", ItemStatus.UNKNOWN, None),
        ("0.118-command", ItemStatus.UNKNOWN, None),
        ("0.169-exec-approve", ItemStatus.DECLINED, None),
        ("0.58-command", ItemStatus.COMPLETED, 0),
    ],
)
def test_a_command_is_what_was_last_said_of_it(name: str, status: ItemStatus, exit_code: int | None) -> None:
    [command] = recorded(name).commands
    assert (command.status, command.exit_code) == (status, exit_code)


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("0.169-orig", Usage(1000, 400, 0, 50, 10)),
        ("0.169-tools-ws", Usage(5000, 2000, 0, 250, 50)),
        ("0.169-resume-id", Usage(6000, 2400, 0, 300, 60)),
        ("0.169-fork-id", Usage(8000, 3200, 0, 400, 80)),
        ("0.169-review-unc", Usage()),
        ("0.58-command", Usage(2031, 1000, 0, 40)),
        ("0.169-e429", None),
        ("0.169-sigkill", None),
    ],
)
def test_usage_is_the_running_total_of_the_thread_and_absent_when_the_turn_did_not_end(
    name: str, usage: Usage | None
) -> None:
    assert recorded(name).usage == usage


def test_what_a_retry_emits_again_counts_once() -> None:
    stream = recorded("0.169-cut")
    assert [text for text in texts(stream) if text == "partial text here"] == ["partial text here"]
    assert (stream.repeated, len(stream.notices), stream.state) == (5, 6, TurnState.FAILED)


@pytest.mark.parametrize(
    ("events", "said", "repeated"),
    [
        ([reasoning("R", 0), message("A", 1), RETRY, reasoning("R", 2), message("A", 3)], ["R", "A"], 2),
        ([message("A", 0), message("B", 1), RETRY, message("A", 2), message("B", 3)], ["A", "B"], 2),
        ([message("A", 0), message("B", 1), RETRY, message("A", 2), RETRY, message("A", 3)], ["A", "B"], 2),
        ([message("A", 0), RETRY, message("A", 1), message("A", 2)], ["A", "A"], 1),
        ([message("A", 0), command(1), RETRY, message("A", 2)], ["A", "A"], 0),
        ([RETRY, message("A", 0), command(1), message("A", 2)], ["A", "A"], 0),
        ([message("Par", 0), RETRY, message("Partial", 1)], ["Par", "Partial"], 0),
        ([message("A", 0), RETRY, reasoning("A", 1), message("A", 2)], ["A", "A", "A"], 0),
        ([message("A", 0), message("B", 1), RETRY, message("X", 2), message("B", 3)], ["A", "B", "X", "B"], 0),
        ([message("A", 0), message("A", 1)], ["A", "A"], 0),
    ],
    ids=range(10),
)
def test_only_what_follows_a_retry_in_the_same_order_is_a_repetition(
    events: list[dict[str, Any]], said: list[str], repeated: int
) -> None:
    stream = read(*START, *events, END)
    assert (texts(stream), stream.repeated) == (said, repeated)


def test_an_error_can_be_an_item_before_the_turn_or_a_line_within_it() -> None:
    stream = read(START[0], item("error", 0, message="careful"), START[1], RETRY, message("done", 1), END)
    assert [notice.message for notice in stream.notices] == ["careful", RETRY["message"]]
    assert (stream.state, stream.error, stream.final_message) == (TurnState.COMPLETED, None, "done")


def test_a_turn_that_was_begun_again_is_open_again() -> None:
    failed = {"type": "turn.failed", "error": {"message": "no"}}
    assert read(*START, failed).error == "no"
    stream = read(*START, failed, START[1])
    assert (stream.state, stream.error) == (TurnState.OPEN, None)
    assert read(*START, END, START[1], failed).state is TurnState.FAILED


@pytest.mark.parametrize("spelling", ["type", "item_type"])
def test_both_spellings_of_an_item_are_read(spelling: str) -> None:
    kind = {"type": "agent_message", "item_type": "assistant_message"}[spelling]
    line = {"type": "item.completed", "item": {"id": "item_0", spelling: kind, "text": "hello"}}
    assert read(line).items == (AgentMessage("item_0", "hello", StreamSpot("s", 1)),)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"type": "collab_tool_call", "tool": "wait"}, "wait"),
        ({"type": "mcp_tool_call", "server": "db", "tool": "query"}, "query"),
        ({"type": "web_search", "query": "weather"}, "weather"),
        ({"type": "web_search"}, "web_search"),
    ],
)
def test_other_tools_keep_their_name_and_everything_they_were_called_with(fields: dict[str, str], name: str) -> None:
    [call] = read({"type": "item.completed", "item": {"id": "i", **fields}}).items
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments)) == (name, {"id": "i", **fields})


def test_a_sub_agent_is_a_tool_call_in_the_stream_of_its_parent() -> None:
    [call] = [item for item in recorded("0.169-hk-subagent").items if isinstance(item, ToolCall)]
    assert (call.name, json.loads(call.arguments)["status"]) == ("wait", "completed")


def test_unknown_kinds_are_kept_and_counted() -> None:
    stream = read(*START, {"type": "turn.paused"}, item("todo_list", 0), item("todo_list", 1), {"type": "turn.paused"})
    assert stream.unknown == {"turn.paused": 2, "item:todo_list": 2}
    assert [(type(item), item.id) for item in stream.items] == [(Other, "item_0"), (Other, "item_1")]


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'{"type": "turn.comp\n',
        b"[1, 2]\n",
        b'"text"\n',
        b"{}\n",
        b'{"type": 7}\n',
        b'{"type": "item.completed", "item": {"id": "\xff"}}\n',
        b'{"type": "x", "y": ' + b"[" * 100_000 + b"\n",
        b'{"type": "turn.completed"}{"type": "turn.completed"}\n',
    ],
    ids=["text", "torn", "list", "string", "no type", "odd type", "not UTF-8", "deep", "joined"],
)
def test_a_bad_line_is_named_and_the_rest_is_read(line: bytes) -> None:
    stream = read(*START, line, message("hello", 0), END)
    assert [(bad.file, bad.line, bad.byte) for bad in stream.bad_lines] == [
        ("s", 3, sum(len(json.dumps(event)) + 1 for event in START))
    ]
    assert stream.bad_lines[0].reason
    assert (stream.state, stream.final_message) == (TurnState.COMPLETED, "hello")


def test_the_first_versions_wrote_another_language_and_are_not_guessed_at() -> None:
    stream = recorded("0.20-command")
    assert (stream.state, stream.items, len(stream.bad_lines)) == (TurnState.OPEN, (), 11)


@pytest.mark.parametrize("cut", [1, 5, len(json.dumps(END))])
def test_half_a_last_line_is_still_being_written(cut: int) -> None:
    stream = read(*START, json.dumps(END).encode()[:cut])
    assert (stream.state, stream.bad_lines) == (TurnState.OPEN, ())


def test_empty_lines_and_windows_line_ends_do_no_harm() -> None:
    stream = read(*START, b"\n", b"  \r\n", json.dumps(END).encode() + b"\r\n")
    assert (stream.state, stream.bad_lines) == (TurnState.COMPLETED, ())
    assert read() == Stream()


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [
        ({"type": "turn.completed"}, "completed", None),
        ({"type": "turn.completed", "usage": None}, "completed", None),
        ({"type": "turn.completed", "usage": {"input_tokens": None, "details": {"x": 1}}}, "completed", None),
        ({"type": "turn.failed"}, "failed", "no reason given"),
        ({"type": "turn.failed", "error": "text"}, "failed", "no reason given"),
        ({"type": "turn.failed", "error": {"message": {"deep": 1}}}, "failed", "{'deep': 1}"),
    ],
)
def test_an_end_in_an_unknown_shape_is_an_end_all_the_same(end: dict[str, Any], state: str, error: str | None) -> None:
    stream = read(*START, end)
    assert (stream.state, stream.error, stream.bad_lines) == (TurnState(state), error, ())


@pytest.mark.parametrize(("count", "counted"), [(7, 7), (0, 0), (-5, 0), (1 << 60, 0), ("7", 0), (7.5, 0)])
def test_tokens_are_counted_as_far_as_they_can_be_an_amount(count: object, counted: int) -> None:
    stream = read(*START, {"type": "turn.completed", "usage": {"input_tokens": count, "output_tokens": 2}})
    assert stream.usage == Usage(input=counted, output=2)


@pytest.mark.parametrize(
    "fields",
    [{"text": 7}, {"text": None}, {"id": 1}, {"changes": None}, {"changes": [1]}, {"exit_code": "0"}, {"status": {}}],
)
@pytest.mark.parametrize("kind", ["agent_message", "command_execution", "file_change"])
def test_a_known_item_in_an_unknown_shape_is_kept_and_counted(kind: str, fields: dict[str, Any]) -> None:
    stream = read(*START, item(kind, 3, **fields), END)
    [kept] = stream.items
    assert isinstance(kept, Other)
    assert (json.loads(kept.raw)["type"], stream.unknown) == (kind, {f"item:{kind}": 1})


@pytest.mark.parametrize("broken", [None, [], "text", 7])
def test_an_item_that_is_no_object_is_kept_and_counted(broken: Any) -> None:
    stream = read(*START, {"type": "item.completed", "item": broken}, END)
    assert (stream.unknown, stream.state) == ({"item:no object": 1}, TurnState.COMPLETED)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
odd_events = st.fixed_dictionaries(
    {"type": st.sampled_from(["thread.started", "turn.completed", "turn.failed", "error", "item.completed", "x"])},
    optional=dict.fromkeys(("thread_id", "usage", "error", "message", "item"), json_values),
)
odd_items = st.fixed_dictionaries(
    {"type": st.sampled_from(["agent_message", "command_execution", "file_change", "web_search", "error", "new"])},
    optional=dict.fromkeys(("id", "text", "changes", "status", "exit_code", "tool", "message"), json_values),
).map(lambda fields: {"type": "item.completed", "item": fields})


@given(st.lists(st.one_of(odd_events, odd_items, st.binary(max_size=20).map(lambda junk: junk + b"\n"))))
def test_nothing_in_a_stream_makes_reading_it_fail(lines: list[dict[str, Any] | bytes]) -> None:
    assert read(*lines, START[1], END).state is TurnState.COMPLETED
