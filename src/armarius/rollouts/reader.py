"""A rollout file becomes a Thread.

Owns bytes: where lines begin and end, lines that are torn, joined, too long or not UTF-8, and how
far a file has been read. Does not own what a line means.
Invariant: reading a file in one go or in any number of steps gives the same Thread. Only whole lines
are taken; what follows the last newline waits for the next step. Memory is bounded by LONGEST_LINE
and what the Thread keeps; no content of a file raises.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.fold import ThreadFold
from armarius.rollouts.records import decode
from armarius.thread import Thread

__all__ = ["LONGEST_LINE", "Line", "RolloutReader", "read_lines", "read_rollout"]

LONGEST_LINE: Final = 8 << 20
_CHUNK: Final = 1 << 20
_HEAD: Final = 4 << 10
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Every record begins so, and no string inside one can: there the quotes are escaped.
_START = re.compile(rb'(?=\{"timestamp":")')
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

    A file that was replaced by another needs another reader.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._number = 1
        self._fold = ThreadFold(str(path), thread_id_of(path.name))

    def advance(self) -> bool:
        """Take in the whole lines that were written since; whether there were any.

        OSError when the file cannot be opened (any more); what was read before stays.
        """
        start = self.offset
        with self.path.open("rb") as stream:
            stream.seek(start)
            try:
                for line in read_lines(stream, byte=start, number=self._number):
                    self._take(line)
                    self.offset, self._number = line.end, line.number + 1
            except OSError as error:
                self._fold.reject(self._number, self.offset, f"reading stopped: {error.strerror}")
        return self.offset > start

    def thread(self) -> Thread:
        """The thread as far as it has been taken in."""
        return self._fold.thread()

    def _take(self, line: "Line") -> None:
        if line.size > len(line.data):
            self._skip(line)
            return
        try:
            if not line.data.isascii():
                line.data.decode()
            record = decode(line.data)
        except _UNREADABLE:
            self._salvage(line)
        else:
            self._fold.add(record, line.number, line.byte)

    def _salvage(self, line: "Line") -> None:
        """Read a line as what it may have been: several records, one of them torn, wrong bytes within."""
        byte = line.byte
        for piece in _START.split(line.data):
            clean = piece.decode(errors="replace").encode()
            if clean != piece:
                self._fold.reject(line.number, byte, "invalid UTF-8: replaced")
            try:
                record = decode(clean)
            except _UNREADABLE as error:
                if piece.strip():
                    self._fold.reject(line.number, byte, str(error))
            else:
                self._fold.add(record, line.number, byte)
            byte += len(piece)

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


def read_lines(stream: BinaryIO, *, byte: int = 0, number: int = 1) -> Iterator[Line]:
    """The whole lines of a stream that stands at `byte`, where line `number` begins."""
    data, size = b"", 0
    while chunk := stream.read(_CHUNK):
        *whole, begun = chunk.split(b"\n")
        for piece in whole:
            data, size = _longer(data, size, piece)
            yield Line(number, byte, size, data)
            byte, number, data, size = byte + size + 1, number + 1, b"", 0
        data, size = _longer(data, size, begun)


def _longer(data: bytes, size: int, piece: bytes) -> tuple[bytes, int]:
    """A line with its next piece; of a line that grows too long only the head stays."""
    size += len(piece)
    data += piece
    return (data if size <= LONGEST_LINE else data[:_HEAD]), size
