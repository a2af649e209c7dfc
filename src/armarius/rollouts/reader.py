"""A rollout file becomes a Thread.

Owns bytes: where lines begin and end, lines that are torn, joined, too long or not UTF-8, and how
far a file has been read. Does not own what a line means.
Invariant: reading a file in one go or in any number of steps gives the same Thread. Only whole lines
are taken; what follows the last newline waits for the next step, and is a bad line where no next step
can come. A file that is not the one that was read so far is read anew. Memory is bounded by LONGEST_LINE and
what the Thread keeps; no content of a file raises.
"""

import itertools
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec

from armarius.rollouts.bare import decode_any, older
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.fold import ThreadFold
from armarius.rollouts.opening import ByteStream, Unpacked, open_rollout
from armarius.rollouts.records import Stranger, decode
from armarius.rollouts.salvage import UNREADABLE, salvaged
from armarius.thread import Thread

__all__ = [
    "LONGEST_LINE",
    "RECORD_START",
    "Line",
    "RolloutReader",
    "end_lines",
    "read_lines",
    "read_rollout",
]

LONGEST_LINE: Final = 8 << 20
_CHUNK: Final = 1 << 20
_HEAD: Final = 4 << 10

RECORD_START: Final = re.compile(rb'(?=\{"timestamp":")')
"""Every record begins so, and no string inside one can: there the quotes are escaped."""
_ENVELOPE = re.compile(
    rb'\{"timestamp":"(?P<at>[^"\\]*)",(?:"ordinal":\d+,)?"type":"(?P<type>\w*)"'
    rb'(?:,"payload":\{"type":"(?P<kind>\w*)")?'
)


def read_rollout(path: Path) -> Thread:
    """The thread of a rollout as far as it was written; OSError when the file cannot be opened."""
    reader = RolloutReader(path)
    reader.advance()
    return reader.thread()


