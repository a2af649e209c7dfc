"""Where a watch goes on when it is asked again.

Owns the files behind the cursors that are handed out, and forgetting old ones. Does not own what is in one.
Invariant: a cursor is a name that was made here, never a path; there are never more than a few hundred.
"""

import contextlib
import re
from pathlib import Path

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.files import private_folder
from armarius.identity import new_id

__all__ = ["cursor_file", "new_cursor"]

_NAME = re.compile(r"cur_[0-9a-f-]{36}")
_MOST = 256


def new_cursor(folder: Path, clock: Clock) -> str:
    """A name for a watch that begins now; the oldest of too many are forgotten."""
    private_folder(folder)
    # They sort by birth. A watch that began before hundreds of others is not coming back.
    for old in sorted(folder.glob("cur_*.json"))[: -_MOST + 1]:
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    return new_id("cur", clock)


def cursor_file(folder: Path, name: str) -> Path:
    """The file of a cursor; DataError when it was not handed out here, or is forgotten."""
    path = folder / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise DataError("cursor-unknown", "this cursor is not known here any more", "watch without one, from now on")
    return path
