"""One session file under watch.

Owns the life of what is followed: how it is taken up, grows, moves, is replaced and comes to rest.
Does not own what its records mean (`follow`) nor the bytes (`tail`).
Invariant: a file that cannot be read just now is tried again; one that was replaced by another is
taken up anew, and what stands in it is no news.
"""

from pathlib import Path

from armarius.rollouts.opening import COMPRESSED
from armarius.sessions.state import Seen, standing_of
from armarius.thread import Goal, Thread
from armarius.watch.cursor import Mark
from armarius.watch.follow import Told, brief, follow, know, open_turn, stalled, stand, with_goal
from armarius.watch.signals import Kind, Signal
from armarius.watch.tail import Tail, turn_start

__all__ = ["Followed"]

_LONG = 256 << 10
"""What ended before this many bytes need not be held any more."""


class Followed:
    """A session file, from the moment on that somebody looks into it."""

    def __init__(self, tail: Tail, told: Told, grew_us: int) -> None:
        self.told = told
        self.grew_us = grew_us
        self.ended_us: int | None = None
        self.goal_ended_us: int | None = None
        self.is_over = False
        self._tail = tail
        self._thread = tail.thread()
        self._is_stalled = False

    @classmethod
    def taken_up(cls, path: Path, *, until: int | None, before_us: int | None, now_us: int) -> "Followed":
        """A file that was there before: all up to byte `until`, or written before `before_us`, is known."""
        tail = Tail(path, turn_start(path, until) if until is not None else 0)
        tail.take(until=until, before_us=before_us)
        return cls(tail, know(Told(), tail.thread()), now_us)

    @classmethod
    def taken_up_again(cls, path: Path, mark: Mark, now_us: int) -> "Followed":
        """A file where the last watch left it."""
        tail = Tail(path, mark.start)
        tail.take(until=mark.offset)
        told = mark.told if mark.told is not None else know(Told(), tail.thread())
        followed = cls(tail, told, now_us)
        if told.ended and not followed.runs and not mark.is_over:
            followed.ended_us = now_us  # its end was told, and the watch itself had not ended yet
        return followed

    @classmethod
    def new(cls, path: Path, now_us: int) -> "Followed":
        """A file that was not there before: all of it is news."""
        return cls(Tail(path, 0), Told(), now_us)

    @property
    def path(self) -> Path:
        return self._tail.path

    @property
    def thread(self) -> Thread:
        return self._thread

    @property
    def runs(self) -> bool:
        """Whether a turn is open, as far as the record goes."""
        return open_turn(self._thread) is not None

    def mark(self) -> Mark:
        """Where to go on."""
        return Mark(str(self._tail.path), self._tail.offset, self._tail.start, self.told, self.is_over)

    def advance(self, path: Path, *, wall_us: int, now_us: int) -> list[Signal]:
        """Take in what was written since, wherever the file lies now."""
        moved, self._tail.path = path != self._tail.path, path
        if moved or path.suffix == COMPRESSED:
            if not self._tail.is_continued():
                return self._replaced(now_us)
        elif path.stat().st_size < self._tail.offset or not self._tail.is_continued():
            return self._replaced(now_us)
        if not self._tail.take():
            return []
        self.grew_us, self._is_stalled, self.is_over = now_us, False, False
        self._thread = self._tail.thread()
        signals, self.told = follow(self.told, self._thread, now_us=wall_us)
        self._rest(signals, now_us)
        if not self.runs and self._tail.offset - self._tail.start > _LONG:
            self._tail = Tail(path, self._tail.offset)
        return signals

    def look(self, seen: Seen, *, wall_us: int) -> list[Signal]:
        """What the thread is doing now, when that is news."""
        standing = standing_of(brief(self._thread, self._tail.offset), seen, wall_us)
        signals, self.told = stand(self.told, self._thread, standing, now_us=wall_us)
        return signals

    def aim(self, goal: Goal, *, wall_us: int, now_us: int) -> list[Signal]:
        """What the goals database says, when that is news."""
        signals, self.told = with_goal(self.told, self._thread, goal, now_us=wall_us, source="goals_database")
        self._rest(signals, now_us)
        return signals

    def stall(self, after_us: int, *, wall_us: int, now_us: int) -> list[Signal]:
        """Whether an open turn has been quiet for too long, once for each such time."""
        quiet_us = now_us - self.grew_us
        if not self.runs or self._is_stalled or self.told.waits is not None or quiet_us < after_us:
            return []
        self._is_stalled = True
        return [stalled(self._thread, quiet_us=quiet_us, now_us=wall_us)]

    def _rest(self, signals: list[Signal], now_us: int) -> None:
        if self.runs:
            self.ended_us = None
        elif self.told.ended:
            self.ended_us = now_us
        if any(signal.kind is Kind.GOAL_ENDED for signal in signals):
            self.goal_ended_us = now_us

    def _replaced(self, now_us: int) -> list[Signal]:
        self._tail = Tail(self._tail.path, 0)
        self._tail.take()
        self._thread = self._tail.thread()
        self.told = know(Told(), self._thread)
        self.grew_us = now_us
        return []
