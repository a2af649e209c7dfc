"""Rollouts as crashes, full disks, strangers and later versions leave them."""

import errno
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard

from armarius.rollouts.reader import LONGEST_LINE, RolloutReader, read_lines, read_rollout
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    FileSpot,
    Notice,
    Other,
    PathChange,
    Thread,
    ToolCall,
    TurnState,
    UserMessage,
)

NAME = "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
AT = "2026-11-20T12:00:00.000Z"


def line(kind: str, payload: Any, at: str = AT) -> bytes:
    return json.dumps({"timestamp": at, "type": kind, "payload": payload}, separators=(",", ":")).encode()


def event(kind: str, /, **fields: Any) -> bytes:
    return line("event_msg", {"type": kind, **fields})


def item(kind: str, /, **fields: Any) -> bytes:
    return event("item_completed", turn_id="t1", item={"type": kind, "id": "i1", **fields})


def said(text: str, item_id: str = "m1") -> bytes:
    content = [{"type": "Text", "text": text}]
    return event("item_completed", turn_id="t1", item={"type": "AgentMessage", "id": item_id, "content": content})


META = line("session_meta", {"id": "own", "history_mode": "paginated"})
START = event("task_started", turn_id="t1")
END = event("task_complete", turn_id="t1", last_agent_message="b")


def read(folder: Path, *lines: bytes) -> Thread:
    path = folder / NAME
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    return read_rollout(path)


def texts(thread: Thread) -> list[str]:
    return [each.text for turn in thread.turns for each in turn.items if isinstance(each, AgentMessage | UserMessage)]


TORN = said("lost")[:60]


@pytest.mark.parametrize(
    ("broken", "messages", "bad"),
    [
        pytest.param([], ["a", "b"], [], id="nothing is wrong"),
        pytest.param([b"", b"  ", b"\r"], ["a", "b"], [], id="blank lines"),
        pytest.param([said("c", "m3") + b"\r"], ["a", "c", "b"], [], id="CRLF"),
        pytest.param([b"{"], ["a", "b"], ["Input data was truncated"], id="half an object"),
        pytest.param([b"words"], ["a", "b"], ["JSON is malformed: invalid character (byte 0)"], id="words"),
        pytest.param([b"[]"], ["a", "b"], ["Expected `object`, got `array`"], id="no object"),
        pytest.param([b"\0" * 4096], ["a", "b"], ["JSON is malformed: invalid character (byte 0)"], id="zeros"),
        pytest.param(
            [b'{"type":' + b"[" * 100_000],
            ["a", "b"],
            ["maximum recursion depth exceeded while deserializing an object"],
            id="too deep",
        ),
        pytest.param([said("c", "m3") + said("d", "m4")], ["a", "c", "d", "b"], [], id="two on one line"),
        pytest.param(
            [TORN + said("d", "m4")],
            ["a", "d", "b"],
            ["Input data was truncated"],
            id="torn, and the next on the same line",
        ),
        pytest.param(
            [said("c", "m3") + TORN],
            ["a", "c", "b"],
            ["Input data was truncated"],
            id="whole, and a torn one on the same line",
        ),
        pytest.param(
            [b"\0\0" + said("c", "m3")],
            ["a", "c", "b"],
            ["JSON is malformed: invalid character (byte 0)"],
            id="zeros, and the next on the same line",
        ),
        pytest.param(
            [said("c-é", "m3").replace(b"\\u00e9", b"\xe9")],
            ["a", "c-\ufffd", "b"],
            ["invalid UTF-8: replaced"],
            id="Latin-1 in a text",
        ),
        pytest.param(
            [line("world_state", "é").replace(b"\\u00e9", b"\xe9")],
            ["a", "b"],
            ["invalid UTF-8: replaced"],
            id="Latin-1 where nobody looks",
        ),
        pytest.param([said("c-é", "m3").replace(b"\\u00e9", "é".encode())], ["a", "c-é", "b"], [], id="UTF-8"),
        pytest.param(
            [event("task_complete", turn_id=1)],
            ["a", "b"],
            ["event_msg:task_complete: Expected `str | null`, got `int` - at `$.payload.turn_id`"],
            id="a known event in another shape",
        ),
        pytest.param(
            [line("turn_context", [])],
            ["a", "b"],
            ["turn_context: Expected `object`, got `array` - at `$.payload`"],
            id="a known record in another shape",
        ),
    ],
)
def test_what_is_wrong_is_reported_and_the_rest_is_read(
    tmp_path: Path, broken: list[bytes], messages: list[str], bad: list[str]
) -> None:
    thread = read(tmp_path, META, START, said("a", "m1"), *broken, said("b", "m2"), END)

    assert texts(thread) == messages
    assert [turn.state for turn in thread.turns] == [TurnState.COMPLETED]
    assert [each.reason for each in thread.bad_lines] == bad
    assert thread.unknown == {}


