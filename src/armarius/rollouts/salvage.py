"""What can still be had from a line that is no record.

Owns taking such a line apart: several records on one line, one of them torn, wrong bytes within. Does
not own counting what was lost.
Invariant: every byte of the line is in one piece, in order; nothing raises.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

import msgspec

__all__ = ["UNREADABLE", "Piece", "salvaged"]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a line that is no record raises."""

_Record = TypeVar("_Record")


class Piece(msgspec.Struct, Generic[_Record], frozen=True):
    """A part of a line, from its byte `at` on: its record, if it is one, and what was wrong with it."""

    at: int
    data: bytes
    record: _Record | None
    problems: tuple[str, ...]


def salvaged(line: bytes, start: re.Pattern[bytes], decode: Callable[[bytes], _Record]) -> Iterator[Piece[_Record]]:
    """The pieces of a line; `start` matches where a record may begin, and nowhere inside one."""
    at = 0
    for piece in start.split(line):
        clean = piece.decode(errors="replace").encode()
        problems = ("invalid UTF-8: replaced",) if clean != piece else ()
        try:
            record = decode(clean)
        except UNREADABLE as error:
            record = None
            problems += (str(error),) if piece.strip() else ()
        yield Piece(at, clean, record, problems)
        at += len(piece)
