"""Transcripts of Claude Code: where they lie, and how one becomes the values of `armarius.thread`.

Owns the layout below `~/.claude` (`projects/<folder>/<session>.jsonl`, sub-agents in
`<session>/subagents/`, in older versions beside it or inside it), and reading one file as it grows.
Does not own what a line means (`claude_records`, `claude_fold`).
Invariant: reading a file in one go or in any number of steps gives the same threads; no content of a
file raises. A sub-agent is a thread of its own, whose `parent_id` is the session.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec

from armarius.rollouts.claude_fold import TranscriptFold
from armarius.rollouts.claude_records import Line as Record
from armarius.rollouts.claude_records import Stranger, decode
from armarius.rollouts.opening import ByteStream
from armarius.rollouts.reader import Line, end_lines, read_lines
from armarius.rollouts.salvage import UNREADABLE, salvaged
from armarius.thread import Thread

__all__ = [
    "TranscriptFile",
    "TranscriptReader",
    "find_transcripts",
    "is_transcript",
    "read_transcript",
]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HELPER = re.compile(r"agent-[\w-]+")
_PLACES = ("projects/*/*.jsonl", "projects/*/*/subagents/agent-*.jsonl", "projects/*/*/subagents/*/*/agent-*.jsonl")
_HEAD: Final = 4 << 10
_SIGNS = re.compile(rb'"(?:leafUuid|messageId|parentUuid|sessionId)":')

# How records begin, for a line on which two of them stand, or one after a torn one.
_START = re.compile(
    rb'(?=\{"(?:parentUuid":|isSidechain":|'
    rb'type":"(?:user|assistant|system|summary|attachment|queue-operation|file-history-snapshot)"))'
)


class TranscriptFile(msgspec.Struct, frozen=True):
    """A transcript as the folder shows it. `session_id` is nothing for a helper's of older versions."""

    path: Path
    session_id: str
    helper: str | None
    size: int
    changed_us: int


def find_transcripts(claude_home: Path) -> list[TranscriptFile]:
    """The transcripts of a Claude Code home, the one that was written to last first."""
    found = (file for place in _PLACES for path in claude_home.glob(place) for file in _listed(path))
    return sorted(found, key=lambda file: (file.changed_us, file.path.name), reverse=True)


def _listed(path: Path) -> Iterator[TranscriptFile]:
    helper = _HELPER.fullmatch(path.stem)
    if not helper and not _UUID.fullmatch(path.stem):
        return
    try:
        seen = path.stat()
    except FileNotFoundError:
        return  # deleted since the folder was listed
    if stat.S_ISREG(seen.st_mode):
        above = next((parent.name for parent in path.parents if _UUID.fullmatch(parent.name)), "")
        session = above if helper else path.stem
        name = helper[0] if helper else None
        yield TranscriptFile(path, session, name, seen.st_size, seen.st_mtime_ns // 1_000)


def read_transcript(path: Path) -> Thread:
    """The thread of a transcript as far as it was written; OSError when the file cannot be opened."""
    reader = TranscriptReader(path)
    reader.advance()
    return reader.thread()


def is_transcript(path: Path) -> bool:
    """Whether a file is one of Claude Code's: by its name, or by the words that its first line begins with."""
    if _UUID.fullmatch(path.stem) or _HELPER.fullmatch(path.stem):
        return True
    with path.open("rb", buffering=0) as stream:
        return _SIGNS.search((stream.read(_HEAD) or b"").partition(b"\n")[0]) is not None


class TranscriptReader:
    """One transcript, followed while it grows. `offset` is the byte up to which it has been taken in.

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
        with path.open("rb", buffering=0) as stream:
            about = os.fstat(stream.fileno())
            for line in end_lines(stream, size):
                reader.take(line)
                reader.offset, reader._number, reader._last = line.end, line.number + 1, line
        reader._file = about.st_dev, about.st_ino
        return reader

    def _begin(self) -> None:
        self.offset = 0
        self._number = 1
        self._last: Line | None = None
        self._file: tuple[int, int] | None = None
        stem = self.path.stem
        self._is_helper = _HELPER.fullmatch(stem) is not None
        name = stem if _UUID.fullmatch(stem) else ""
        self._own = TranscriptFold(str(self.path), name, helper=stem if self._is_helper else None)
        self._helpers: dict[str, TranscriptFold] = {}
        self._roots: dict[str, str] = {}

    def advance(self) -> bool:
        """Take in the whole lines that were written since; whether there were any, or a new beginning.

        OSError when the file cannot be opened (any more); what was read before stays.
        """
        start, restarts = self.offset, self.restarts
        with self.path.open("rb", buffering=0) as stream:
            try:
                if start and not self._is_continued(stream):
                    self._begin()
                    self.restarts += 1
                about = os.fstat(stream.fileno())
                self._file = about.st_dev, about.st_ino
                stream.seek(self.offset)
                for line in read_lines(stream, byte=self.offset, number=self._number):
                    self.take(line)
                    self.offset, self._number, self._last = line.end, line.number + 1, line
            except OSError as error:
                self._own.reject(self._number, self.offset, f"reading stopped: {error.strerror}")
        return (self.offset, self.restarts) != (start, restarts)

    def _is_continued(self, stream: ByteStream) -> bool:
        """Whether this is the file that was read so far: what was read last still stands there."""
        about, last = os.fstat(stream.fileno()), self._last
        if (about.st_dev, about.st_ino) != self._file or about.st_size < self.offset or last is None:
            return False
        stream.seek(last.byte)
        return stream.read(min(last.size, _HEAD)) == last.data[:_HEAD]

    def thread(self) -> Thread:
        """The session, or the sub-agent whose file this is, as far as it has been taken in."""
        return self._own.thread()

    def helpers(self) -> tuple[Thread, ...]:
        """The sub-agents that older versions wrote into the session's own file."""
        return tuple(fold.thread() for fold in self._helpers.values())

    def take(self, line: Line) -> None:
        """Take in one whole line."""
        if line.size > len(line.data):
            self._own.reject(line.number, line.byte, f"line of {line.size} bytes: skipped")
            return
        try:
            if not line.data.isascii():
                line.data.decode()
            record = decode(line.data)
        except UNREADABLE:
            self._salvage(line)
        else:
            self._fold_of(record).add(record, line.number, line.byte)

    def _salvage(self, line: Line) -> None:
        for piece in salvaged(line.data, _START, decode):
            for problem in piece.problems:
                self._own.reject(line.number, line.byte + piece.at, problem)
            if piece.record is not None:
                self._fold_of(piece.record).add(piece.record, line.number, line.byte + piece.at)

    def _fold_of(self, record: Record | Stranger) -> TranscriptFold:
        """Whose record it is: in a session's file, sub-agents go by their id, or by where their chain began."""
        if self._is_helper or isinstance(record, Stranger) or not record.is_sidechain:
            return self._own
        uuid = record.uuid or ""
        name = record.agent_id or self._roots.get(record.parent_uuid or "") or uuid
        self._roots[uuid] = name
        if name not in self._helpers:
            self._helpers[name] = TranscriptFold(str(self.path), "", helper=f"agent-{name}")
        return self._helpers[name]