def test_a_bad_line_says_where_it_stands(tmp_path: Path) -> None:
    thread = read(tmp_path, META, b"nonsense", START, said("c") + TORN)

    first, second = thread.bad_lines
    assert first.file == second.file == str(tmp_path / NAME)
    assert (first.line, first.byte) == (2, len(META) + 1)
    assert (second.line, second.byte) == (4, len(META + b"\nnonsense\n" + START + b"\n" + said("c")))


@pytest.mark.parametrize(
    ("strange", "name"),
    [
        (line("prophecy", {}), "prophecy"),
        (event("prophecy"), "event_msg:prophecy"),
        (line("response_item", {"type": "prophecy"}), "response_item:prophecy"),
        (item("Prophecy"), "item:Prophecy"),
        (b"{}", "(no type)"),
    ],
)
def test_unknown_kinds_are_counted(tmp_path: Path, strange: bytes, name: str) -> None:
    thread = read(tmp_path, META, START, strange, strange, END)

    assert thread.unknown == {name: 2}
    assert thread.bad_lines == ()
    assert [turn.state for turn in thread.turns] == [TurnState.COMPLETED]


@pytest.mark.parametrize(
    ("strange", "kind"),
    [
        (item("Prophecy", said="doom"), "Prophecy"),
        (item("Plan", said="doom"), "Plan"),
        (line("response_item", {"type": "prophecy", "id": "i1", "said": "doom"}), "prophecy"),
        (item("CommandExecution", exit_code="doom"), "CommandExecution"),
    ],
)
def test_an_item_of_an_unknown_kind_or_shape_is_kept_as_it_came(tmp_path: Path, strange: bytes, kind: str) -> None:
    [turn] = read(tmp_path, META, START, strange, END).turns

    [other] = turn.items
    assert isinstance(other, Other)
    assert (other.id, other.kind) == ("i1", kind)
    assert json.loads(other.raw)["type"] == kind
    assert b"doom" in other.raw


def test_a_command_in_a_shape_we_do_not_know_is_reported_too(tmp_path: Path) -> None:
    [bad] = read(tmp_path, META, START, item("CommandExecution", exit_code="doom"), END).bad_lines

    assert bad.reason.startswith("item:CommandExecution: Expected `int | null`, got `str`")


def test_a_line_without_end_waits_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / NAME
    whole = META + b"\n" + START + b"\n"
    path.write_bytes(whole + said("a")[:70])
    reader = RolloutReader(path)

    assert reader.advance()
    assert not reader.advance()
    assert reader.offset == len(whole)
    assert texts(reader.thread()) == []
    assert reader.thread().bad_lines == ()

    with path.open("ab") as file:
        file.write(said("a")[70:] + b"\n")
    assert reader.advance()
    assert texts(reader.thread()) == ["a"]


