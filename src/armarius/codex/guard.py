"""The small program that stands between Armarius and one codex process.

Owns: starting codex, its deadline, its kill, the proof that nothing of it is left, and `exit.json`.
Does not own: what codex is asked, what its output means, retries. It runs alone, as
`python -I -S guard.py FOLDER LOCK_FD`, on the standard library only, so that it starts in a few
milliseconds and survives whatever happens to the Armarius that started it.

Invariant: while the attempt's lock is held, the attempt is alive; once it is free, either
`exit.json` is complete and no process of the attempt is left, or the guard itself was killed.

    FOLDER/launch.json   read: argv, cwd, deadline, caps, names of variables (written by process.py)
    FOLDER/guard.json    who the guard is (host, boot id, pid, start time); from then on it hears SIGTERM
    FOLDER/cancel        made by whoever wants the attempt ended, for a guard that is only starting
    FOLDER/prompt        codex's standard input, closed at its end
    FOLDER/events.jsonl  codex's standard output
    FOLDER/stderr.log    codex's standard error
    FOLDER/witness.log   what was written to the launch's FIFO, if it names one
    FOLDER/exit.json     written last, atomically

A launch may name patterns (`stops`): a line of the standard output that begins with one ends codex,
so that it also ends when the Armarius that would have read that line is gone. So does the moment that
stands in the file it names as its `fence` (monotonic, microseconds), which whoever renews moves on; and a
codex that has printed its last line (`last`) and says nothing more, and does not end, for `linger_s`.

The values of the environment never touch the disk: the guard inherits them and hands on those that
are named. Codex writes to files and not to pipes: a pipe whose reader died makes it panic at its next event.
The kill goes SIGINT, SIGTERM, SIGKILL, because only SIGINT lets Codex record `turn_aborted` and end
its own commands. On Linux the guard is a child subreaper: whatever codex leaves behind, even in a
session of its own, becomes the guard's child, so "no children" proves that nothing is left.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TYPE_CHECKING = False  # typing costs 3 ms, which every run would pay
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

__all__ = ["Identity", "identity_of", "main"]

LAUNCH = "launch.json"
GUARD = "guard.json"
PROMPT = "prompt"
EVENTS = "events.jsonl"
STDERR = "stderr.log"
WITNESS = "witness.log"
EXIT = "exit.json"
CANCEL = "cancel"
EXIT_SCHEMA = "armarius.exit.v1"
FENCED = "lease"  # what has stopped an attempt whose fence was passed
LINGERED = "linger"  # and one that was over and did not end

_PR_SET_CHILD_SUBREAPER = 36
_SIZE_CHECK_S = 1.0
_FIRST_LOOK_S = 0.05
_LATEST_LOOK_S = 0.2  # a codex that is to be stopped asks again within that time
_LONGEST_LOOK = 1 << 20
_LINE_HEAD = 8 << 10  # patterns stand at the beginning of a line
_STRAGGLER_GRACE_S = 1.0
_GIVE_UP_S = 15.0  # a process of another user, or one stuck in the kernel
_POLL_S = 0.05
_NEVER = float("inf")

Identity = dict[str, Any]
"""`{"host", "boot_id", "pid", "start"}`: one process, told apart from every other one ever."""


def identity_of(pid: int) -> Identity | None:
    """Who process `pid` is, or None when there is no such process.

    `start` is its start time (clock ticks since boot on Linux), so that a reused pid is not taken
    for the process that had it before.
    """
    start = _start_of(pid)
    if start is None:
        return None
    return {"host": os.uname().nodename, "boot_id": _boot_id(), "pid": pid, "start": start}


def main(folder: Path, lock: int) -> int:
    """Run the attempt in `folder` to its end; the exit status only matters to a reader of logs."""
    os.umask(0o077)
    os.set_inheritable(lock, False)
    _become_subreaper()
    who = identity_of(os.getpid()) or {}
    launch = json.loads((folder / LAUNCH).read_bytes())
    wakeup = _Wakeup(launch["witness"], folder / WITNESS)
    _write(folder / GUARD, who, durable=False)
    started_us, clock = time.time_ns() // 1_000, time.monotonic_ns
    began = clock()
    # Looked for after guard.json is there: a canceller that missed that file has made this one before.
    unwanted = (folder / CANCEL).exists()
    child, trouble = (None, "") if unwanted else _start(folder, launch)
    if child is None:
        report: dict[str, Any] = {"outcome": "cancelled"} if unwanted else {"outcome": "not_started", "error": trouble}
    else:
        _write(folder / GUARD, who | {"codex": identity_of(child)}, durable=False)
        report = _watch(folder, launch, child, wakeup)
        report |= _clear_out(wakeup)
        wakeup.take_testimony()
    report |= {
        "schema": EXIT_SCHEMA,
        "started_at_us": started_us,
        "ended_at_us": time.time_ns() // 1_000,
        "duration_us": (clock() - began) // 1_000,
    }
    _write(folder / EXIT, report, durable=True)
    return 0


def _start(folder: Path, launch: dict[str, Any]) -> tuple[int | None, str]:
    """Fork and exec codex in a process group of its own; the pid, or the reason why not."""
    prompt = os.open(folder / PROMPT, os.O_RDONLY)
    events = os.open(folder / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stderr = os.open(folder / STDERR, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    said, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for target, source in enumerate((prompt, events, stderr)):
                os.dup2(source, target)
            os.chdir(launch["cwd"])
            environ = {name: os.environ[name] for name in launch["environ"]}
            os.execve(launch["argv"][0], launch["argv"], environ)
        except OSError as error:
            where = error.filename or launch["argv"][0]
            os.write(says, f"{error.strerror}: {where}".encode(errors="replace"))
        finally:
            os._exit(127)
    for descriptor in (prompt, events, stderr, says):
        os.close(descriptor)
    with contextlib.suppress(OSError):  # the child does the same: whichever comes first
        os.setpgid(pid, pid)
    with os.fdopen(said, "rb") as pipe:
        trouble = pipe.read().decode()  # empty once exec has closed the pipe
    if trouble:
        os.waitpid(pid, 0)
        return None, trouble
    return pid, ""


def _watch(folder: Path, launch: dict[str, Any], child: int, wakeup: "_Wakeup") -> dict[str, Any]:
    """Wait for codex, its deadline, a cancel or a flood, whichever comes first."""
    began = time.monotonic()
    deadline = began + launch["deadline_s"]
    outcome, sent = "exited", list[str]()
    output, stopped = _Output(folder / EVENTS, launch), None
    steps: Iterator[tuple[signal.Signals, float]] = iter(())
    next_step = _NEVER
    while True:
        done = _reap(child)
        if done is not None:
            status, usage = done
            break
        now = time.monotonic()
        if outcome == "exited":
            cancelled = wakeup.cancelled
            flooded = _size(folder) > launch["output_cap_bytes"]
            stopped = output.look(now) or _fenced(launch["fence"])
            if cancelled or flooded or stopped or now >= deadline:
                outcome = (
                    "cancelled" if cancelled else "output_cap" if flooded else "stopped" if stopped else "deadline"
                )
                steps = iter(_escalation(launch))
                next_step = now
        if now >= next_step:
            number, grace = next(steps)
            _signal(os.killpg, child, number)
            sent.append(number.name)
            next_step = now + grace
        wait = min(output.pause_s, next_step - now, max(deadline - now, 0.0) if outcome == "exited" else _NEVER)
        wakeup.wait(max(wait, 0.0))
    return {
        "outcome": outcome,
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None,
        "signals_sent": sent,
        "stopped_by": stopped,
        "cpu_us": int((usage.ru_utime + usage.ru_stime) * 1_000_000),
        "max_rss_kib": usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1024,
        "output_bytes": _size(folder),
    }


class _Output:
    """What codex prints, looked at as it comes; soon again while something does, else less often."""

    def __init__(self, path: Path, launch: dict[str, Any]) -> None:
        self._path = path
        self._stops = [(name, re.compile(pattern.encode())) for name, pattern in launch["stops"]]
        self._last = re.compile(launch["last"].encode()) if launch["last"] else None
        self._linger_s = launch["linger_s"]
        self._over_at = _NEVER
        self._offset = 0
        self.pause_s = _FIRST_LOOK_S if self._stops or self._last else _SIZE_CHECK_S

    def look(self, now: float) -> str | None:
        """The name of what is to end codex: a pattern that a line written since begins with, or its silence."""
        if not self._stops and self._last is None:
            return None
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read(_LONGEST_LOOK)
        end = text.rfind(b"\n") + 1
        if not end and len(text) == _LONGEST_LOOK:
            end = len(text)  # a line without measure: its head was seen, or will not be
        self._offset += end
        self.pause_s = _FIRST_LOOK_S if end else min(2 * self.pause_s, _LATEST_LOOK_S)
        for line in text[:end].split(b"\n"):
            for name, pattern in self._stops:
                if pattern.match(line[:_LINE_HEAD]):
                    return name
            if line and self._last is not None:  # whatever follows takes it back: another turn may begin
                self._over_at = now if self._last.match(line[:_LINE_HEAD]) else _NEVER
        return LINGERED if now - self._over_at >= self._linger_s else None


def _fenced(fence: str | None) -> str | None:
    """Whether the moment has passed; a fence that was taken away is one that was passed."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return FENCED if fence and time.monotonic_ns() // 1_000 >= int(Path(fence).read_bytes()) else None
    return FENCED


