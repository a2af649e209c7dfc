"""A rollout in windows of whole lines.

Owns where lines end, and whether those of a window may be decoded all at once. Does not own what any
line says.
Invariant: of a window whose lines can be told apart, each begins as an object begins and ends as one
ends, and all are UTF-8. No value goes on over the end of such a line: between an object that ends and
one that begins there would be a comma. So as many records as lines are one on each.
"""

import io
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import Final

from msgspec import Struct

from armarius.rollouts.opening import ByteStream
from armarius.rollouts.reader import LONGEST_LINE

__all__ = ["START", "LongLine", "begins_in", "exactly", "timestamp_in", "windows"]

START: Final = b'{"timestamp":"'
_WINDOW: Final = 256 << 10
_LARGEST_WINDOW: Final = LONGEST_LINE + 1
_HEAD: Final = 4 << 10
_BRACES: Final = (set(b"{"), set(b"}"))
_TIME = slice(len(START), len(b'{"timestamp":"2026-11-20T12:21:12.958Z'))
_PIECE: Final = 16


class LongLine(Struct, frozen=True):
    """A line that is too long to be kept: its first bytes and its length without the newline."""

    head: bytes
    size: int


def windows(stream: ByteStream, offset: int) -> Iterator[bytes | LongLine]:
    """The whole lines of a stream from `offset` on, many at a time; what follows the last newline waits.

    A window may end in the beginning of a line, which the next one begins with: to cut it off would copy
    everything else.
    """
    goes_back = isinstance(stream, io.FileIO)  # what is unpacked can only be read on
    size, rest = _WINDOW, b""
    stream.seek(offset)
    while data := exactly(stream, size, rest):
        end = data.rfind(b"\n") + 1
        if end:
            yield data
            offset, rest = offset + end, b""
            if end < len(data) and goes_back:
                stream.seek(offset)
            elif end < len(data):
                rest = data[end:]
        elif len(data) < size:
            return
        elif size < _LARGEST_WINDOW:
            rest = data
        else:
            rest, length = yield from _long_line(stream, data)
            offset += length
        size = min(max(_WINDOW, 2 * len(rest)), _LARGEST_WINDOW)


def exactly(stream: ByteStream, size: int, rest: bytes = b"") -> bytes:
    """`rest` and what follows it, `size` bytes in all unless the stream ends."""
    data = rest + stream.read(size - len(rest)) if rest else stream.read(size)
    while 0 < len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _long_line(stream: ByteStream, data: bytes) -> Generator[LongLine, None, tuple[bytes, int]]:
    """Pass over the rest of a line; what was read beyond it, and the line's length with its newline."""
    head, length = data[:_HEAD], len(data)
    while data := stream.read(_WINDOW):
        end = data.find(b"\n")
        if end >= 0:
            yield LongLine(head, length + end)
            return data[end + 1 :], length + end + 1
        length += len(data)
    return b"", length


def begins_in(data: bytes) -> list[int] | None:
    """Where the whole lines of a window begin, and after them where the last one ended; None if one is unusual."""
    begins, find, begin = [0], data.find, 0
    add = begins.append
    while begin := find(b"\n", begin) + 1:
        add(begin)
    byte_at = data.__getitem__
    firsts, lasts = set(map(byte_at, begins[:-1])), set(map(byte_at, [end - 2 for end in begins[1:]]))
    return begins if (firsts, lasts) == _BRACES and _is_text(data, begins) else None


def _is_text(data: bytes, begins: list[int]) -> bool:
    """Whether the whole lines are UTF-8. Few at a time: most are ASCII, which is seen ten times as fast."""
    if data.isascii():
        return True
    stops = [*begins[:-1:_PIECE], begins[-1]]
    try:
        for begin, stop in pairwise(stops):
            piece = data[begin:stop]
            if not piece.isascii():
                piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def timestamp_in(line: bytes) -> str:
    """When a line was written that begins as Codex begins it."""
    return line[_TIME].decode(errors="replace")