def test_lines_are_counted_on_from_where_reading_stopped(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(META + b"\n" + START + b"\n")
    reader = RolloutReader(path)
    reader.advance()
    with path.open("ab") as file:
        file.write(b"words\n")
    reader.advance()

    assert [bad.line for bad in reader.thread().bad_lines] == [3]


def test_a_file_that_shrinks_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a"), b""]))
    reader = RolloutReader(path)
    reader.advance()

    os.truncate(path, len(META) + 1)

    assert reader.advance()
    assert (reader.restarts, reader.offset) == (1, len(META) + 1)
    assert reader.thread() == read_rollout(path)
    assert texts(reader.thread()) == []

    with path.open("ab") as file:
        file.write(START + b"\n" + said("b") + b"\n")
    assert reader.advance()
    assert texts(reader.thread()) == ["b"]
    assert reader.restarts == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([META, START, said("b", "m2")], id="as long as the old one"),
        pytest.param([META, START, said("b", "m2"), said("c", "m3")], id="longer"),
        pytest.param([META, START], id="shorter"),
        pytest.param([], id="empty"),
    ],
)
@pytest.mark.parametrize("is_renamed", [True, False])
def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path, other: list[bytes], is_renamed: bool) -> None:  # noqa: FBT001
    """By renaming another one over it, as editors do, or by writing it anew, as `migrate-rollouts` does."""
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a", "m1"), b""]))
    reader = RolloutReader(path)
    reader.advance()

    content = b"".join(each + b"\n" for each in other)
    if is_renamed:
        (tmp_path / "other").write_bytes(content)
        (tmp_path / "other").rename(path)
    else:
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))

    assert reader.advance()
    assert reader.restarts == 1
    assert reader.thread() == read_rollout(path)


def test_a_file_that_loses_the_end_of_a_long_last_line_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("x" * 10_000), b""]))
    reader = RolloutReader(path)
    reader.advance()

    os.truncate(path, path.stat().st_size - 100)

    assert reader.advance()
    assert (reader.restarts, texts(reader.thread())) == (1, [])


def test_a_file_of_which_another_differs_only_in_the_middle_is_read_anew(tmp_path: Path) -> None:
    path, other = tmp_path / NAME, tmp_path / "other"
    path.write_bytes(b"\n".join([META, START, said("a", "m1"), END, b""]))
    reader = RolloutReader(path)
    reader.advance()

    other.write_bytes(b"\n".join([META, START, said("b", "m1"), END, b""]))
    other.rename(path)

    assert reader.advance()
    assert (reader.restarts, texts(reader.thread())) == (1, ["b"])


def test_a_name_that_no_file_system_takes_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rollout(tmp_path / "no\0such.jsonl")


@pytest.mark.parametrize("suffix", ["", ".zst"])
@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, target: str, suffix: str) -> None:
    path = tmp_path / (NAME + suffix)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    path.symlink_to(tmp_path / target)

    with pytest.raises(OSError, match="no regular file"):
        read_rollout(path)


def test_a_file_that_is_only_touched_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a"), b"half a li"]))
    reader = RolloutReader(path)
    reader.advance()

    os.utime(path, ns=(1, 1))

    assert not reader.advance()
    assert (reader.restarts, texts(reader.thread())) == (0, ["a"])


def test_a_file_that_moves_is_found_again_by_whoever_knows_where(tmp_path: Path) -> None:
    path, archive = tmp_path / NAME, tmp_path / "archived" / NAME
    path.write_bytes(b"\n".join([META, START, said("a"), b""]))
    reader = RolloutReader(path)
    reader.advance()
    archive.parent.mkdir()
    path.rename(archive)

    with pytest.raises(FileNotFoundError):
        reader.advance()
    path.symlink_to(archive)
    with archive.open("ab") as file:
        file.write(said("b", "m2") + b"\n")

    assert reader.advance()
    assert (reader.restarts, texts(reader.thread())) == (0, ["a", "b"])


def test_a_file_that_is_compressed_while_it_is_followed_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a"), b""]))
    reader = RolloutReader(path)
    reader.advance()
    before = reader.thread()

    packed = path.with_name(path.name + ".zst")
    packed.write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()

    assert reader.advance()
    assert reader.thread() == before
    assert not reader.advance()


