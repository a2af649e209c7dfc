"""A value in a file that somebody waits for.

Owns `FILE:REGEX` and what the value is. Does not own when the file is looked at.
Invariant: linear time whatever the pattern; of a file that grows, as logs do, the last match is the
value; saving the same value again is no news.
"""

import os
import stat
from collections import deque
from pathlib import Path
from typing import Any

import re2

from armarius.errors import UsageError
from armarius.watch.signals import Kind, Signal, one_line, signal_id

__all__ = ["WatchedValue", "changed"]

_MOST = 8 << 20
_SHOWN = 300


class WatchedValue:
    """One `FILE:REGEX`. The value is the pattern's last match: its first group if it has one."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        if spec != spec.encode(errors="replace").decode():
            raise UsageError("value-spec", f"--value {spec!a} is not UTF-8", "use a UTF-8 name")
        file, pattern = _split(spec)
        self.path = Path(os.path.abspath(file))  # noqa: PTH100  # a link is followed when it is read, not before
        options: Any = re2.Options()
        options.log_errors = False
        try:
            self._pattern: Any = re2.compile(f"(?m){pattern}", options)  # pyright: ignore[reportUnknownMemberType]
        except re2.error as error:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            reason = _reason(error)
            raise UsageError("value-pattern", f"--value {spec!r}: {reason}", "use the syntax of RE2") from None

    def read(self) -> str | None:
        """The value as it stands; None when the file is not there or does not say it."""
        last = deque(self._pattern.finditer(_end_of(self.path)), maxlen=1)
        if not last:
            return None
        found = last[0]
        text = found.group(1) if found.re.groups else found.group()
        return one_line(text or "", _SHOWN)


def changed(value: WatchedValue, old: str | None, new: str | None, at_us: int) -> Signal:
    """The signal of a value that is another one now."""
    return Signal(
        kind=Kind.VALUE_CHANGED,
        id=signal_id(value.spec, old, new, at_us),
        at_us=at_us,
        text=f"{value.path.name}: {_shown(old)} → {_shown(new)}",
        source="file",
        subject=str(value.path),
        old=old,
        new=new,
    )


def _reason(error: Any) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _shown(value: str | None) -> str:
    return "(none)" if value is None else value


def _split(spec: str) -> tuple[str, str]:
    """At the first colon, unless what stands before a later one is a file that is there."""
    ends = [place for place, letter in enumerate(spec) if letter == ":" and place]
    if not ends or ends[0] == len(spec) - 1:
        raise UsageError("value-spec", f"--value {spec!r} is no FILE:REGEX", "e.g. --value 'train.log:loss=(.*)'")
    for end in ends:
        if os.path.isfile(spec[:end]) and spec[end + 1 :]:  # noqa: PTH113  # also says no to an odd name
            return spec[:end], spec[end + 1 :]
    return spec[: ends[0]], spec[ends[0] + 1 :]


def _end_of(path: Path) -> str:
    """The end of a regular file, whole if it is not too large; nothing for anything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(max(0, os.fstat(descriptor).st_size - _MOST))
            return file.read(_MOST).decode(errors="replace")
    except (OSError, ValueError):
        return ""
