"""The end of a session file, followed while it grows, moves and is compressed.

Owns where to begin, so that the turn that runs is known without reading all that was before it, and
going on in whatever form the file has now. Does not own lines, records or what they mean (`rollouts`).
Invariant: only whole lines are taken, each once; beginning at a turn and taking what follows gives
that turn as reading all of the file would. Nothing in a file raises; OSError when it cannot be opened.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from armarius.rollouts.bare import decode_any
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.fold import ThreadFold
from armarius.rollouts.opening import COMPRESSED, open_rollout
from armarius.rollouts.parts import at_us
from armarius.rollouts.reader import RECORD_START, Line, read_lines
from armarius.rollouts.records import Record, SessionMetaLine
from armarius.rollouts.salvage import UNREADABLE, salvaged
from armarius.thread import Thread

__all__ = ["Tail", "file_size", "turn_start"]

_TURNS: Final = (b'"type":"task_started"', b'"type": "task_started"')
"""No string of a record can hold one of these: there its quotes are escaped."""
_LONGEST_TURN: Final = max(map(len, _TURNS))
_BLOCK: Final = 256 << 10
_FARTHEST: Final = 16 << 20
_CHECK: Final = 512


class Tail:
    """A file from `start` on; `offset` is where the next line begins."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.start = self.offset = start
        self._last: tuple[int, bytes] | None = None
        self._fold = ThreadFold(str(path), thread_id_of(path.name.removesuffix(COMPRESSED)))
        self._number = 1
        if start:
            self._introduce()

    def thread(self) -> Thread:
        """The thread as far as it was taken in, without what stands before `start`."""
        return msgspec.structs.replace(self._fold.thread(), path=str(self.path))

    def take(self, *, until: int | None = None, before_us: int | None = None) -> bool:
        """Take in the whole lines that there are: whether there were any.

        None beyond byte `until`, and none from the first on that was written at `before_us` or later.
        """
        begun = self.offset
        with open_rollout(self.path) as stream:
            if stream.seek(self.offset) != self.offset:
                return False
            for line in read_lines(stream, byte=self.offset, number=self._number):
                if until is not None and line.end > until:
                    break
                records = _records(line)
                times = [at for record in records if (at := at_us(record.timestamp)) is not None]
                if before_us is not None and times and times[0] >= before_us:
                    break
                for record in records:
                    self._fold.add(record, line.number, line.byte)
                self.offset, self._number = line.end, line.number + 1
                self._last = line.byte, line.data[:_CHECK]
        return self.offset > begun

    def is_continued(self) -> bool:
        """Whether the file still is the one that was read, grown at most."""
        if self._last is None:
            return self.path.suffix == COMPRESSED or file_size(self.path) >= self.offset
        byte, data = self._last
        try:
            with open_rollout(self.path) as stream:
                return stream.seek(byte) == byte and _exactly(stream.read, len(data)) == data
        except OSError:
            return False

    def _introduce(self) -> None:
        """Who the thread is stands in the first line."""
        with open_rollout(self.path) as stream:
            for line in read_lines(stream):
                for record in _records(line):
                    if isinstance(record, SessionMetaLine):
                        self._fold.add(record, line.number, line.byte)
                return


def turn_start(path: Path, until: int) -> int:
    """Where the last turn that began before byte `until` begins; 0 in a file that does not mark turns.

    A turn that is longer than anybody can hold is taken from somewhere in its middle.
    """
    if path.suffix == COMPRESSED:
        return 0
    with path.open("rb") as stream:
        end, after = until, b""
        while end > max(0, until - _FARTHEST):
            begin = max(0, end - _BLOCK)
            block = os.pread(stream.fileno(), end - begin, begin)
            found = max((block + after).rfind(mark) for mark in _TURNS)
            if found >= 0:
                return _line_start(stream.fileno(), begin + found)
            after, end = block[:_LONGEST_TURN], begin
        return _line_start(stream.fileno(), end) if end else 0


def file_size(path: Path) -> int:
    """The size of a file; -1 when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _line_start(descriptor: int, byte: int) -> int:
    """Where the line begins that holds `byte`."""
    while byte > 0:
        begin = max(0, byte - _BLOCK)
        found = os.pread(descriptor, byte - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        byte = begin
    return 0


def _records(line: Line) -> list[Record]:
    """The records of a line, which may have been torn or joined; none of one that is too long to hold."""
    if line.size > len(line.data):
        return []
    try:
        return [decode_any(line.data)]
    except UNREADABLE:
        pieces = salvaged(line.data, RECORD_START, decode_any)
        return [piece.record for piece in pieces if piece.record is not None]


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data
