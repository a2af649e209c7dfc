"""A command in the foreground, which has the terminal, and whose end is the end of all that it started.

Owns starting one, handing signals on to it, and its end with everything below it. Does not own what
is to be done meanwhile, nor short helper programs (`programs`), nor Codex.
Invariant: no shell; when `run_foreground` returns or raises, the command is gone, and on Linux whatever
it left behind, also in sessions of its own. Killed outright (SIGKILL), this process takes the command
with it on Linux.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence

import psutil

from armarius.errors import HostError
from armarius.signals import set_handler

__all__ = ["run_foreground"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 10.0
_LAST_WORD_S = 0.2
"""For a command whose time is over: whoever held something for it must have let go by a certain moment."""
_ROUND_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


def run_foreground(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    check: Callable[[], None],
    output: int | None = None,
) -> int:
    """Run `argv` to its end and give its exit code, 128 and more for a signal, as a shell does.

    `check` is called ten times a second; when it raises, the command is ended first.
    `output` is a descriptor for the command's standard output (None: ours). HostError when it cannot be started.
    """
    said = list[int]()
    with _hearing(said):
        _become_subreaper()
        try:
            process = subprocess.Popen(
                list(argv),
                env=dict(environ),
                stdout=output,
                # Safe, because it takes no lock; nothing else can tie the two lives together.
                preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise HostError("program-start", f"cannot start {argv[0]!r}: {error}", "check its name and PATH") from error
        try:
            code = _attend(process, said, check)
        finally:
            _end(process)
            _end_leftovers()
    return code if code >= 0 else 128 - code


def _attend(process: "subprocess.Popen[bytes]", said: list[int], check: Callable[[], None]) -> int:
    """Wait for the end; hand on each signal that the terminal has not given to the command itself."""
    kill_at: float | None = None
    while True:
        while said:
            number = said.pop(0)
            if number not in _FROM_TERMINAL or not _is_terminals():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
            if number not in _FROM_TERMINAL:
                kill_at = kill_at or time.monotonic() + _GRACE_S
        if kill_at is not None and time.monotonic() >= kill_at:
            process.kill()
        # A handler only notes a signal; it is looked at in the next round.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_ROUND_S)
        check()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the command if it still runs: asked first, for a moment, because its time is over."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_LAST_WORD_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_leftovers() -> None:
    """Kill whatever the command left; new parents of orphans are we, so that none is missed."""
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)


@contextlib.contextmanager
def _hearing(said: list[int]) -> Generator[None]:
    """Note signals instead of dying of them."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: said.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            set_handler(number, handler)


def _is_terminals() -> bool:
    """Whether the terminal gives what is typed to this process group, and so to the command already."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be heard
            os._exit(1)

    return prepare
