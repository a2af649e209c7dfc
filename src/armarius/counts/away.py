"""What of a tally is put away, so that going on costs what is new and not what was.

Owns the choice of what stays at hand, the form in which both are kept, and reading again the lines
that calls were made in. Does not own where parts are kept (`Past`), nor when they come back (`tally`).
Invariant: what stays is of bounded size, whatever was counted: the last turns, of each of them the
last that was said and ran, and open calls. Secrets are in no part of it.
"""

import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from armarius.counts.entries import Closed, Line, OpenCall, Part, TurnCount
from armarius.counts.tally import Tally
from armarius.counts.totals import exit_counts
from armarius.counts.windows import exactly
from armarius.redact import redact
from armarius.rollouts.opening import open_rollout

__all__ = ["Away", "Room", "filled", "name_of", "parts_of", "put_away"]


class Room(msgspec.Struct, frozen=True):
    """How much may stay at hand: of more than `turns` turns the last `staying`, of more than `events` none.

    Codex names the running turn, seldom the one before: what is older comes back when it is named.
    """

    turns: int = 16
    staying: int = 4
    events: int = 256


_ROOM: Final = Room()


class Away(msgspec.Struct, frozen=True):
    """`saved` is to be given back, and `part`, if there is anything in it, to be kept with those before.

    `names` are the `name_of` what `part` holds. `replaces` says that it holds all that was in those
    before: they go.
    """

    saved: bytes
    part: bytes = b""
    names: list[int] = []
    replaces: bool = False


def put_away(tally: Tally, offset: int, room: Room = _ROOM) -> Away:
    """A tally that has taken in `offset` bytes; it stays as it is."""
    part = _part(tally, room)
    ids = [
        *(turn.id for turn in part.turns),
        *part.callers,
        *part.sessions,
        *(call_id for piece in part.pieces for call_id in piece.codes),
    ]
    said = [item_id for piece in part.pieces for item_id in piece.said]
    names = sorted({*map(name_of, said), *(name_of(one.encode(errors="replace")) for one in ids)})
    return Away(
        msgspec.msgpack.encode((offset, _rest(tally, part))),
        msgspec.msgpack.encode(part) if names else b"",
        names,
        tally.is_recalled,
    )


def name_of(name: bytes) -> int:
    """A number for the name of a turn, a call, a session or a message."""
    return zlib.crc32(name)


def parts_of(path: Path, parts: Iterable[bytes]) -> list[Part]:
    """Parts as they were put away of a file; OSError when it cannot be opened."""
    found = [msgspec.msgpack.decode(part, type=Part) for part in parts]
    filled(path, [call.line for part in found for call in part.calls.values()])
    return found


def filled(path: Path, lines: list[Line]) -> None:
    """Read lines of a file where they stand; OSError when it cannot be opened."""
    if not lines:
        return
    with open_rollout(path) as stream:
        for line in sorted(lines, key=lambda line: line.byte):
            stream.seek(line.byte)
            line.data = exactly(stream, line.size).partition(b"\n")[0]  # mended UTF-8 is longer than what stands there


def _part(tally: Tally, room: Room) -> Part:
    turns = list(tally.turns.values())
    last = max(0, len(turns) - room.staying) if len(turns) > room.turns else 0
    if tally.current in (ids := [turn.id for turn in turns[:last]]):
        last = ids.index(tally.current)
    whole, staying = [_without_secrets(turn) for turn in turns[:last]], turns[last:]
    pieces = list[TurnCount]()
    if sum(len(turn.said) + len(turn.codes) for turn in staying) + len(tally.callers) > room.events:
        pieces = [_piece(turn, tally.calls) for turn in staying]
    of_whole, of_piece = {turn.id for turn in whole}, {piece.id for piece in pieces}
    callers = {
        call_id: turn_id
        for call_id, turn_id in tally.callers.items()
        if turn_id in of_whole or (turn_id in of_piece and call_id not in tally.calls)
    }
    return Part(
        whole,
        pieces,
        {call_id: _unread(call) for call_id, call in tally.calls.items() if call.turn_id in of_whole},
        callers,
        {session: call_id for session, call_id in tally.sessions.items() if call_id in callers},
    )


def _piece(turn: TurnCount, calls: dict[str, OpenCall]) -> TurnCount:
    codes = {call_id: code for call_id, code in turn.codes.items() if call_id not in calls}
    return TurnCount(turn.id, turn.started, said=turn.said, codes=codes)


def _rest(tally: Tally, part: Part) -> Tally:
    """The tally without the part."""
    closed, goal = tally.closed, tally.goal
    exits = exit_counts((*part.turns, *part.pieces), {call_id: tally.calls[call_id] for call_id in part.calls})
    pieces = {piece.id: piece for piece in part.pieces}
    return msgspec.structs.replace(
        tally,
        turns={
            turn_id: _without(turn, pieces.get(turn_id))
            for turn_id, turn in list(tally.turns.items())[len(part.turns) :]
        },
        spent={},
        calls={call_id: _unread(call) for call_id, call in tally.calls.items() if call_id not in part.calls},
        callers={call_id: turn_id for call_id, turn_id in tally.callers.items() if call_id not in part.callers},
        sessions={session: call_id for session, call_id in tally.sessions.items() if session not in part.sessions},
        title=None if tally.title is None else redact(tally.title),
        goal=None if goal is None else msgspec.structs.replace(goal, objective=redact(goal.objective)),
        last_words=_bare(tally.last_words),
        limits=_bare(tally.limits),
        context=_bare(tally.context),
        closed=Closed(
            closed.turns + len(part.turns),
            closed.responses + len(tally.spent),
            part.turns[-1].ended if part.turns else closed.ended,
            next((turn.model for turn in reversed(part.turns) if turn.model), closed.model),
            dict(Counter(closed.exits) + exits),
        ),
        past=None,
        is_recalled=False,
    )


def _without(turn: TurnCount, piece: TurnCount | None) -> TurnCount:
    kept_turn = _without_secrets(turn)
    if piece is None:
        return kept_turn
    codes = {call_id: code for call_id, code in turn.codes.items() if call_id not in piece.codes}
    return msgspec.structs.replace(kept_turn, said=set(), codes=codes)


def _without_secrets(turn: TurnCount) -> TurnCount:
    return turn if turn.error is None else msgspec.structs.replace(turn, error=redact(turn.error))


def _unread(call: OpenCall) -> OpenCall:
    return msgspec.structs.replace(call, line=Line(call.line.byte, call.line.size))


def _bare(line: Line | None) -> Line | None:
    return None if line is None else Line(line.byte, line.size)
