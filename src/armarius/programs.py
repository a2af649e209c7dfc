"""Short helper programs: git, a notifier, a command that the user named.

Owns starting one and its end. Does not own Codex, whose processes have a guard of their own.
Invariant: no shell, no input, a deadline; when `run` returns, the program is gone and whatever it
left in its process group was killed; no more than `most` bytes of each output were kept.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from armarius.errors import HostError

__all__ = ["Finished", "run"]

_CHUNK = 64 << 10


class Finished(msgspec.Struct, frozen=True):
    """How it ended. `code` is negative for a signal, None when the deadline ended it."""

    code: int | None
    stdout: bytes
    stderr: bytes


def run(
    argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float = 10.0, most: int = 1 << 20
) -> Finished:
    """Run `argv` to its end, at most `timeout` seconds; HostError when it cannot be started."""
    try:
        # A session of its own, so that all it starts can be ended with it.
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise HostError("program-start", f"cannot start {argv[0]!r} in {cwd}: {error}", "check its path") from error
    with process:
        try:
            in_time, kept = _drain(process, time.monotonic() + timeout, most)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return Finished(code if in_time else None, kept[1], kept[2])


def _drain(process: "subprocess.Popen[bytes]", end: float, most: int) -> tuple[bool, dict[int, bytes]]:
    """Read both outputs until they close or `end` comes: whether they closed, and what was kept."""
    kept = {1: b"", 2: b""}
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            assert stream is not None  # both were asked for above
            selector.register(stream, selectors.EVENT_READ, number)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                return False, kept
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                kept[key.data] = (kept[key.data] + chunk)[:most]
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False, kept
    return True, kept
