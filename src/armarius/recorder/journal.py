"""The journal of exchanges: files that only grow.

Owns the files below one folder, and when a line is safe. Does not own what a line says (exchange.py).
Invariant: `safe` is told of a line only after its bytes are on the disk; however many lines came meanwhile,
one fsync makes all of them safe. What could not be written leaves no half of a line behind, and is counted. A
process writes files of its own, so that no two ever write into one.
"""

import contextlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, HostError
from armarius.files import private_folder
from armarius.identity import new_id
from armarius.recorder.spill import Aside

__all__ = ["Journal", "JournalState", "Line", "Place", "Read", "Safe", "read_journal", "why_unwritable"]

Line = tuple["bytes | Aside", ...]
"""A line in pieces; the large ones were put aside."""


class Place(msgspec.Struct, frozen=True):
    """Where in the journal a line stands."""

    path: str
    at: int
    size: int

    def read(self) -> bytes:
        """The line; DataError when it is not there any more, HostError when nobody can say."""
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123  # a Path for each line would cost more than the rest
                data = os.pread(file.fileno(), self.size, self.at)
        except FileNotFoundError as error:
            raise DataError("journal-line", f"{self.path} was taken away") from error
        except OSError as error:
            raise HostError("journal-line", f"{self.path}: {error.strerror}", "check the disk") from error
        if len(data) != self.size:
            raise DataError("journal-line", f"{self.path} ends before {self.at + self.size:,} bytes")
        return data


Safe = Callable[[list[Any], list[Place] | None], None]
"""Told of the tickets of a batch, and where their lines stand on the disk, None: nowhere; called in the journal's own
thread.
"""

_LARGEST_FILE = 256 << 20
_LONGEST_LINE = 512 << 20
_AT_ONCE = 1 << 20


class JournalState(msgspec.Struct):
    """How writing went. `trouble` is the newest failure, None again after the next success."""

    folder: str
    written: int = 0
    lost: int = 0
    bytes: int = 0
    trouble: str | None = None


class Journal:
    """The writer; from `__enter__` to `__exit__` its thread lives."""

    def __init__(self, folder: Path, clock: Clock, safe: Safe) -> None:
        self._folder = folder
        self._clock = clock
        self._safe = safe
        self._queue = queue.SimpleQueue[list[tuple[Line, Any]] | None]()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._descriptor: int | None = None
        self._path = ""
        self._size = 0
        self.state = JournalState(str(folder))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is waiting, and end."""
        self._queue.put(None)
        self._thread.join()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def append(self, entries: list[tuple[Line, Any]]) -> None:
        """Write lines soon; `safe` is called with the ticket of each afterwards, once."""
        self._queue.put(entries)

    def _work(self) -> None:
        while True:
            batch, is_last = self._batch()
            if batch:
                places = self._write([line for line, _ in batch])
                tickets = [ticket for _, ticket in batch]
                del batch  # the lines are long, and the next may take its time
                self._safe(tickets, places)
            if is_last:
                return

    def _batch(self) -> tuple[list[tuple[Line, Any]], bool]:
        """All lines that wait, after the first has come; and whether there will be no more."""
        batch = list[tuple[Line, Any]]()
        entries = self._queue.get()
        while entries is not None:
            batch += entries
            try:
                entries = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _write(self, lines: list[Line]) -> list[Place] | None:
        sizes = [sum(piece.size if isinstance(piece, Aside) else len(piece) for piece in line) for line in lines]
        try:
            descriptor = self._opened()
            for data in _together(lines):
                _write_all(descriptor, data)
            os.fdatasync(descriptor)
        except (OSError, HostError) as error:
            self._undo()
            self.state.lost += len(lines)
            reason = error.strerror if isinstance(error, OSError) else error
            self.state.trouble = f"cannot write {sum(sizes):,} bytes below {self._folder}: {reason}"
            return None
        places = list[Place]()
        for size in sizes:
            places.append(Place(self._path, self._size, size))
            self._size += size
        self.state.written += len(lines)
        self.state.bytes += sum(sizes)
        self.state.trouble = None
        return places

    def _opened(self) -> int:
        """The file to write to: another one when it is full, or was taken away."""
        if self._descriptor is not None:
            if self._size < _LARGEST_FILE and os.fstat(self._descriptor).st_nlink:
                return self._descriptor
            os.close(self._descriptor)
            self._descriptor = None
        private_folder(self._folder)
        path = self._folder / f"{new_id('journal', self._clock)}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._path, self._size = str(path), 0
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._descriptor

    def _undo(self) -> None:
        """Take back what may have been written of a batch that failed; a file that cannot is left behind."""
        if self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def why_unwritable(folder: Path) -> str | None:
    """Why a journal could not be begun in `folder`, as far as that is seen without writing."""
    above = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not above.is_dir():
        return f"{above} is no folder"
    return None if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written to"


def _together(lines: list[Line]) -> Iterator[bytes]:
    """The bytes of lines, as much of them at once as is worth it."""
    pieces, size = list[bytes](), 0
    for line in lines:
        for piece in line:
            pieces.append(piece.read() if isinstance(piece, Aside) else piece)
            size += len(pieces[-1])
            if size > _AT_ONCE:
                yield b"".join(pieces)
                pieces, size = [], 0
    yield b"".join(pieces)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Read(msgspec.Struct, frozen=True):
    """A line of the journal, and where it stands: its number, and its first byte; `data` None: it is broken, or, as
    line 0, the whole file is none of a journal.
    """

    path: Path
    line: int
    at: int
    data: bytes | None


def _opened_to_read(path: Path, since_us: int) -> IO[bytes] | None:
    """A file of the journal; None when it was not written to since. A pipe in its place holds up nobody."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_mtime_ns // 1000 < since_us:
        os.close(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no file")
        return None
    return os.fdopen(descriptor, "rb")


def read_journal(folder: Path, since_us: int = 0) -> Iterator[Read]:
    """Every line, oldest first, of files written to since. A last line that is still being written is left out."""
    for path in sorted(folder.glob("journal_*.jsonl")):
        try:
            file = _opened_to_read(path, since_us)
        except OSError:
            yield Read(path, 0, 0, None)
            continue
        if file is None:
            continue
        with file:
            number = at = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) == _LONGEST_LINE:
                        yield Read(path, number, at, None)
                    break
                yield Read(path, number, at, line)
                at += len(line)
