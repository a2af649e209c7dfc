"""Several files of one thread become one Thread.

Owns which turns and responses of a later file an earlier one has already told: old versions wrote a new
file when a thread was resumed, and copied its history into it; a thread may also lie in two places while
it is moved. Does not own reading, nor forks, which are threads of their own (`copies`).
Invariant: nothing is counted twice, and nothing that only one file tells is lost. Turns with an id are
the same when their ids are; those without one only at the head of both files and when they tell the same.
"""

from collections.abc import Iterable

import msgspec

from armarius.thread import BadLine, FileSpot, Item, ResponseUsage, Thread, Turn, TurnState

__all__ = ["merged"]

_MADE_UP = "-at-byte-"
"""Ids with this are names of ours for a place in one file (`parts.Here.id`)."""


def merged(threads: Iterable[Thread]) -> Thread:
    """The thread that all these tell of; they share their id, and there is at least one."""
    ordered = sorted(threads, key=lambda thread: (thread.started_at_us or 0, thread.path))
    whole = ordered[0]
    for number, later in enumerate(ordered[1:], start=2):
        whole = _joined(whole, _renamed(later, number))
    return whole


def _joined(whole: Thread, later: Thread) -> Thread:
    turns = {turn.id: turn for turn in whole.turns}
    retold = _copied(whole, later)
    for turn in later.turns:
        if turn.id not in retold:
            known = turns.get(turn.id)
            turns[turn.id] = turn if known is None else _fuller(known, turn)
    responses = {response.response_id: response for response in whole.responses}
    for response in later.responses:
        if response.turn_id not in retold:
            responses.setdefault(response.response_id, response)
    return msgspec.structs.replace(
        whole,
        path=later.path,
        turns=tuple(turns.values()),
        responses=_unrepeated(responses.values(), {turn.id for turn in whole.turns}),
        last_at_us=max((at for at in (whole.last_at_us, later.last_at_us) if at is not None), default=None),
        cwd=later.cwd or whole.cwd,
        goal=later.goal or whole.goal,
        unknown={
            kind: whole.unknown.get(kind, 0) + later.unknown.get(kind, 0) for kind in whole.unknown | later.unknown
        },
        bad_lines=_unlike(whole.bad_lines + later.bad_lines),
    )


def _copied(whole: Thread, later: Thread) -> frozenset[str]:
    """The ids of the turns without an id at the head of `later` that the head of `whole` told in the same words."""
    found: list[str] = []
    for known, turn in zip(whole.turns, later.turns, strict=False):
        if _MADE_UP not in turn.id or _told(known) != _told(turn):
            break
        found.append(turn.id)
    return frozenset(found)


def _told(turn: Turn) -> list[Item]:
    """What a turn tells, apart from where it stands and when it was written down."""
    nowhere = FileSpot("", 0)
    return [
        msgspec.structs.replace(item, id="" if _MADE_UP in item.id else item.id, spot=nowhere, at_us=None)
        for item in turn.items
    ]


def _fuller(one: Turn, other: Turn) -> Turn:
    """Of two accounts of a turn the one that goes on longer."""
    rank = (one.state is not TurnState.OPEN, len(one.items))
    return one if rank > (other.state is not TurnState.OPEN, len(other.items)) else other


def _unrepeated(responses: Iterable[ResponseUsage], known: set[str]) -> tuple[ResponseUsage, ...]:
    """Without those that only have a name of ours and were told of a turn by an earlier file as well."""
    kept: list[ResponseUsage] = []
    files: dict[str, str] = {}
    for response in responses:
        spot = response.spot
        file = spot.file if isinstance(spot, FileSpot) else ""
        first = files.setdefault(response.turn_id, file)
        is_retold = _MADE_UP in response.response_id and response.turn_id in known and file != first
        if not is_retold:
            kept.append(response)
    return tuple(kept)


def _unlike(lines: tuple[BadLine, ...]) -> tuple[BadLine, ...]:
    return tuple(dict.fromkeys(lines))


def _renamed(thread: Thread, number: int) -> Thread:
    """The thread with names of ours that no other file of it uses."""

    def name(text: str) -> str:
        return f"{text}-of-file-{number}" if _MADE_UP in text else text

    return msgspec.structs.replace(
        thread,
        turns=tuple(msgspec.structs.replace(turn, id=name(turn.id)) for turn in thread.turns),
        responses=tuple(
            msgspec.structs.replace(response, response_id=name(response.response_id), turn_id=name(response.turn_id))
            for response in thread.responses
        ),
    )