def _escalation(launch: dict[str, Any]) -> list[tuple[signal.Signals, float]]:
    interrupt, terminate = launch["grace_s"]
    return [(signal.SIGINT, interrupt), (signal.SIGTERM, terminate), (signal.SIGKILL, _NEVER)]


def _clear_out(wakeup: "_Wakeup") -> dict[str, int]:
    """End whatever codex left behind: `stragglers` were ended, `unkillable` could not be.

    Only children are signalled: their pids cannot be reused before this process reaps them. A
    child's own children become ours when it dies, so the loop ends with an empty tree.
    """
    asked = set[int]()
    began = time.monotonic()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return {"stragglers": len(asked), "unkillable": 0}
        waited = time.monotonic() - began
        left = _children()
        if waited > _GIVE_UP_S:
            return {"stragglers": len(asked), "unkillable": len(left)}
        for pid in left:
            if waited >= _STRAGGLER_GRACE_S:
                _signal(os.kill, pid, signal.SIGKILL)
            elif pid not in asked:
                _signal(os.kill, pid, signal.SIGTERM)
            asked.add(pid)
        wakeup.wait(_POLL_S)


# What the operating system calls these things.


class _Wakeup:
    """What ends a wait: a signal, or a line in the witness's FIFO.

    The FIFO is held open here, and not by the Armarius that made it, so that nothing a tool reported
    is lost when that one is killed. Opened for reading and writing: a writer never waits.
    """

    def __init__(self, fifo: str | None, log: Path) -> None:
        self.cancelled = False
        self._signals, writer = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(writer, False)
        signal.signal(signal.SIGTERM, self._cancel)
        signal.signal(signal.SIGINT, self._cancel)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal does not end paid work
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._fifo, self._log = -1, -1
        if fifo is not None:
            self._fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
            self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier when something happened."""
        watched = [self._signals] if self._fifo < 0 else [self._signals, self._fifo]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._signals in ready:
            _drain(self._signals)
        if self._fifo in ready:
            self.take_testimony()

    def take_testimony(self) -> None:
        """Keep what the FIFO holds; the bytes are in the kernel, so nothing has to be waited for."""
        if self._fifo >= 0 and (said := _drain(self._fifo)):
            os.write(self._log, said)
            os.fsync(self._log)

    def _cancel(self, _number: int, _frame: object) -> None:
        self.cancelled = True


def _drain(descriptor: int) -> bytes:
    pieces = list[bytes]()
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    return b"".join(pieces)


def _reap(child: int) -> "tuple[int, Any] | None":
    """Collect every child that ended; codex's status and resource usage once it is among them."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            raise RuntimeError("codex was reaped by somebody else") from None
        if pid == 0:
            return None
        if pid == child:
            return status, usage


def _signal(send: Callable[[int, int], None], target: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(target, number)


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in (EVENTS, STDERR))


def _become_subreaper() -> None:
    """Adopt orphans. Elsewhere than on Linux the process group is all there is to kill."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _children() -> list[int]:
    me, there = str(os.getpid()), list[str]()
    with contextlib.suppress(FileNotFoundError):  # no /proc: nothing is reparented to us either
        there = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [int(pid) for pid in there if (_stat_of(pid) or ("", ""))[1] == me]


def _stat_of(pid: "int | str") -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on: ppid is [1], start time is [19]."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def _start_of(pid: int) -> int | None:
    if sys.platform == "linux":
        fields = _stat_of(pid)
        return None if fields is None or fields[0] in "ZX" else int(fields[19])
    try:
        os.kill(pid, 0)
    except OSError as error:
        return 0 if error.errno == errno.EPERM else None
    return 0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, value: object, *, durable: bool) -> None:
    """Write JSON whole or not at all. `armarius.files` is out of reach: this file runs alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
