"""The session files under watch.

Owns which files there are, which of them are followed, and looking at those in which a turn runs.
Does not own what is said of one (`followed`), nor when it is time to look (`loop`).
Invariant: a file that does not change is never opened; one that grew for the first time is taken up
where it stood when the watch began. A file goes by its name, which it keeps when it is archived or
compressed.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.daemon import ThreadStatus, ask_statuses, control_socket
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.opening import COMPRESSED
from armarius.sessions.folders import Found, Place, sweep
from armarius.sessions.names import Named
from armarius.sessions.observe import HookLog, Lock, Observations, read_locks
from armarius.store.foreign import newest, read_foreign
from armarius.store.queries import load
from armarius.thread import Goal
from armarius.watch.cursor import Cursor, Mark
from armarius.watch.follow import SETTLE_US, idle
from armarius.watch.followed import Followed
from armarius.watch.signals import Signal

__all__ = ["WatchedFiles"]

_QUERIES = load(Path(__file__).with_name("codex_queries.sql"))
_LIVELY_US = 10_000_000
_QUIET_US = 500_000
_ASK_US = 3_000_000
"""An app-server is asked only when a turn is quiet, and not all the time: that costs both sides something."""
_GOAL_GRACE_US = 5_000_000
"""How long a thread may go on with its last words after its goal has ended."""


class _Spot(msgspec.Struct):
    """Where a file was last seen; `size` is None while only a compressed form was ever seen."""

    path: Path
    size: int | None


class WatchedFiles:
    """The files of some homes: all of them (`named` is None), or those of a few threads."""

    def __init__(self, homes: tuple[Path, ...], named: tuple[Named, ...] | None, clock: Clock, hooks: Path) -> None:
        self._homes = homes
        self._named = None if named is None else {one.thread_id or _key(one.path) for one in named}
        self._apart = {one.path for one in named or () if not any(one.path.is_relative_to(home) for home in homes)}
        self._clock = clock
        self._began_us = clock.now_us()
        self._spots = dict[str, _Spot]()
        self._marks = dict[str, Mark]()
        self._followed = dict[str, Followed]()
        self._swept = dict[Path, dict[str, Found]]()
        self._goals = dict[str, Goal]()
        self._goal_stamps = dict[Path, tuple[int, ...]]()
        self._statuses = dict[Path, tuple[int, dict[str, ThreadStatus]]]()
        self._hooks = HookLog(hooks)

    # Which files there are

    @property
    def deep(self) -> tuple[Path, ...]:
        folders = [home / name for home in self._homes for name in ("sessions", "archived_sessions")]
        return tuple(folder for folder in folders if folder.is_dir())

    @property
    def flat(self) -> tuple[Path, ...]:
        """Where a file of its own lies, and homes in which nobody has worked yet."""
        empty = {home for home in self._homes if home.is_dir() and not (home / "sessions").is_dir()}
        return tuple(empty | {path.parent for path in self._apart})

    def opens(self, paths: Iterable[str]) -> bool:
        """Whether a home may have become one in which somebody works."""
        return any(home / "sessions" == Path(path) for path in paths for home in self._homes)

    def start(self, cursor: Cursor | None) -> list[Signal]:
        """Take note of what there is; what was written since the cursor is news."""
        files = list(self._listed())
        if cursor is not None:
            self._marks = dict(cursor.files)
        self._read_goals()
        locks = self._locks()
        for key, path, size in files:
            mark = self._marks.get(key)
            if mark is not None:
                self._spots[key] = _Spot(Path(mark.path), mark.offset)
            elif cursor is None or not cursor.is_all:
                self._spots[key] = _Spot(path, None if path.suffix == COMPRESSED else size)
            else:
                continue  # a file that was not there when the last watch ended: all of it is news
            was_followed = mark is not None and mark.told is not None
            if self._named is not None or _id(key) in locks or was_followed:
                self._try_to_take_up(key, path)
        return [signal for key, path, size in files for signal in self._touch(key, path, size)]

    def changed(self, paths: Iterable[str]) -> list[Signal]:
        """What the kernel says has changed."""
        signals = list[Signal]()
        for text in paths:
            path = Path(text)
            if self._is_ours(path):
                try:
                    size = path.stat().st_size
                except OSError:
                    continue  # moved or deleted: where it is now is told as well, or swept up
                signals += self._touch(_key(path), path, size)
        return signals

    def sweep(self) -> list[Signal]:
        """Look at every file from outside, for what the kernel did not tell."""
        return [signal for key, path, size in self._listed() for signal in self._touch(key, path, size)]

    def _listed(self) -> Iterator[tuple[str, Path, int]]:
        """What is new since the last time, or has changed."""
        for home in self._homes:
            before, files = self._swept.get(home, {}), sweep(Place("codex", home)).files
            self._swept[home] = files
            for found in files.values():
                if found != before.get(found.path) and (self._named is None or found.thread_id in self._named):
                    path = home / found.path
                    yield _key(path), path, found.size
        for path in self._apart:
            if (size := _size(path)) is not None:
                yield _key(path), path, size

    def _is_ours(self, path: Path) -> bool:
        if path in self._apart:
            return True
        thread_id = thread_id_of(path.name)
        return bool(thread_id) and (self._named is None or thread_id in self._named)

    # What is in them

    def _touch(self, key: str, path: Path, size: int) -> list[Signal]:
        spot = self._spots.get(key)
        followed = self._followed.get(key)
        if spot is not None and path == spot.path and (size == spot.size or path.suffix == COMPRESSED):
            return []
        if spot is not None and path.suffix == COMPRESSED and path.with_suffix("").exists():
            return []  # the plain form counts
        if followed is None and spot is not None and size == spot.size:
            spot.path = path  # moved, and nothing more
            return []
        try:
            if followed is None:
                followed = self._take_up(key, path)
            signals = followed.advance(path, wall_us=self._clock.now_us(), now_us=self._clock.monotonic_us())
        except OSError:
            return []  # gone again, or not ours to read: the next look is another chance
        known = spot.size if spot is not None else None
        self._spots[key] = _Spot(path, known if path.suffix == COMPRESSED else size)
        return signals

    def _try_to_take_up(self, key: str, path: Path) -> None:
        with contextlib.suppress(OSError):  # the next change of it is another chance
            self._take_up(key, path)

    def _take_up(self, key: str, path: Path) -> Followed:
        now_us, spot, mark = self._clock.monotonic_us(), self._spots.get(key), self._marks.get(key)
        if mark is not None:
            followed = Followed.taken_up_again(path, mark, now_us)
        elif spot is None:
            followed = Followed.new(path, now_us)
        else:
            before_us = self._began_us if spot.size is None else None
            followed = Followed.taken_up(path, until=spot.size, before_us=before_us, now_us=now_us)
            if (goal := self._goals.get(_id(key))) is not None:
                followed.aim(goal, wall_us=0, now_us=now_us)
        self._followed[key] = followed
        self._marks.pop(key, None)
        return followed

    # What only looking tells

    def look(self) -> list[Signal]:
        """Look at the threads in which a turn runs: who holds their locks, what an app-server and hooks say."""
        running = {key: one for key, one in self._followed.items() if one.runs and not one.is_over}
        if not running:
            return []
        now_us = self._clock.monotonic_us()
        is_quiet = any(now_us - one.grew_us >= _QUIET_US for one in running.values())
        seen = [(home, self._observed(home, now_us, is_quiet=is_quiet)) for home in self._homes]
        wall_us, signals = self._clock.now_us(), list[Signal]()
        for followed in running.values():
            path = followed.path
            for home, observations in seen:
                if path.is_relative_to(home):
                    # Between the look and now the turn may have ended, and the file is the truth.
                    signals += self._touch(_key(path), path, _size(path) or 0)
                    seen_now = observations.of(followed.thread.id, str(path))
                    signals += followed.look(seen_now, wall_us=wall_us)
        return signals

    def aims(self) -> list[Signal]:
        """What the goals databases say, when they changed."""
        if not self._read_goals():
            return []
        wall_us, now_us, signals = self._clock.now_us(), self._clock.monotonic_us(), list[Signal]()
        for key, followed in self._followed.items():
            if (goal := self._goals.get(_id(key))) is not None:
                signals += followed.aim(goal, wall_us=wall_us, now_us=now_us)
        return signals

    def stalls(self, after_us: int) -> list[Signal]:
        """Turns that are open and quiet."""
        wall_us, now_us = self._clock.now_us(), self._clock.monotonic_us()
        return [
            signal
            for followed in self._followed.values()
            if not followed.is_over
            for signal in followed.stall(after_us, wall_us=wall_us, now_us=now_us)
        ]

    # The end

    def marks(self) -> dict[str, Mark]:
        """Where to go on, for every file."""
        found = {key: Mark(str(spot.path), spot.size) for key, spot in self._spots.items() if spot.size is not None}
        return self._marks | found | {key: followed.mark() for key, followed in self._followed.items()}

    def resting(self) -> list[Signal]:
        """Threads that are followed and in which no turn runs."""
        rest = [one.thread for one in self._followed.values() if not one.runs and one.thread.turns]
        return [idle(thread, now_us=self._clock.now_us()) for thread in rest]

    def rested(self) -> list[Signal]:
        """Threads with which it is over since the last call: they came to rest, crashed, or met their goal."""
        now_us, signals = self._clock.monotonic_us(), list[Signal]()
        for key, followed in self._followed.items():
            if not followed.is_over and self._is_over(key, followed, now_us):
                followed.is_over = True
                if not followed.told.is_crashed:
                    signals.append(idle(followed.thread, now_us=self._clock.now_us()))
        return signals

    @property
    def is_over(self) -> bool:
        """Whether it is over with every thread that was named."""
        over = {_id(key) for key, one in self._followed.items() if one.is_over}
        runs = {_id(key) for key, one in self._followed.items() if one.runs and not one.is_over}
        return bool(self._named) and over - runs >= (self._named or set())

    @property
    def is_busy(self) -> bool:
        """Whether anything is about to be decided by the time alone."""
        return any(not one.is_over and (one.runs or one.ended_us is not None) for one in self._followed.values())

    @property
    def is_lively(self) -> bool:
        """Whether a turn that runs has said something lately."""
        since_us = self._clock.monotonic_us() - _LIVELY_US
        return any(one.runs and one.grew_us >= since_us for one in self._followed.values())

    @property
    def is_settling(self) -> bool:
        """Whether a thread came to rest just now, and may go on at once."""
        return any(not one.is_over and not one.runs and one.ended_us is not None for one in self._followed.values())

    def _is_over(self, key: str, followed: Followed, now_us: int) -> bool:
        if followed.told.is_crashed:
            return True
        if followed.goal_ended_us is not None and now_us - followed.goal_ended_us >= _GOAL_GRACE_US:
            return True
        if followed.runs or followed.ended_us is None or now_us - followed.ended_us < SETTLE_US:
            return False
        goal = followed.told.goal
        # A goal is pursued by whoever has the thread loaded; when nobody has, nothing goes on.
        return goal is None or goal.status != "active" or _id(key) not in self._locks()

    def _observed(self, home: Path, now_us: int, *, is_quiet: bool) -> Observations:
        asked = self._statuses.get(home)
        if is_quiet and (asked is None or now_us - asked[0] >= _ASK_US):
            self._statuses[home] = now_us, ask_statuses(control_socket(home)) or {}
        elif not is_quiet:
            self._statuses.pop(home, None)  # whoever writes does not wait
        return Observations(
            home=str(home),
            at_us=self._clock.now_us(),
            statuses=self._statuses[home][1] if home in self._statuses else {},
            locks=read_locks(home),
            openers={},
            sees_processes=False,
            hooks=self._hooks.latest(),
            pasts={},
            queued={},
            archived=frozenset(),
            goals={},
        )

    def _read_goals(self) -> bool:
        """Whether there was anything to read."""
        is_new = False
        for home in self._homes:
            path = newest(home, "goals")
            if path is None:
                continue
            stamp = _stamp(path) + _stamp(path.with_name(f"{path.name}-wal"))
            if self._goal_stamps.get(path) == stamp:
                continue
            reading = read_foreign(path, _QUERIES.goals, _GoalRow)
            if not reading.trouble:  # else it is asked again next time
                self._goal_stamps[path], is_new = stamp, True
            self._goals |= {row.thread_id: row.goal for row in reading.rows}
        return is_new

    def _locks(self) -> dict[str, Lock]:
        return {name: lock for home in self._homes for name, lock in read_locks(home).items() if lock.is_held}


class _GoalRow(msgspec.Struct):
    thread_id: str
    objective: str
    status: str
    updated_at_ms: int

    @property
    def goal(self) -> Goal:
        return Goal(self.objective, self.status, at_us=self.updated_at_ms * 1_000)


def _key(path: Path) -> str:
    return path.name.removesuffix(COMPRESSED)


def _id(key: str) -> str:
    """The thread of a file, or for a name that Codex does not give the file itself."""
    return thread_id_of(key) or key


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return seen.st_size, seen.st_mtime_ns


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
