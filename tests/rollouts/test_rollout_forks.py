"""Forks as the real Codex made them: what the parent did is the parent's, whether it was copied or not.

Each pair was recorded from one app-server: a thread of two turns (exit codes 0 and 2), its fork, in which a
command ends with 5, and from 0.139 on a goal that the fork then pursues for five turns. The tokens of a fork are
the last running total less the one that its parent ended with.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.rollouts.copies import Copy
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.reader import RolloutReader, read_lines, read_rollout
from armarius.thread import Command, Thread, Usage, UserMessage

DATA = Path(__file__).parents[1] / "data" / "forks"
OWN = 'SCRIPT:[{"sh": "exit 5"}, {"say": "forked"}]'


def items(thread: Thread, kind: type[Any]) -> list[Any]:
    return [item for turn in thread.turns for item in turn.items if isinstance(item, kind)]


def raw(path: Path) -> list[dict[str, Any]]:
    with open_rollout(path) as stream:
        return [json.loads(line.data) for line in read_lines(stream)]


def last_total(path: Path) -> tuple[int, int]:
    totals = [
        record["payload"]["info"]["total_token_usage"]
        for record in raw(path)
        if record["payload"].get("type") == "token_count" and record["payload"]["info"]
    ]
    return totals[-1]["input_tokens"], totals[-1]["output_tokens"]


@pytest.mark.parametrize(
    ("version", "turns", "is_copy"),
    [
        ("0.98.0", 1, True),
        ("0.118.0", 1, True),
        ("0.139.0", 6, True),
        ("0.144.4", 6, True),
        ("0.150.0", 6, True),
        ("0.169.0", 6, False),
    ],
)
def test_a_fork_has_done_what_it_did_itself(version: str, turns: int, is_copy: bool) -> None:  # noqa: FBT001
    parent_path, path = (DATA / f"{version}-{part}.jsonl.zst" for part in ("parent", "fork"))
    parent, fork = read_rollout(parent_path), read_rollout(path)

    assert fork.forked_from_id == parent.id != fork.id
    assert [command.exit_code for command in items(parent, Command)] == [0, 2]
    assert [command.exit_code for command in items(fork, Command)] == [5]
    assert [message.text for message in items(fork, UserMessage)] == [OWN]
    assert len(fork.turns) == turns
    before, after = last_total(parent_path), last_total(path)
    if is_copy:
        assert (fork.usage.input, fork.usage.output) == (after[0] - before[0], after[1] - before[1])
    assert (parent.usage.input, parent.usage.output) == before
    assert {response.response_id for response in fork.responses}.isdisjoint(
        response.response_id for response in parent.responses if not response.response_id.startswith("token_count")
    )
    assert fork.unknown == {}
    assert (sum(record["type"] == "session_meta" for record in raw(path)) > 1) == is_copy


@pytest.mark.parametrize("version", ["0.98.0", "0.118.0", "0.150.0"])
def test_a_fork_that_grows_is_the_fork_that_is_read_at_once(version: str, tmp_path: Path) -> None:
    path = tmp_path / "fork.jsonl"
    with open_rollout(DATA / f"{version}-fork.jsonl.zst") as stream:
        lines = [line.data + b"\n" for line in read_lines(stream)]
    path.write_bytes(b"")
    reader = RolloutReader(path)
    for line in lines:
        with path.open("ab") as file:
            file.write(line)
        reader.advance()

    assert reader.thread() == read_rollout(path)


CHILD, PARENT = "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6", "01a1f8e0-0000-7000-8000-000000000000"
AT_BIRTH = "2026-11-20T12:21:13.{:03}Z"


def line(kind: str, payload: dict[str, Any], at: str) -> bytes:
    return json.dumps({"timestamp": at, "type": kind, "payload": payload}, separators=(",", ":")).encode() + b"\n"


def meta(thread_id: str, at: str) -> bytes:
    return line("session_meta", {"id": thread_id, "timestamp": at}, at)


def said(text: str, at: str) -> bytes:
    return line("event_msg", {"type": "user_message", "message": text}, at)


def spent(total: int, last: int, at: str) -> bytes:
    info = {"total_token_usage": {"input_tokens": total}, "last_token_usage": {"input_tokens": last}}
    return line("event_msg", {"type": "token_count", "info": info}, at)


@pytest.mark.parametrize(
    ("lines", "own", "tokens"),
    [
        pytest.param([said("own", AT_BIRTH.format(0)), spent(5, 5, AT_BIRTH.format(1))], ["own"], 5, id="no copy"),
        pytest.param(
            [
                meta(PARENT, AT_BIRTH.format(1)),
                said("theirs", AT_BIRTH.format(1)),
                spent(9, 9, AT_BIRTH.format(2)),
                said("own", AT_BIRTH.format(900)),
                spent(9, 9, AT_BIRTH.format(901)),
                spent(12, 3, AT_BIRTH.format(910)),
            ],
            ["own"],
            3,
            id="written at one go, and the total of the parent told again",
        ),
        pytest.param(
            [
                meta(PARENT, "2026-11-19T08:00:00.000Z"),
                said("theirs", "2026-11-19T08:00:00.000Z"),
                spent(9, 9, "2026-11-19T08:05:00.000Z"),
                said("theirs too", "2026-11-19T09:00:00.000Z"),
                said("own", AT_BIRTH.format(500)),
                spent(12, 3, AT_BIRTH.format(510)),
            ],
            ["own"],
            3,
            id="copied with its times",
        ),
        pytest.param(
            [meta(PARENT, AT_BIRTH.format(1)), said("theirs", AT_BIRTH.format(1))], [], 0, id="nothing of its own yet"
        ),
        pytest.param(
            [
                meta(PARENT, AT_BIRTH.format(1)),
                said("theirs", AT_BIRTH.format(1)),
                meta(CHILD[:-1] + "0", AT_BIRTH.format(1)),
                said("and theirs", AT_BIRTH.format(1)),
                said("own", "2026-11-20T12:30:00.000Z"),
            ],
            ["own"],
            0,
            id="a fork of a fork",
        ),
        pytest.param(
            [said("own", AT_BIRTH.format(1)), meta(PARENT, AT_BIRTH.format(2)), said("own too", AT_BIRTH.format(3))],
            ["own", "own too"],
            0,
            id="another first line in the middle is no copy",
        ),
    ],
)
def test_a_copy_ends_where_the_thread_begins(tmp_path: Path, lines: list[bytes], own: list[str], tokens: int) -> None:
    path = tmp_path / "fork.jsonl"
    path.write_bytes(meta(CHILD, AT_BIRTH.format(0)) + b"".join(lines))

    thread = read_rollout(path)

    assert thread.id == CHILD
    assert [message.text for message in items(thread, UserMessage)] == own
    assert thread.usage == Usage(input=tokens)


def test_turns_are_told_by_their_age_however_long_copying_took(tmp_path: Path) -> None:
    """Their ids carry the time when they were made: one before the thread, one after."""
    old, new = PARENT[:-1] + "1", "01a1f8e7-5665-7ec1-aacb-977c3b58dfb6"
    path = tmp_path / "fork.jsonl"
    path.write_bytes(
        meta(CHILD, AT_BIRTH.format(0))
        + meta(PARENT, AT_BIRTH.format(1))
        + line("event_msg", {"type": "task_started", "turn_id": old}, "2026-11-20T12:21:13.000Z")
        + said("theirs", "2026-11-20T12:21:14.000Z")
        + line("event_msg", {"type": "task_complete", "turn_id": old}, "2026-11-20T12:21:15.000Z")
        + line("event_msg", {"type": "task_started", "turn_id": new}, "2026-11-20T12:21:15.000Z")
        + said("own", "2026-11-20T12:21:15.000Z")
    )

    thread = read_rollout(path)

    assert [turn.id for turn in thread.turns] == [new]
    assert [message.text for message in items(thread, UserMessage)] == ["own"]


def test_where_a_copy_stands_can_be_put_away() -> None:
    copy = Copy("t", 1, last_us=2)

    assert msgspec.json.decode(msgspec.json.encode(copy), type=Copy) == copy
