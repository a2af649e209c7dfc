"""Short helper programs: git, a notifier, a command that the user named.

Owns starting one and its end. Does not own Codex, whose processes have a guard of their own.
Invariant: no shell, no input but what is handed over, a deadline; when `run` returns, the program is
gone and whatever it left in its process group was killed; no more than `most` bytes of each output
were kept.
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
    argv: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    timeout: float = 10.0,
    most: int = 1 << 20,
    data: bytes = b"",
) -> Finished:
    """Run `argv` to its end, at most `timeout` seconds; HostError when it cannot be started.

    `data` is its standard input, as far as it wants to read it.
    """
    try:
        # A session of its own, so that all it starts can be ended with it.
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.PIPE if data else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise HostError("program-start", f"cannot start {argv[0]!r} in {cwd}: {error}", "check its path") from error
    with process:
        try:
            in_time, kept = _attend(process, data, time.monotonic() + timeout, most)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return Finished(code if in_time else None, kept[1], kept[2])


def _attend(process: "subprocess.Popen[bytes]", data: bytes, end: float, most: int) -> tuple[bool, dict[int, bytes]]:
    """Write the input and read both outputs until they close or `end` comes: whether they closed, and what was kept."""
    kept = {1: b"", 2: b""}
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            assert stream is not None  # both were asked for above
            selector.register(stream, selectors.EVENT_READ, number)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, 0)
        while any(key.data for key in selector.get_map().values()):
            left = end - time.monotonic()
            if left <= 0:
                return False, kept
            for key, _ in selector.select(left):
                if key.data == 0:
                    data = _fed(key.fd, data)
                    if not data:
                        selector.unregister(key.fileobj)
                        process.stdin.close()  # type: ignore[union-attr]  # it was registered, so it is there
                    continue
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                kept[key.data] = (kept[key.data] + chunk)[:most]
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False, kept
    return True, kept


def _fed(descriptor: int, data: bytes) -> bytes:
    """What is left of the input after a step; nothing when nobody reads it any more."""
    try:
        return data[os.write(descriptor, data[:_CHUNK]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""
