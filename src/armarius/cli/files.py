"""The files that a caller has written: the answer of a run, and its events.

Owns where they may lie, and writing them. Does not own what stands in them.
Invariant: an answer's file is there only when a turn was completed: one from before is taken away at the start.
Nothing of Armarius's, nor of Codex's home, is ever taken away or written over, however it was named.
"""

import os
import stat
from pathlib import Path
from typing import Self

from armarius.errors import DataError, HostError, Refused, UsageError
from armarius.files import file_kind, write_atomic
from armarius.settings import Settings

__all__ = ["Outputs"]

_OF_CALLS = "mcp"
"""The folder of Armarius's own in which its server of tools has events written."""


class Outputs:
    """The files that the caller named: the answer, and the events as they come."""

    def __init__(self, answer: Path | None, events: Path | None, settings: Settings) -> None:
        self._answer = None if answer is None else _place(answer, "-o", settings)
        self._events = None if events is None else _place(events, "--events", settings)
        if self._answer is not None and self._events is not None and _real(self._answer) == _real(self._events):
            what = f"-o and --events both name {self._answer}, and one would take the place of the other"
            raise UsageError("output-same", what, "name two files")
        self._folder = None if self._answer is None else _which(self._answer.parent)
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take away what an earlier run left under these names."""
        for path in (self._answer, self._events):
            if path is not None:
                path.unlink(missing_ok=True)
        if self._events is not None:
            self._descriptor = os.open(self._events, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return self

    def event(self, line: bytes) -> None:
        """Append one whole line; whoever follows the file sees no half of it."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            what = f"cannot write to {self._events}: {error.strerror}; the run was ended"
            raise HostError("output-unwritten", what, "what it printed is kept: `armarius runs logs`") from error

    def end(self, answer: str | None) -> None:
        """Write the answer, if there is one."""
        if self._answer is not None and answer is not None:
            if _which(self._answer.parent) != self._folder:  # the run may write there, and nowhere else by a link
                what = f"{self._answer.parent} is not the folder any more that it was"
                raise DataError("output-moved", what, "the answer is kept: `armarius runs show`")
            try:
                write_atomic(self._answer, answer.encode())
            except HostError as error:
                raise HostError(
                    "output-unwritten", error.message, "the answer is kept: `armarius runs show`"
                ) from error

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _which(folder: Path) -> tuple[int, int] | None:
    try:
        seen = folder.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _real(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _place(path: Path, flag: str, settings: Settings) -> Path:
    """A name under which a file can be made: its folder is there, and it is nothing but a file itself."""
    whole = path.absolute()
    if not whole.parent.is_dir():
        raise DataError("output-folder", f"no folder at {whole.parent}", f"name an existing one with {flag}")
    real = _real(whole)
    for kept in (settings.home, settings.codex_home, settings.config):
        if real.is_relative_to(kept.resolve()) and not real.is_relative_to(settings.home.resolve() / _OF_CALLS):
            raise Refused("output-kept", f"{whole} lies in {kept}, which is not written over", f"name another {flag}")
    try:
        mode = whole.lstat().st_mode
    except FileNotFoundError:
        return whole
    if not stat.S_ISREG(mode):
        raise DataError("output-kind", f"{whole} is a {file_kind(mode)}", f"name a file with {flag}")
    return whole
