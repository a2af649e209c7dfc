"""Any way of reading a file is the same, and any file can be read."""

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.rollouts.reader import Line, RolloutReader, read_lines, read_rollout

DATA = Path(__file__).parents[1] / "data" / "rollouts"
FILES = [
    (DATA / f"{name}.jsonl").read_bytes()
    for name in ("0.36-command", "0.163-legacy-resumed", "0.169-review-parent", "0.169-subagent-child")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollouts")


@settings(max_examples=60, deadline=None)
@given(data=st.sampled_from(FILES), cuts=st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_reading_in_steps_is_reading_at_once(folder: Path, data: bytes, cuts: list[float]) -> None:
    path = folder / "growing.jsonl"
    path.write_bytes(b"")
    reader = RolloutReader(path)
    for cut in sorted(cuts):
        path.write_bytes(data[: round(cut * len(data))])
        reader.advance()
        reader.thread()
    path.write_bytes(data)
    reader.advance()

    assert reader.offset == len(data)
    assert reader.thread() == read_rollout(path)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60), start=st.integers(0, 60))
def test_lines_can_be_read_from_where_one_begins(data: bytes, start: int) -> None:
    every = list(read_lines(io.BytesIO(data)))
    whole = data[: data.rfind(b"\n") + 1]

    assert b"".join(line.data + b"\n" for line in every) == whole
    assert [line.number for line in every] == list(range(1, len(every) + 1))
    assert all(data[line.byte : line.end] == line.data + b"\n" for line in every)
    for position, line in list(enumerate(every))[start:]:
        stream = io.BytesIO(data)
        stream.seek(line.byte)
        assert list(read_lines(stream, byte=line.byte, number=line.number)) == every[position:]


@given(chunks=st.lists(st.binary(max_size=8), max_size=12))
def test_lines_are_the_same_however_the_bytes_come(chunks: list[bytes]) -> None:
    pieces = [chunk for chunk in chunks if chunk]

    class Pipe(io.BytesIO):
        """Gives no more than one piece at a time."""

        def read(self, size: int | None = -1) -> bytes:
            del size
            return pieces.pop(0) if pieces else b""

    expected: list[Line] = list(read_lines(io.BytesIO(b"".join(chunks))))

    assert list(read_lines(Pipe())) == expected


@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_no_bytes_raise(folder: Path, data: bytes) -> None:
    path = folder / "garbage.jsonl"
    path.write_bytes(data + b"\n")

    thread = read_rollout(path)

    assert bool(thread.bad_lines) == any(line.strip() and not is_object(line) for line in data.split(b"\n"))


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@settings(max_examples=60, deadline=None)
@given(data=st.sampled_from(FILES), at=st.floats(0, 1), noise=st.binary(min_size=1, max_size=4))
def test_a_scratch_in_a_real_file_costs_at_most_the_lines_it_touches(
    folder: Path, data: bytes, at: float, noise: bytes
) -> None:
    byte = round(at * (len(data) - len(noise)))
    scratched = data[:byte] + noise + data[byte + len(noise) :]
    path = folder / "scratched.jsonl"
    path.write_bytes(scratched)

    bad = read_rollout(path).bad_lines

    touched = {data.count(b"\n", 0, byte + shift) + 1 for shift in (0, len(noise) - 1)}
    assert {line.line for line in bad} <= set(range(min(touched), max(touched) + noise.count(b"\n") + 2))


NAMES = st.sampled_from(["own", "t1", "t2", "c1", "c2", "7"])
TEXTS = st.one_of(
    NAMES,
    st.text(max_size=5),
    st.sampled_from(
        [
            '{"cmd":"ls"}',
            '{"session_id":7}',
            "Wall time: 1 seconds\nProcess running with session ID 7\nOutput:\n",
            "Wall time: 1 seconds\nProcess exited with code 1\nOutput:\n",
        ]
    ),
)
KINDS = {
    "session_meta": [None],
    "turn_context": [None],
    "token_usage_record": [None],
    "compacted": [None],
    "event_msg": [
        "task_started",
        "task_complete",
        "turn_aborted",
        "item_completed",
        "token_count",
        "user_message",
        "agent_message",
        "thread_settings_applied",
        "exec_command_end",
        "patch_apply_end",
        "error",
        "prophecy",
    ],
    "response_item": [
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "local_shell_call",
        "web_search_call",
        "agent_message",
    ],
}
ITEMS = ["UserMessage", "AgentMessage", "CommandExecution", "FileChange", "McpToolCall", "Prophecy"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": NAMES,
    "turn_id": NAMES,
    "thread_id": NAMES,
    "call_id": NAMES,
    "response_id": NAMES,
    "name": st.sampled_from(["exec_command", "write_stdin", "apply_patch", "other"]),
    "arguments": TEXTS,
    "output": TEXTS,
    "input": TEXTS,
    "message": TEXTS,
    "tool": NAMES,
    "action": st.fixed_dictionaries({"command": st.lists(NAMES, max_size=3)}),
    "usage": st.fixed_dictionaries({"input_tokens": st.integers()}),
    "sandbox_policy": st.dictionaries(st.sampled_from(["type", "mode", "kind"]), TEXTS),
    "thread_settings": st.fixed_dictionaries({"model": NAMES}),
    "subagent_history_start_ordinal": st.integers(0, 4),
    "error": st.none() | st.fixed_dictionaries({"message": TEXTS}),
    "exit_code": st.none() | st.integers(),
    "nonsense": st.recursive(TEXTS, st.lists, max_leaves=4),
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A record of a kind that is known, with fields that are known, and any of them wrong or missing."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    payload = draw(st.fixed_dictionaries({}, optional=VALUES))
    payload["type"] = draw(st.sampled_from(KINDS[kind]))
    if payload["type"] == "item_completed":
        payload["item"] = {**payload, "type": draw(st.sampled_from(ITEMS))}
    record = {"timestamp": draw(TEXTS), "ordinal": draw(st.none() | st.integers(0, 9)), "type": kind}
    return json.dumps({**record, "payload": payload}).encode() + b"\n"


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(records(), max_size=25))
def test_no_order_of_records_raises_and_what_comes_out_is_a_thread(folder: Path, lines: list[bytes]) -> None:
    path = folder / "strange.jsonl"
    path.write_bytes(b"".join(lines))

    thread = read_rollout(path)

    turns = [turn.id for turn in thread.turns]
    assert len(set(turns)) == len(turns)
    assert len({response.response_id for response in thread.responses}) == len(thread.responses)
    assert all((turn.error is not None) == (turn.state.value == "failed") for turn in thread.turns)
    assert msgspec.json.decode(msgspec.json.encode(thread), type=type(thread)) == thread
