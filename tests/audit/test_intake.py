"""A stream on its way into the record: seen alike, however its bytes come, and whatever they are."""

import hashlib
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.audit.intake import Intake, Seen
from armarius.rollouts.reader import LONGEST_LINE


def line(**event: Any) -> bytes:
    return msgspec.json.encode(event) + b"\n"


BEGUN = line(type="thread.started", thread_id="t-1")
TURN = line(type="turn.started")
ITEM = line(
    type="item.completed", item={"id": "item_0", "type": "agent_message", "text": 'a "}}\n{"type":"turn.failed"}'}
)
CUT = ITEM[:-9] + b"\n"
DONE = line(type="turn.completed", usage={"input_tokens": 7, "output_tokens": 2})
FAILED = line(type="turn.failed", error={"message": "no\0 more"})
OTHER = line(type="thread.started", thread_id="t-2")
OLD = line(workdir="/x", model="m", sandbox="read-only")
ASKED = line(prompt="do it")
SAID = line(id="0", msg={"type": "agent_message", "message": "x"})


def seen(data: bytes, size: int = 1 << 20) -> Seen:
    intake = Intake()
    for at in range(0, len(data), size):
        intake.feed(data[at : at + size])
    return intake.end()


def runs(found: Seen) -> list[tuple[str, int, int, str]]:
    return [(run.thread_id, run.byte, run.size, run.state) for run in found.runs]


@pytest.mark.parametrize(
    ("lines", "shape", "expected", "bad"),
    [
        ([BEGUN, TURN, ITEM, DONE], "exec", [("t-1", "completed")], 0),
        ([BEGUN, TURN, ITEM, FAILED], "exec", [("t-1", "failed")], 0),
        ([BEGUN, TURN, ITEM], "exec", [("t-1", "open")], 0),
        ([BEGUN, TURN, DONE, TURN, ITEM], "exec", [("t-1", "open")], 0),
        ([BEGUN, TURN, DONE, OTHER, TURN, FAILED], "exec", [("t-1", "completed"), ("t-2", "failed")], 0),
        ([ITEM, DONE], "exec", [("", "completed")], 0),
        ([line(type="error", message="x")], "exec", [("", "open")], 0),
        ([OLD, ASKED, SAID], "exec_old", [("", "unknown")], 0),
        ([OLD, ASKED, SAID, OLD, ASKED], "exec_old", [("", "unknown"), ("", "unknown")], 0),
        ([BEGUN, TURN, b"not json\n", ITEM[:-20] + b"\n", b"\n", DONE], "exec", [("t-1", "completed")], 2),
        ([BEGUN, TURN, CUT, OTHER, TURN, ITEM, CUT], "exec", [("t-1", "open"), ("t-2", "open")], 2),
        (
            [BEGUN, TURN, ITEM[:2] + b"\n", ITEM[:20] + b"\n", b"x" * 40 + b"\n", DONE],
            "exec",
            [("t-1", "completed")],
            3,
        ),
        ([BEGUN, b"\n", b"\n", FAILED[:1] + b"\n", FAILED], "exec", [("t-1", "failed")], 1),
        ([BEGUN, TURN, b"\xff\xfe\n", b"[1]\n", b"{}\n", DONE], "exec", [("t-1", "completed")], 3),
        ([BEGUN, TURN, b"[" * 5_000 + b"\n", DONE], "exec", [("t-1", "completed")], 1),
        (
            [BEGUN.replace(b"\n", b"\r\n"), TURN, ITEM.replace(b"}}\n", b"}}\r\n"), DONE],
            "exec",
            [("t-1", "completed")],
            0,
        ),
        (
            [BEGUN.replace(b":", b" : "), TURN, DONE.replace(b'"type":', b' "type" : ')],
            "exec",
            [("t-1", "completed")],
            0,
        ),
        ([BEGUN, TURN, DONE.removesuffix(b"\n")], "exec", [("t-1", "completed")], 0),
        ([BEGUN, TURN, DONE[:-9]], "exec", [("t-1", "open")], 1),
        ([line(type="session_meta", payload={}), line(type="user", message={})], None, [], 0),
        ([b"hello\n"], None, [], 1),
        ([], None, [], 0),
    ],
)
def test_what_a_stream_is_and_how_its_runs_ended(
    lines: list[bytes], shape: str | None, expected: list[tuple[str, str]], bad: int
) -> None:
    data = b"".join(lines)
    found = seen(data)
    assert (found.shape, [(run.thread_id, run.state) for run in found.runs], found.bad) == (shape, expected, bad)
    assert (found.size, found.sha256) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    if found.runs:
        assert found.runs[0].byte == 0
        assert sum(run.size for run in found.runs) == len(data), "each byte belongs to one run"
    for size in (1, 7):
        assert seen(data, size) == found


def test_the_second_run_begins_where_its_line_does() -> None:
    first, second = BEGUN + TURN + ITEM + DONE, OTHER + TURN + FAILED
    found = seen(first + second)
    assert runs(found) == [("t-1", 0, len(first), "completed"), ("t-2", len(first), len(second), "failed")]
    assert (found.runs[0].usage, found.runs[1].error) == ('{"input_tokens":7,"output_tokens":2}', "no more")


def test_a_line_that_nobody_can_keep_is_let_go_and_counted() -> None:
    long = b'{"type":"item.completed","item":{"text":"' + b"x" * (LONGEST_LINE + 10) + b'"}}\n'
    data = BEGUN + TURN + long + ITEM + DONE + long[:-3]
    found = seen(data, 1 << 18)
    assert ([run.state for run in found.runs], found.bad, found.size) == (["completed"], 2, len(data))


PIECES = (BEGUN, TURN, ITEM, DONE, FAILED, OTHER, OLD, ASKED, SAID, b"\n", b"}}\n", b'{"type":"item.', b"\xff", b"{}\n")


@given(st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join) | st.binary(max_size=200), st.integers(1, 300))
def test_the_bytes_may_come_in_any_pieces(data: bytes, size: int) -> None:
    assert seen(data, size) == seen(data)


def by_lines(data: bytes) -> int:
    """How many lines are no events, found by decoding all of them."""
    bad = 0
    for text in data.split(b"\n"):
        if not text.strip():
            continue
        try:
            event = msgspec.json.decode(text)
            known = isinstance(event, dict) and ({"type", "workdir", "prompt", "msg"} & event.keys())
            bad += not known
        except (ValueError, RecursionError):
            bad += 1
    return bad


@given(st.lists(st.sampled_from((*PIECES[:11], b"{}\n", b"x\n", CUT)), max_size=30))
def test_bad_lines_are_as_many_as_decoding_each_would_find(lines: list[bytes]) -> None:
    """But for an item that was cut where another one follows: nobody looks there before it is reported."""
    data = BEGUN + b"".join(lines)
    unseen = [one for one, after in itertools.pairwise(lines) if one == CUT and after in {ITEM, CUT}]
    assert seen(data).bad == by_lines(data) - len(unseen)
