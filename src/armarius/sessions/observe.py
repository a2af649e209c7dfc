"""What can be seen of every thread of a CODEX_HOME besides its record.

Owns looking: writer locks, processes, Codex's databases, hook events, the running app-server. Does
not own what it means (`state`) nor reading session files.
Invariant: it looks and leaves no trace: nothing is created, written, waited for or answered. What
could not be looked at is no evidence, and is named in `trouble`.

A lock is asked for in the kernel's own list of locks first, which disturbs nobody. Only one that is
not in it is tried, for the few microseconds of a shared, never blocking flock(2): a Codex that wants
it at that very moment says that the thread is in use, and can be asked again.
"""

import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from armarius.clock import Clock
from armarius.codex.daemon import ThreadStatus, ask_statuses, control_socket
from armarius.codex.hooks import Mark, read_events
from armarius.codex.processes import Processes, codex_processes, started_us
from armarius.sessions.seen import Hook, Past, Presence, Seen
from armarius.store.foreign import newest, read_foreign
from armarius.store.queries import Query, load
from armarius.thread import Goal

__all__ = ["HookLog", "Lock", "Observations", "observe", "read_locks"]

T = TypeVar("T")

QUERIES = load(Path(__file__).with_name("observe.sql"))

_LOCKS = "thread-writer-locks"
_KERNEL_LOCK = re.compile(rb"^\d+: FLOCK +\S+ +\S+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE)
_FIRST_READ: Final = 1 << 20
_LONGEST_LIST: Final = 1 << 20


class Lock(msgspec.Struct, frozen=True):
    """A writer's lock that is there. `pid` is who holds it, where the kernel says so."""

    is_held: bool
    pid: int | None = None


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was seen in one CODEX_HOME at one time. `trouble` is what could not be looked at."""

    home: str
    at_us: int
    statuses: dict[str, ThreadStatus]
    locks: dict[str, Lock]
    openers: dict[str, tuple[int, int]]
    sees_processes: bool
    hooks: dict[str, Hook]
    pasts: dict[str, Past]
    queued: dict[str, int]
    archived: frozenset[str]
    goals: dict[str, Goal]
    trouble: tuple[str, ...] = ()

    def of(self, thread_id: str, path: str, changed_us: int | None = None) -> Seen:
        """What was seen of the thread with the session file `path`; its mtime is looked up if not given."""
        presence, pid, since_us = self._presence(thread_id, path)
        return Seen(
            at_us=self.at_us,
            app_server=self.statuses.get(thread_id),
            is_archived=os.path.dirname(path) == f"{self.home}/archived_sessions",  # noqa: PTH120  # 500 at a time
            archived_row=thread_id in self.archived,
            hook=self.hooks.get(thread_id),
            presence=presence,
            pid=pid,
            since_us=since_us,
            past=self.pasts.get(thread_id),
            queued=self.queued.get(thread_id, 0),
            changed_us=_changed_us(path) if changed_us is None else changed_us,
        )

    def _presence(self, thread_id: str, path: str) -> tuple[Presence, int | None, int | None]:
        lock = self.locks.get(thread_id)
        if lock is not None:
            if not lock.is_held:
                return "free", None, None
            return "held", lock.pid, started_us(lock.pid) if lock.pid else None
        opener = self.openers.get(os.path.basename(path))  # noqa: PTH119  # as above
        if opener is not None:
            return "open", *opener
        return ("gone" if self.sees_processes else "unsaid"), None, None


def observe(home: Path, clock: Clock, *, hooks: "HookLog | None" = None, databases: Path | None = None) -> Observations:
    """Look at everything once. `databases` is where Codex keeps them when not in `home` (CODEX_SQLITE_HOME).

    Look first and read the records afterwards: then a turn that is open in its record, and whose lock was
    free before, has no end. The other way round it may have ended in between.
    """
    look = _Databases(databases or home)
    pasts = {row.thread_id: row.past for row in look.rows("thread_history", QUERIES.last_turns, _Turn)}
    queued = {row.thread_id: row.waiting for row in look.rows("queue", QUERIES.queued, _Queued)}
    archived = frozenset(row.thread_id for row in look.rows("state", QUERIES.archived, _Id))
    goals = {row.thread_id: row.goal for row in look.rows("goals", QUERIES.goals, _GoalRow)}
    processes = codex_processes()
    return Observations(
        home=str(home),
        at_us=clock.now_us(),
        statuses=ask_statuses(control_socket(home)) or {},
        locks=read_locks(home),
        openers=_openers(processes),
        sees_processes=processes.is_complete,
        hooks=dict(hooks.latest()) if hooks else {},
        pasts=pasts,
        queued=queued,
        archived=archived,
        goals=goals,
        trouble=tuple(look.trouble),
    )


def _openers(processes: Processes) -> dict[str, tuple[int, int]]:
    return {
        os.path.basename(path): (process.pid, process.since_us)  # noqa: PTH119
        for process in processes.found
        for path in process.rollouts
    }


def _changed_us(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns // 1_000  # noqa: PTH116  # 500 at a time
    except OSError:
        return None


# --------------------------------------------------------------------- locks


def read_locks(home: Path) -> dict[str, Lock]:
    """The writer's lock of each thread that has one, by thread."""
    found = dict[str, Lock]()
    known: dict[tuple[int, int], int] | None = None
    try:
        with os.scandir(home / _LOCKS) as entries:
            for entry in entries:
                if not entry.name.endswith(".lock") or entry.name.startswith("."):
                    continue
                if known is None:
                    known = _kernel_locks()
                lock = _lock(entry, known)
                if lock is not None:
                    found[entry.name.removesuffix(".lock")] = lock
    except OSError:  # no such folder: nothing was ever locked here, or an old Codex
        return found
    return found


def _lock(entry: os.DirEntry[str], known: dict[tuple[int, int], int]) -> Lock | None:
    try:
        seen = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(seen.st_mode):
            return None
        pid = known.get((seen.st_dev, seen.st_ino))
        if pid is not None:
            return Lock(is_held=True, pid=pid or None)
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return Lock(is_held=True)
    finally:
        os.close(descriptor)
    return Lock(is_held=False)


def _kernel_locks() -> dict[tuple[int, int], int]:
    """Who holds which file by flock(2), by device and inode (proc_locks(5)); empty where the kernel does not say."""
    try:
        with open("/proc/locks", "rb") as file:  # noqa: PTH123  # its size reads as 0
            text = file.read(_LONGEST_LIST)
    except OSError:
        return {}
    return {
        (os.makedev(int(major, 16), int(minor, 16)), int(inode)): int(pid)
        for pid, major, minor, inode in _KERNEL_LOCK.findall(text)
    }


# ----------------------------------------------------------------- databases


class _Databases:
    """Codex's databases of one folder, each the newest of its name, and what went wrong with them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trouble = list[str]()

    def rows(self, stem: str, query: Query, shape: type[T]) -> tuple[T, ...]:
        path = newest(self._folder, stem)
        if path is None:
            return ()
        reading = read_foreign(path, query, shape)
        if reading.trouble:
            self.trouble.append(reading.trouble)
        return reading.rows


class _Id(msgspec.Struct):
    thread_id: str


class _Queued(msgspec.Struct):
    thread_id: str
    waiting: int


class _Turn(msgspec.Struct):
    """Times in seconds since 1970, as Codex keeps them here."""

    thread_id: str
    turn_id: str
    status: str
    started_at: int | None = None
    completed_at: int | None = None

    @property
    def past(self) -> Past:
        at = self.completed_at if self.completed_at is not None else self.started_at
        return Past(self.turn_id, self.status, None if at is None else at * 1_000_000)


class _GoalRow(msgspec.Struct):
    thread_id: str
    objective: str
    status: str
    token_budget: int | None = None
    tokens_used: int | None = None
    updated_at_ms: int | None = None

    @property
    def goal(self) -> Goal:
        at_us = None if self.updated_at_ms is None else self.updated_at_ms * 1_000
        return Goal(self.objective, self.status, self.token_budget, self.tokens_used, at_us)


# --------------------------------------------------------------------- hooks


class HookLog:
    """The last hook event of each thread, from the file `path` that our hooks write; read on from where it was left.

    At first only the end of the file is read: what is older was overtaken by the records long ago.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: Mark | None = None
        self._latest = dict[str, Hook]()

    def latest(self) -> dict[str, Hook]:
        """By thread; a file that is missing or no file at all has no events."""
        try:
            read = read_events(self._path, self._mark or _near_the_end(self._path))
        except OSError:
            return self._latest
        self._mark = read.mark
        for event in read.events:
            known = self._latest.get(event.thread_id)
            if known is None or known.at_us <= event.at_us:
                self._latest[event.thread_id] = Hook(event.event, event.at_us, event.turn_id)
        return self._latest


def _near_the_end(path: Path) -> Mark | None:
    """Where a line begins in the last part of a long file; None for a short one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would be waited for
    with os.fdopen(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size <= _FIRST_READ:
            return None
        file.seek(seen.st_size - _FIRST_READ)
        file.readline(_FIRST_READ)
        return Mark(seen.st_ino, file.tell())
