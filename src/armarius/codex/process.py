"""Start a guard, wait for it, find it again after a crash, cancel it.

Owns the attempt's folder as seen from Armarius, and the lock that says whether the attempt lives.
Does not own the kill of a living codex (guard.py) nor what an attempt is for.
Invariant: the lock is taken before the guard exists and handed to it, so there is no moment at
which an attempt lives and its lock is free. Whoever gets the lock knows that the attempt is over.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

import msgspec

from armarius.codex import guard
from armarius.errors import HostError
from armarius.files import private_folder, write_atomic

__all__ = ["Attempt", "Exit", "Launch", "Liveness"]

MARKER = "ARMARIUS_ATTEMPT"
"""Names the attempt in the environment of everything it starts; how orphans are recognised."""

_LOCK = "lock"
_GUARD_LOG = "guard.log"

Liveness = Literal["absent", "alive", "ended", "lost"]
"""absent: never started · alive: its guard runs · ended: `exit.json` is there · lost: its guard was
killed and said nothing."""


class Launch(msgspec.Struct, frozen=True):
    """What a guard starts. `argv[0]` is an absolute path; `environ` is the whole environment, and
    only the names in it are ever written to disk.

    `deadline_s` is wall time; `grace_s` the waits after SIGINT and after SIGTERM; the cap bounds
    standard output and error together. `witness` is a FIFO whose content the guard keeps. `stops` are
    names with patterns: a line of standard output that begins with one ends codex. `fence` is a file with
    the moment (monotonic, microseconds) at which codex is ended unless it was moved on by then.
    `last` is the pattern of its last line: after one, codex has `linger_s` to end or to say more.
    """

    argv: tuple[str, ...]
    environ: dict[str, str]
    cwd: str
    deadline_s: float
    grace_s: tuple[float, float] = (5.0, 2.0)
    output_cap_bytes: int = 256 << 20
    witness: str | None = None
    stops: tuple[tuple[str, str], ...] = ()
    fence: str | None = None
    last: str | None = None
    linger_s: float = 10.0


class Exit(msgspec.Struct, frozen=True):
    """How an attempt ended, as its guard saw it.

    `outcome` is `exited` (by itself), `deadline`, `cancelled`, `output_cap`, `stopped` (by what it
    printed: `stopped_by`), `not_started` (see `error`) or `lost` (the guard was killed; nothing else
    is known).
    """

    outcome: Literal["exited", "deadline", "cancelled", "output_cap", "stopped", "not_started", "lost"]
    started_at_us: int | None = None
    ended_at_us: int | None = None
    duration_us: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    signals_sent: tuple[str, ...] = ()
    stragglers: int = 0
    unkillable: int = 0
    cpu_us: int = 0
    max_rss_kib: int = 0
    output_bytes: int = 0
    error: str | None = None
    stopped_by: str | None = None
    schema: str = guard.EXIT_SCHEMA


class Attempt:
    """One attempt, by its folder. Any process may hold an `Attempt` of the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def events(self) -> Path:
        return self.folder / guard.EVENTS

    @property
    def stderr(self) -> Path:
        return self.folder / guard.STDERR

    @property
    def witness(self) -> Path:
        return self.folder / guard.WITNESS

    def start(self, launch: Launch, prompt: bytes) -> guard.Identity:
        """Start the guard; returns who it is. HostError when this attempt was started before."""
        private_folder(self.folder)
        lock = self._lock(block=False)
        if lock is None or (self.folder / guard.LAUNCH).exists():
            raise HostError(
                "attempt-taken",
                f"the attempt in {self.folder} was already started",
                "wait for it with `armarius runs show`, or start a new run",
            )
        try:
            environ = launch.environ | {MARKER: str(self.folder)}
            plan = msgspec.structs.asdict(launch) | {"environ": list(environ)}
            write_atomic(self.folder / guard.PROMPT, prompt)
            write_atomic(self.folder / guard.LAUNCH, msgspec.json.encode(plan))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with os.fdopen(os.open(self.folder / _GUARD_LOG, flags, 0o600), "ab") as log:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", guard.__file__, str(self.folder), str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environ,
                    cwd="/",
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        finally:
            os.close(lock)
        return guard.identity_of(self._guard.pid) or {"pid": self._guard.pid}

    def liveness(self) -> Liveness:
        """Whether the attempt lives, without waiting for it."""
        if not (self.folder / guard.LAUNCH).exists():
            return "absent"
        lock = self._lock(block=False)
        if lock is None:
            return "alive"
        os.close(lock)
        return "ended" if (self.folder / guard.EXIT).exists() else "lost"

    def wait(self) -> Exit:
        """Block until the attempt is over, whoever started it; its end.

        When the guard was killed, everything the attempt started is ended first, so that a caller
        may start another attempt at once.
        """
        lock = self._lock(block=True)
        if lock is not None:
            os.close(lock)
        if self._guard is not None:
            self._guard.wait()  # reap it: the lock is free, so it is past its last line
        try:
            return msgspec.json.decode((self.folder / guard.EXIT).read_bytes(), type=Exit)
        except FileNotFoundError:
            _end_orphans(str(self.folder))
            return Exit(outcome="lost")

    def cancel(self) -> bool:
        """Ask the guard to end codex (SIGINT first). False when there is no guard to ask.

        That it is not wanted any more is kept, so that whoever would try once more knows.
        """
        state = self.liveness()
        if state == "ended":
            (self.folder / guard.CANCEL).touch(mode=0o600)
        if state != "alive":
            return False
        (self.folder / guard.CANCEL).touch(mode=0o600)
        try:
            who = json.loads((self.folder / guard.GUARD).read_bytes())
        except FileNotFoundError:
            return True  # it is only starting, and will find that it is not wanted
        who.pop("codex", None)
        if guard.identity_of(who["pid"]) != who:
            return False
        os.kill(who["pid"], signal.SIGTERM)
        os.kill(who["pid"], signal.SIGCONT)  # it may have been stopped, and would hear nothing
        return True

    def leave(self) -> None:
        """Nobody here waits for it any more: once its guard has ended, it is only taken off the list of processes."""
        if self._guard is not None:
            threading.Thread(target=self._guard.wait, name="left", daemon=True).start()

    @property
    def is_unwanted(self) -> bool:
        """Whether somebody asked for its end, before or after it came."""
        return (self.folder / guard.CANCEL).exists()

    def _lock(self, *, block: bool) -> int | None:
        """The attempt's lock as a descriptor; None when somebody holds it and `block` is false."""
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _end_orphans(marker: str) -> None:
    """Kill everything that carries the marker of an attempt whose guard is gone, until none is left."""
    wanted = f"{MARKER}={marker}".encode()
    while pids := [pid for pid in _own_processes() if wanted in _environ_of(pid)]:
        for pid in pids:
            descriptor = _open_process(pid)
            if descriptor is None:
                continue
            # The descriptor names one process for ever: check again through it, then signal it.
            if wanted in _environ_of(pid):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)


def _own_processes() -> list[int]:
    me = os.geteuid()
    found = list[int]()
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir("/proc"):
            with contextlib.suppress(FileNotFoundError):
                if entry.name.isdigit() and entry.stat().st_uid == me:
                    found.append(int(entry.name))
    return found


def _environ_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM):
            return []
        raise


def _open_process(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