def test_a_line_of_fifty_megabytes_costs_bounded_memory_and_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with path.open("wb") as file:
        file.write(META + b"\n" + START + b"\n" + said("a", "m1") + b"\n" + said("long")[:120])
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + said("b", "m2") + b"\n")
    tracemalloc.start()
    try:
        thread = read_rollout(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert texts(thread) == ["a", "b"]
    assert [each.reason for each in thread.bad_lines] == [
        "line of 50000120 bytes: payload skipped (event_msg:item_completed)"
    ]
    assert peak < 3 * LONGEST_LINE


def test_a_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
    back = "2026-11-19T23:00:00.000Z"
    thread = read(
        tmp_path,
        META,
        START,
        said("a", "m1"),
        said("b", "m2").replace(AT.encode(), back.encode()),
        END.replace(AT.encode(), back.encode()),
        event("task_started", turn_id="t2"),
        said("c", "m3").replace(b'"t1"', b'"t2"'),
    )

    assert texts(thread) == ["a", "b", "c"]
    assert [turn.state for turn in thread.turns] == [TurnState.COMPLETED, TurnState.OPEN]


def test_a_file_that_vanishes_keeps_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a"), b""]))
    reader = RolloutReader(path)
    reader.advance()

    path.unlink()

    with pytest.raises(FileNotFoundError):
        reader.advance()
    assert texts(reader.thread()) == ["a"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
def test_a_file_that_cannot_be_read_on_says_so() -> None:
    [bad] = read_rollout(Path("/proc/self/mem")).bad_lines

    assert bad.reason == f"reading stopped: {os.strerror(errno.EIO)}"


def test_a_thread_whose_first_line_is_lost_is_named_after_its_file(tmp_path: Path) -> None:
    thread = read(tmp_path, META[5:], START, said("a"), END)

    assert thread.id == "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6"
    assert texts(thread) == ["a"]


@pytest.mark.parametrize("at", ["", "yesterday", "2026-11-20", "2026-11-20T12:00:00", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_is_unknown(tmp_path: Path, at: str) -> None:
    thread = read(tmp_path, line("session_meta", {"id": "own", "timestamp": at}, at))

    assert (thread.started_at_us, thread.last_at_us) in {(None, None), (-62_135_683_140_000_000,) * 2}


def test_a_line_that_is_too_long_is_skipped_and_the_next_is_read(tmp_path: Path) -> None:
    later = "2026-11-20T12:00:07.000Z"
    long = line("event_msg", {"type": "item_completed", "x": "x" * LONGEST_LINE}, later)
    path = tmp_path / NAME
    path.write_bytes(b"\n".join([META, START, said("a", "m1"), long, b""]))
    thread = read_rollout(path)

    assert [each.reason for each in thread.bad_lines] == [
        f"line of {len(long)} bytes: payload skipped (event_msg:item_completed)"
    ]
    assert thread.last_at_us == 1_795_176_007_000_000
    with path.open("ab") as file:
        file.write(said("b", "m2") + b"\n")
    assert texts(read_rollout(path)) == ["a", "b"]


def test_a_long_line_without_an_envelope_is_skipped_too(tmp_path: Path) -> None:
    thread = read(tmp_path, META, b"x" * (LONGEST_LINE + 1), START)

    assert [each.reason for each in thread.bad_lines] == [f"line of {LONGEST_LINE + 1} bytes: payload skipped"]
    assert [turn.state for turn in thread.turns] == [TurnState.OPEN]


def test_a_line_of_the_longest_length_is_read(tmp_path: Path) -> None:
    room = LONGEST_LINE - len(said(""))

    assert len(texts(read(tmp_path, META, START, said("x" * room)))[0]) == room
    assert texts(read(tmp_path, META, START, said("x" * (room + 1)))) == []


class LongLine(io.RawIOBase):
    """One line of `size` bytes, made while it is read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = min(self._left, len(buffer))
        buffer[:taken] = b"x" * taken
        if taken == self._left > 0:
            buffer[taken - 1 : taken] = b"\n"
        self._left -= taken
        return taken


def test_a_line_without_end_in_sight_costs_bounded_memory() -> None:
    size = 5 * LONGEST_LINE
    tracemalloc.start()
    try:
        [long] = read_lines(io.BufferedReader(LongLine(size + 1)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (long.size, len(long.data)) == (size, 4096)
    assert peak < 3 * LONGEST_LINE


def test_an_old_error_event_fails_its_turn_and_a_retry_does_not(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        META,
        START,
        event("stream_error", message="again"),
        END,
        event("task_started", turn_id="t2"),
        event("error", message="no more"),
        event("task_complete", turn_id="t2"),
    )

    assert [(turn.state, turn.error) for turn in thread.turns] == [
        (TurnState.COMPLETED, None),
        (TurnState.FAILED, "no more"),
    ]
    assert [type(each) for turn in thread.turns for each in turn.items] == [Notice, Notice]


def test_context_that_early_versions_put_in_the_users_mouth_is_not_the_users(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        event("user_message", message="<environment_context>", kind="environment_context"),
        event("user_message", message="hello", kind="plain"),
    )

    assert texts(thread) == ["hello"]


def test_an_old_compaction_is_one_item(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        line("session_meta", {"id": "own"}),
        event("user_message", message="hello"),
        line("compacted", {"message": "summary"}),
        event("context_compacted"),
    )

    assert [type(each) for each in thread.turns[0].items] == [UserMessage, Compaction]
    assert thread.unknown == {}


def test_an_old_patch_event_names_its_changes_in_the_old_way(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "a": {"add": {"content": "x"}},
        "b": {"delete": {}},
        "c": {"update": {"unified_diff": ""}},
        "d": {"delete": {"content": "x\n\ny"}},
        "e": {"add": {"content": 5}},
        "f": {"type": "update", "unified_diff": []},
    }
    [turn] = read(tmp_path, event("patch_apply_end", call_id="c1", success=False, changes=changes)).turns

    [patch] = turn.items
    assert isinstance(patch, FileChange)
    assert patch.status.value == "failed"
    assert patch.changes == (
        PathChange("a", "add", "+x\n"),
        PathChange("b", "delete"),
        PathChange("c", "update", ""),
        PathChange("d", "delete", "-x\n-\n-y\n"),
        PathChange("e", "add"),
        PathChange("f", "update"),
    )


def test_a_file_that_is_renamed_changes_under_both_names(tmp_path: Path) -> None:
    changes = {"a": {"type": "update", "unified_diff": "", "move_path": "b"}}
    [turn] = read(tmp_path, META, START, item("FileChange", changes=changes, status="completed")).turns

    [patch] = turn.items
    assert isinstance(patch, FileChange)
    assert patch.changes == (PathChange("a", "update", ""), PathChange("b", "add"))


def test_a_tool_call_made_from_code_is_a_call_and_one_of_the_models_is_not_two(tmp_path: Path) -> None:
    inside: dict[str, Any] = {
        "type": "McpToolCall",
        "id": "exec-1",
        "server": "docs",
        "tool": "find",
        "arguments": {"q": "x"},
    }
    outside: dict[str, Any] = {"type": "McpToolCall", "id": "c1", "server": "docs", "tool": "find", "arguments": {}}
    [turn] = read(
        tmp_path,
        META,
        START,
        event("item_completed", turn_id="t1", item=inside),
        line("response_item", {"type": "function_call", "call_id": "c1", "name": "docs__find"}),
        event("item_completed", turn_id="t1", item=outside),
        line("response_item", {"type": "function_call_output", "call_id": "c1", "output": [{"text": "found"}]}),
    ).turns

    assert [(each.name, each.arguments, each.output) for each in turn.items if isinstance(each, ToolCall)] == [
        ("docs.find", '{"q":"x"}', ""),
        ("docs__find", "", "found"),
    ]


def test_an_answer_whose_call_is_lost_is_kept(tmp_path: Path) -> None:
    answer = {"type": "function_call_output", "call_id": "c1", "output": {"content": "done", "success": True}}
    [turn] = read(tmp_path, META, START, line("response_item", answer)).turns

    [call] = turn.items
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.output) == ("c1", "", "done")


def test_a_search_of_the_provider_is_a_call(tmp_path: Path) -> None:
    search = {"type": "web_search_call", "id": "ws_1", "action": {"query": "codex"}}
    [turn] = read(tmp_path, META, START, line("response_item", search)).turns

    [call] = turn.items
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("ws_1", "web_search", '{"query":"codex"}')


def test_a_folder_that_is_a_uri_is_a_path(tmp_path: Path) -> None:
    [turn] = read(tmp_path, META, START, item("CommandExecution", cwd="file:///srv/a%20b")).turns

    [command] = turn.items
    assert isinstance(command, Command)
    assert command.cwd == "/srv/a b"


def test_settings_count_where_a_turn_has_no_context_of_its_own(tmp_path: Path) -> None:
    def settings(model: str) -> dict[str, Any]:
        return {"model": model, "reasoning_effort": "high", "permission_profile": {"type": "disabled"}}

    own = {"turn_id": "t2", "model": "own", "sandbox_policy": {"type": "read-only"}}
    without, with_own = read(
        tmp_path,
        META,
        event("thread_settings_applied", thread_settings=settings("first")),
        START,
        event("thread_settings_applied", thread_settings=settings("later")),
        END,
        event("task_started", turn_id="t2"),
        line("turn_context", own),
    ).turns

    assert (without.model, without.effort, without.sandbox) == ("first", "high", 2)
    assert (with_own.model, with_own.sandbox) == ("own", 0)


def test_contexts_of_one_turn_add_up_to_the_widest(tmp_path: Path) -> None:
    def context(model: str | None, policy: str) -> bytes:
        return line("turn_context", {"turn_id": "t1", "model": model, "sandbox_policy": {"type": policy}})

    [turn] = read(
        tmp_path, META, START, context("a", "danger-full-access"), context("b", "read-only"), context(None, "read-only")
    ).turns

    assert (turn.model, turn.sandbox) == ("b", 2)


def test_what_comes_between_turns_belongs_to_the_one_before(tmp_path: Path) -> None:
    message = line("response_item", {"type": "agent_message", "id": "a1"})
    [turn] = read(tmp_path, META, START, END, message).turns

    assert (turn.state, [type(each) for each in turn.items]) == (TurnState.COMPLETED, [Other])


def test_usage_of_another_thread_is_not_this_ones(tmp_path: Path) -> None:
    def cost(thread_id: str, response_id: str) -> bytes:
        usage = {"input_tokens": 7, "output_tokens": 1}
        record = {"thread_id": thread_id, "turn_id": "t1", "response_id": response_id, "usage": usage}
        return line("token_usage_record", record)

    thread = read(tmp_path, META, START, cost("own", "r1"), cost("other", "r2"), cost("own", "r1"))

    [response] = thread.responses
    assert (response.response_id, response.turn_id, thread.usage.total) == ("r1", "t1", 8)
    assert response.spot == FileSpot(str(tmp_path / NAME), len(META) + len(START) + 2)


def test_what_a_review_tells_of_its_own_turn_leaves_its_parents_turn_alone(tmp_path: Path) -> None:
    def theirs(text: str) -> bytes:
        return said(text).replace(b'"turn_id":"t1"', b'"thread_id":"other","turn_id":"t2"')

    [turn] = read(
        tmp_path,
        META,
        START,
        said("ours"),
        event("task_started", turn_id="t2"),
        theirs("theirs"),
        theirs("theirs too"),
        event("task_complete", turn_id="t2", last_agent_message="theirs"),
        END,
    ).turns

    assert (turn.id, turn.state, turn.final_message) == ("t1", TurnState.COMPLETED, "b")
    assert [each.text for each in turn.items if isinstance(each, AgentMessage)] == ["ours"]


def test_a_turn_of_our_own_is_kept_whatever_others_say_of_it(tmp_path: Path) -> None:
    theirs = said("theirs").replace(b'"turn_id"', b'"thread_id":"other","turn_id"')

    assert texts(read(tmp_path, META, START, said("ours"), theirs, END)) == ["ours"]


def test_an_old_command_event_without_an_exit_code_does_not_say_how_it_ended(tmp_path: Path) -> None:
    [turn] = read(tmp_path, event("exec_command_end", call_id="c1", command=["ls"])).turns

    [command] = turn.items
    assert isinstance(command, Command)
    assert (command.exit_code, command.status.value) == (None, "unknown")


def test_input_for_a_process_that_nobody_named_is_a_call_and_no_more(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "write_stdin", "arguments": "{"}
    answer = {"type": "function_call_output", "call_id": "c1", "output": "no such process"}
    [turn] = read(tmp_path, META, START, line("response_item", call), line("response_item", answer)).turns

    [asked] = turn.items
    assert isinstance(asked, ToolCall)
    assert asked.output == "no such process"


def test_a_command_that_ends_in_a_later_turn_belongs_to_the_turn_that_ran_it(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "i1", "name": "exec_command", "arguments": '{"cmd":"make"}'}
    ended = item("CommandExecution", command=["sh", "-c", "make"], status="completed", exit_code=0)
    first, second = read(
        tmp_path,
        META,
        START,
        line("response_item", call),
        event("turn_aborted", turn_id="t1"),
        event("task_started", turn_id="t2"),
        ended.replace(b'"t1"', b'"t2"'),
    ).turns

    assert [each.exit_code for each in first.items if isinstance(each, Command)] == [0]
    assert second.items == ()


def test_the_end_of_one_turn_does_not_end_another(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": '{"cmd":"make"}'}
    late = event("turn_aborted", turn_id="t1")
    first, second = read(
        tmp_path, META, START, event("task_started", turn_id="t2"), late, line("response_item", call)
    ).turns

    assert (first.state, second.state) == (TurnState.INTERRUPTED, TurnState.OPEN)
    assert [each.status.value for each in second.items if isinstance(each, Command)] == ["in_progress"]


def test_a_context_before_the_first_message_is_that_of_its_turn(tmp_path: Path) -> None:
    [turn] = read(
        tmp_path,
        line("turn_context", {"model": "a", "sandbox_policy": {"mode": "read-only"}}),
        event("user_message", message="hello"),
    ).turns

    assert (turn.model, turn.sandbox, len(turn.items)) == ("a", 0, 1)


def test_the_first_word_on_who_a_thread_is_counts(tmp_path: Path) -> None:
    """Early forks and sub-agents copy the first line of their parent as well."""
    thread = read(tmp_path, META, line("session_meta", {"id": "parent", "cwd": "/elsewhere"}))

    assert (thread.id, thread.cwd) == ("own", None)


def test_a_message_in_parts_is_read_in_lines(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "image_url": "x"}, {"type": "text", "text": "b"}]

    assert texts(read(tmp_path, META, START, item("UserMessage", content=parts))) == ["a\nb"]


def test_an_old_patch_that_was_declined_was_not_a_failure(tmp_path: Path) -> None:
    declined = event("patch_apply_end", call_id="c1", success=False, status="declined")
    [turn] = read(tmp_path, declined).turns

    assert [each.status.value for each in turn.items if isinstance(each, FileChange)] == ["declined"]


def test_only_lines_that_say_they_were_copied_are_left_out(tmp_path: Path) -> None:
    def numbered(ordinal: int, record: bytes) -> bytes:
        return record.replace(b'"type"', b'"ordinal":%d,"type"' % ordinal, 1)

    meta = line("session_meta", {"id": "own", "subagent_history_start_ordinal": 2})
    thread = read(
        tmp_path,
        numbered(0, meta),
        numbered(1, said("copied", "m1")),
        numbered(2, said("own", "m2")),
        said("unnumbered", "m3"),
    )

    assert texts(thread) == ["own", "unnumbered"]
