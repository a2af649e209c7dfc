"""Several files of one thread, as old versions left them when a thread was resumed."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.rollouts.formats import read_whole
from armarius.rollouts.merging import merged
from armarius.rollouts.reader import read_rollout
from armarius.thread import AgentMessage, Command, Thread, TurnState, UserMessage

DATA = Path(__file__).parents[1] / "data" / "rollouts"
THREAD = "96f668cc-5f47-4240-af8a-3c94acd0e354"


def record(kind: str, payload: dict[str, Any], at: str) -> bytes:
    return json.dumps({"timestamp": at, "type": kind, "payload": payload}).encode() + b"\n"


def event(kind: str, at: str, **fields: Any) -> bytes:
    return record("event_msg", {"type": kind, **fields}, at)


def meta(at: str) -> bytes:
    return record("session_meta", {"id": THREAD, "timestamp": at, "cli_version": "0.36.0"}, at)


def spent(total: int, last: int, at: str) -> bytes:
    tokens = {"total_token_usage": {"input_tokens": total}, "last_token_usage": {"input_tokens": last}}
    return event("token_count", at, info=tokens)


def turn(word: str, at: str, total: int, last: int, turn_id: str | None = None) -> bytes:
    body = (
        event("user_message", at, message=word)
        + event("agent_message", at, message=f"{word}!")
        + spent(total, last, at)
    )
    if turn_id is None:
        return body
    return event("task_started", at, turn_id=turn_id) + body + event("task_complete", at, turn_id=turn_id)


MONDAY, TUESDAY, LATER = "2025-09-01T08:00:00.000Z", "2025-09-02T08:00:00.000Z", "2025-09-02T08:00:09.000Z"


def words(thread: Thread) -> list[str]:
    return [item.text for each in thread.turns for item in each.items if isinstance(item, UserMessage | AgentMessage)]


def write(folder: Path, *contents: bytes) -> list[Path]:
    paths = [folder / f"rollout-2025-09-0{number}T08-00-00-{THREAD}.jsonl" for number, _ in enumerate(contents, 1)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize(
    ("first", "second", "said", "tokens"),
    [
        pytest.param(
            turn("a", MONDAY, 5, 5),
            turn("a", TUESDAY, 5, 5) + turn("b", LATER, 8, 3),
            ["a", "a!", "b", "b!"],
            8,
            id="a history without ids that was copied",
        ),
        pytest.param(
            turn("a", MONDAY, 5, 5, "t1"),
            turn("a", TUESDAY, 5, 5, "t1") + turn("b", LATER, 8, 3, "t2"),
            ["a", "a!", "b", "b!"],
            8,
            id="a history with ids that was copied",
        ),
        pytest.param(
            turn("a", MONDAY, 5, 5), turn("b", TUESDAY, 3, 3), ["a", "a!", "b", "b!"], 8, id="nothing was copied"
        ),
        pytest.param(
            turn("a", MONDAY, 5, 5) + turn("b", MONDAY, 8, 3),
            turn("b", TUESDAY, 3, 3),
            ["a", "a!", "b", "b!", "b", "b!"],
            11,
            id="the same was said again",
        ),
        pytest.param(turn("a", MONDAY, 5, 5), turn("a", MONDAY, 5, 5), ["a", "a!"], 5, id="one file in two places"),
        pytest.param(
            event("task_started", MONDAY, turn_id="t1") + event("user_message", MONDAY, message="a"),
            turn("a", TUESDAY, 5, 5, "t1"),
            ["a", "a!"],
            5,
            id="of two accounts the one that goes on",
        ),
    ],
)
def test_what_two_files_tell_is_told_once(
    tmp_path: Path, first: bytes, second: bytes, said: list[str], tokens: int
) -> None:
    paths = write(tmp_path, meta(MONDAY) + first, meta(TUESDAY) + second)

    thread = read_whole(reversed(paths))

    assert words(thread) == said
    assert thread.usage.input == tokens
    assert (thread.id, thread.path) == (THREAD, str(paths[1]))
    assert len({each.id for each in thread.turns}) == len(thread.turns)
    assert {response.turn_id for response in thread.responses} <= {each.id for each in thread.turns}


def test_three_files_are_one_thread(tmp_path: Path) -> None:
    a, b, c = (turn(word, MONDAY, total, 3) for word, total in (("a", 3), ("b", 6), ("c", 9)))
    days = [meta(f"2025-09-0{day}T08:00:00.000Z") for day in (1, 2, 3)]
    paths = write(tmp_path, days[0] + a, days[1] + a + b, days[2] + a + b + c)

    thread = read_whole(paths)

    assert words(thread) == ["a", "a!", "b", "b!", "c", "c!"]
    assert thread.usage.input == 9


@pytest.mark.parametrize("name", ["0.36-command", "0.98-two-turns", "0.118-two-turns", "0.169-three-turns"])
def test_a_real_file_beside_its_own_copy_is_itself(name: str, tmp_path: Path) -> None:
    path = DATA / f"{name}.jsonl"
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    alone = read_rollout(path)

    both = merged([alone, read_rollout(copy)])

    assert both.usage == alone.usage
    assert [each.id for each in both.turns] == [each.id for each in alone.turns]
    assert [each.state for each in both.turns] == [each.state for each in alone.turns]
    assert [item for each in both.turns for item in each.items if isinstance(item, Command)] != []


def test_one_thread_alone_stays_as_it_is() -> None:
    thread = read_rollout(DATA / "0.169-killed.jsonl")

    assert merged([thread]) == thread
    assert merged([msgspec.structs.replace(thread, turns=()), thread]).turns[0].state is TurnState.OPEN
