"""Where a watch stopped, so that the next one starts exactly there.

Owns the file that `--cursor` names. Does not own what the marks in it mean to those who made them.
Invariant: the file is there whole or not at all. It is written after a signal was printed: whoever is
killed in between prints that one again under the same id, and never loses one.
"""

from pathlib import Path
from typing import Literal

import msgspec

from armarius.errors import DataError
from armarius.files import read_bounded, write_atomic
from armarius.watch.follow import Told
from armarius.watch.repositories import Head
from armarius.watch.signals import Signal

__all__ = ["Cursor", "Mark", "load_cursor", "save_cursor"]

_LARGEST = 64 << 20


class Mark(msgspec.Struct, frozen=True):
    """A session file: taken in up to `offset`, from `start` on; `told` is None when nobody looked into it.

    `is_over` is whether the watch of its thread had come to its end.
    """

    path: str
    offset: int
    start: int = 0
    told: Told | None = None
    is_over: bool = False


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a watch must remember (`armarius.cursor.v1`).

    `is_all` says that every file there was has a mark, so that one without is new. Files go by their
    names, which they keep when they are archived or compressed. `pending` was due when the watch ended.
    """

    schema: Literal["armarius.cursor.v1"] = "armarius.cursor.v1"
    is_all: bool = False
    files: dict[str, Mark] = {}
    heads: dict[str, Head | None] = {}
    values: dict[str, str | None] = {}
    ledger_seq: int | None = None
    pending: tuple[Signal, ...] = ()


def load_cursor(path: Path) -> Cursor | None:
    """The cursor in a file; None when there is no such file yet."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_bounded(path, _LARGEST), type=Cursor, strict=True)
    except (ValueError, RecursionError) as error:
        raise DataError("cursor", f"{path} is no cursor of a watch: {error}", "name another file") from error


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Put the cursor in place of the last one."""
    write_atomic(path, msgspec.json.encode(cursor))