class RolloutReader:
    """One rollout, followed while it grows. `offset` is the byte up to which it has been taken in.

    `restarts` counts how often another content stood there: the file shrank, or was replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarts = 0
        self._begin()

    @classmethod
    def at_end(cls, path: Path, size: int) -> Self:
        """A reader that has taken in the first line and the last `size` bytes, and goes on from there.

        What lies between is not read. OSError when the file cannot be opened.
        """
        reader = cls(path)
        with open_rollout(path) as stream:
            about = os.fstat(stream.fileno())
            for line in end_lines(stream, size):
                reader.take(line)
                reader.offset, reader._number = line.end, line.number + 1
                reader._first, reader._last = reader._first or line, line
        reader._seen = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        return reader

    def _begin(self) -> None:
        self.offset = 0
        self._number = 1
        self._first: Line | None = None
        self._last: Line | None = None
        self._seen: tuple[int, ...] = ()
        self._fold = ThreadFold(str(self.path), thread_id_of(self.path.name))

    def advance(self) -> bool:
        """Take in the whole lines that were written since; whether there were any, or a new beginning.

        OSError when the file cannot be opened (any more); what was read before stays.
        """
        start, restarts = self.offset, self.restarts
        with open_rollout(self.path) as stream:
            about = os.fstat(stream.fileno())
            seen = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
            if seen != self._seen:
                try:
                    if start and not self._is_continued(stream, seen):
                        self._begin()
                        self.restarts += 1
                        stream.seek(0)
                    self._take_all(stream)
                except OSError as error:
                    self._fold.reject(self._number, self.offset, f"reading stopped: {error.strerror}")
                self._seen = seen
        return (self.offset, self.restarts) != (start, restarts)

    def _is_continued(self, stream: ByteStream, seen: tuple[int, ...]) -> bool:
        """Whether this is the file that was read so far, grown; a compressed one does not grow.

        Leaves the stream where the next line begins.
        """
        if isinstance(stream, Unpacked) or seen[:2] != self._seen[:2] or seen[2] < self.offset:
            return False
        for line in (self._first, self._last):
            if line is not None:
                stream.seek(line.byte)
                if stream.read(min(line.size, _HEAD)) != line.data[:_HEAD]:
                    return False
        return stream.seek(self.offset) == self.offset

    def _take_all(self, stream: ByteStream) -> None:
        for line in read_lines(stream, byte=self.offset, number=self._number):
            self.take(line)
            self.offset, self._number, self._last = line.end, line.number + 1, line
            if self._first is None:
                self._first = line
        if isinstance(stream, Unpacked) and stream.at > self.offset:
            self._fold.reject(self._number, self.offset, "the last line has no end")

    def thread(self) -> Thread:
        """The thread as far as it has been taken in."""
        return self._fold.thread()

    def take(self, line: "Line") -> None:
        """Take in one whole line."""
        if line.size > len(line.data):
            self._skip(line)
            return
        try:
            if not line.data.isascii():
                line.data.decode()
            record = decode(line.data)
            if isinstance(record, Stranger):
                record = older(record, line.data)
        except UNREADABLE:
            self._salvage(line)
        else:
            self._fold.add(record, line.number, line.byte)

    def _salvage(self, line: "Line") -> None:
        for piece in salvaged(line.data, RECORD_START, decode_any):
            for problem in piece.problems:
                self._fold.reject(line.number, line.byte + piece.at, problem)
            if piece.record is not None:
                self._fold.add(piece.record, line.number, line.byte + piece.at)

    def _skip(self, line: "Line") -> None:
        reason = f"line of {line.size} bytes: payload skipped"
        if envelope := _ENVELOPE.match(line.data):
            self._fold.saw(envelope["at"].decode(errors="replace"))
            kinds = [kind.decode() for kind in (envelope["type"], envelope["kind"]) if kind]
            reason += f" ({':'.join(kinds)})"
        self._fold.reject(line.number, line.byte, reason)


class Line(msgspec.Struct, frozen=True):
    """A whole line without its newline. `data` is all `size` bytes of it, or the head of a long one."""

    number: int
    byte: int
    size: int
    data: bytes

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.byte + self.size + 1


def read_lines(stream: ByteStream, *, byte: int = 0, number: int = 1) -> Iterator[Line]:
    """The whole lines of a stream that stands at `byte`, where line `number` begins."""
    data, size = b"", 0
    while chunk := stream.read(_CHUNK):
        *whole, begun = chunk.split(b"\n")
        for piece in whole:
            data, size = _longer(data, size, piece)
            yield Line(number, byte, size, data)
            byte, number, data, size = byte + size + 1, number + 1, b"", 0
        data, size = _longer(data, size, begun)


def end_lines(stream: ByteStream, size: int) -> Iterator[Line]:
    """The first line of a stream that stands at its beginning, and those that begin in its last `size` bytes.

    Of all others neither the content nor the number is known. What is compressed has to be unpacked
    from its beginning, though no more of it is kept.
    """
    if isinstance(stream, Unpacked):
        yield from _last_lines(read_lines(stream), size)
        return
    length = os.fstat(stream.fileno()).st_size
    start = length - size
    if start > 0:
        head = stream.read(size)
        end = head.find(b"\n")
        if end < 0:
            start = max(start, len(head))
        else:
            yield Line(1, 0, end, head[:end])
            start = max(start, end + 1)
        stream.seek(start - 1)
        lines = read_lines(stream, byte=start - 1)
        next(lines, None)
        yield from lines
    else:
        yield from read_lines(stream)


def _last_lines(lines: Iterator[Line], size: int) -> Iterator[Line]:
    yield from itertools.islice(lines, 1)
    kept, held = deque[Line](), 0
    for line in lines:
        kept.append(line)
        held += len(line.data)
        while held > size and len(kept) > 1:
            held -= len(kept.popleft().data)
    yield from kept


def _longer(data: bytes, size: int, piece: bytes) -> tuple[bytes, int]:
    """A line with its next piece; of a line that grows too long only the head stays."""
    size += len(piece)
    data += piece
    return (data if size <= LONGEST_LINE else data[:_HEAD]), size
