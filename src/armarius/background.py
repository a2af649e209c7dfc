"""A program of ours that goes on when the one that started it has ended.

Owns starting one. Does not own its end: it ends by itself.
Invariant: no shell; it has a session of its own, no terminal and no input, and nothing of ours but the folder
of its log; what it prints is kept there. It is never deaf to an interrupt, although we may be.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from armarius.errors import HostError
from armarius.signals import set_handler

__all__ = ["start_background"]

_LARGEST_LOG = 4 << 20


def start_background(argv: Sequence[str], *, environ: Mapping[str, str], log: Path, folder: Path = Path("/")) -> int:
    """Start `argv` in `folder`; its pid. HostError when it cannot be started. A large log begins anew."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
        descriptor = os.open(log, flags, 0o600)
        try:
            with _hearing():
                process = subprocess.Popen(
                    list(argv),
                    env=dict(environ),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    start_new_session=True,
                )
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise HostError("program-start", f"cannot start {argv[0]!r}: {error}", "check its path") from error
    process.returncode = 0  # nobody waits for it: without this, Python would warn of a process left behind
    return process.pid


@contextmanager
def _hearing() -> Generator[None]:
    """What is started meanwhile hears an interrupt, although we were started deaf to it, as jobs of a script are."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        set_handler(signal.SIGINT, lambda _number, _frame: None)  # for us; of what is started it is the default
        try:
            yield
        finally:
            set_handler(signal.SIGINT, signal.SIG_IGN)
    else:
        yield
