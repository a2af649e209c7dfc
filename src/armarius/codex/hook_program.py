"""The small program that Codex starts at each hook: one line to a file, and gone.

Owns one line in `events.jsonl` beside it, and that file's size. Does not own what the line means
(`hooks.py`). A copy of it runs alone, as `python -I -S FILE`, on the standard library only, with the
event as JSON on its standard input.

Invariant: it prints nothing, ends with 0 within two seconds, and keeps nothing that a person, a model
or a tool said: no prompt, no command, no output. A line is whole, or it is not there.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import time

__all__ = ["main"]

EVENTS = "events.jsonl"
ROTATED = "events.1.jsonl"
LARGEST = 4 << 20
"""Bytes of a file; there are two of them at most."""

KEPT = ("session_id", "turn_id", "agent_id", "tool_name", "cwd", "transcript_path")
"""Which thread, which turn, what kind of tool. An agent is a sub-agent's thread."""

_LONGEST_INPUT = 64 << 20
_LONGEST_VALUE = 4096  # PATH_MAX
_PATIENCE_S = 2
_TRIES = 100


def main(folder: str) -> None:
    """Append the event on standard input to the file in `folder`."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
    signal.alarm(_PATIENCE_S)
    at_us = time.time_ns() // 1_000
    said = json.loads(sys.stdin.buffer.read(_LONGEST_INPUT))
    line = {"at_us": at_us, "event": _text(said.get("hook_event_name"))}
    line |= {name: _text(said.get(name)) for name in KEPT}
    _append(folder, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _text(value: object) -> "str | None":
    if not isinstance(value, str):
        return None
    return value[:_LONGEST_VALUE].encode(errors="replace").decode()


def _append(folder: str, line: bytes) -> None:
    path = os.path.join(folder, EVENTS)  # noqa: PTH118  # pathlib costs 5 ms of the 15
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    rotates = True
    for _ in range(_TRIES):
        descriptor = os.open(path, flags, 0o600)
        try:
            if not _is_held(descriptor, path):
                time.sleep(0.001)  # somebody rotates, which takes no longer
                continue
            size = os.fstat(descriptor).st_size
            if size >= LARGEST and rotates:
                _rotate(descriptor, folder, path)
                rotates = False
                continue
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" + line if torn else line)
            return
        finally:
            os.close(descriptor)


def _is_held(descriptor: int, path: str) -> bool:
    """Share the file with other writers, and be sure that it was not rotated away meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_ino == os.stat(path).st_ino  # noqa: PTH116  # as above
    except OSError:
        return False


def _rotate(descriptor: int, folder: str, path: str) -> None:
    """Put the full file aside, unless another one is writing to it: the next writer will."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # To take a lock in place of another is not one step, so the file may have gone meanwhile.
        if os.fstat(descriptor).st_ino == os.stat(path).st_ino:  # noqa: PTH116  # as above
            os.replace(path, os.path.join(folder, ROTATED))  # noqa: PTH105, PTH118  # as above


if __name__ == "__main__":
    # Codex shows a hook that failed to the person at work, who can do nothing about it.
    with contextlib.suppress(Exception):
        main(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # as above
    os._exit(0)
