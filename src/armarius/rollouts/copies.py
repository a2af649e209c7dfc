"""What at the head of a file was copied from another thread.

Owns telling the copy from what the thread did itself: forks until 0.150 and early sub-agents begin with
the whole history of their parent, its first line included, and nothing marks where it ends. Later ones
say where, or do not copy. Does not own what becomes of either part.
Invariant: a file without another thread's first line has nothing copied but what it says itself. What
was copied is told by the age of its turns: ids of turns and threads carry the time when they were
made. Only where turns have no such ids (until 0.98, and goals until 0.150) does the time decide at which
lines were written: a copy is written at one go.
"""

import re
from typing import Final

import msgspec

from armarius.rollouts.legacy import UserMessageEvent
from armarius.rollouts.parts import at_us
from armarius.rollouts.records import (
    EventLine,
    MessageResponse,
    Record,
    ResponseLine,
    SessionMeta,
    SessionMetaLine,
    Stranger,
    TaskStarted,
    TurnContextLine,
    UsageLine,
)

__all__ = ["Copy", "copy_at_head", "made_at_us"]

_UUID7: Final = re.compile(r"(?P<high>[0-9a-f]{8})-(?P<low>[0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# Lines of a copy follow each other within microseconds; the first word after it takes a message there and back.
_BREATH_US: Final = 2_000
_PAUSE_US: Final = 100_000


def made_at_us(identity: str | None) -> int | None:
    """When a thread or turn was made, as far as its id says so."""
    found = _UUID7.fullmatch(identity or "")
    return int(found["high"] + found["low"], 16) * 1_000 if found else None


class Copy(msgspec.Struct):
    """A copy that is being read past. It can be put away and taken up again between any two lines.

    `own_from` is the first ordinal of the thread itself, where the file says it; `born_us` when the
    thread was made.
    """

    thread_id: str
    born_us: int | None
    own_from: int | None = None
    is_dated: bool = False
    last_us: int | None = None

    def holds(self, record: Record) -> bool:
        """Whether the record is part of the copy; the first one that is not is the first of the thread itself."""
        if self.own_from is not None:
            return record.ordinal is not None and record.ordinal < self.own_from
        if isinstance(record, SessionMetaLine):
            return True
        if isinstance(record, UsageLine) and record.payload.thread_id not in {None, self.thread_id}:
            return True
        made = made_at_us(_turn_id(record))
        if made is not None and self.born_us is not None:
            self.is_dated = True
            return made < self.born_us
        return self._is_written_at_once(record)

    def _is_written_at_once(self, record: Record) -> bool:
        at, last = at_us(record.timestamp), self.last_us
        self.last_us = at if at is not None else last
        if at is None or last is None or (self.born_us is not None and at < self.born_us):
            return True
        if self.is_dated and not _turn_id(record):
            return True
        return at - last < (_BREATH_US if _begins(record) else _PAUSE_US)


def copy_at_head(meta: SessionMeta, record: Record) -> Copy | None:
    """The copy that begins after the first line, `meta`, or with a later first line of another thread."""
    born = made_at_us(meta.id)
    if born is None:
        born = at_us(meta.timestamp)
    if meta.subagent_history_start_ordinal is not None:
        return Copy(meta.id, born, own_from=meta.subagent_history_start_ordinal)
    if isinstance(record, SessionMetaLine) and record.payload.id != meta.id:
        return Copy(meta.id, born, last_us=at_us(record.timestamp))
    return None


def _turn_id(record: Record) -> str | None:
    match record:
        case TurnContextLine() | UsageLine():
            return record.payload.turn_id
        case EventLine():
            return getattr(record.payload, "turn_id", None)
        case Stranger():
            return record.turn_id
        case _:
            return None


def _begins(record: Record) -> bool:
    """Whether a turn may begin with it."""
    match record:
        case ResponseLine(payload=MessageResponse()) | EventLine(payload=UserMessageEvent() | TaskStarted()):
            return True
        case _:
            return isinstance(record, TurnContextLine)
