"""How far each session is in its snapshots, kept in a file that outlives the recorder.

Owns which sessions are known, how far each of them is, since when snapshots are made, and the file that says so. Does
not own what waits to be written (snapshots.py) or what a part says (snapshot.py).
Invariant: a line is appended for each part that was written, and no half of one stays. The file is read line by line,
what cannot be read in it is passed over, and it is kept about as short as its sessions are many.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import HostError
from armarius.files import private_folder, write_atomic
from armarius.recorder.snapshot import Progress

__all__ = ["SnapshotLog"]

_MOST_OPEN = 4


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of the log: a part that was written. The first line says since when, and up to when sessions were
    forgotten.
    """

    session: str = ""
    progress: Progress | None = None
    since_us: int = 0
    forgotten_us: int = 0


_line = msgspec.json.Decoder(_Line)


class SnapshotLog:
    """The log of one place for snapshots; used by one thread. Of closed sessions about `most_closed` are known."""

    def __init__(self, path: Path, clock: Clock, most_closed: int) -> None:
        private_folder(path.parent)
        self._path, self._most_closed = path, most_closed
        self.progress = dict[str, Progress]()
        """How far each session is that is known."""
        self.forgotten_us = 0
        """When the newest of the sessions was written that are not known any more."""
        self.since_us = self._read(clock)

    def wrote(self, session: str, progress: Progress) -> None:
        """A part was written, and `session` is as far as `progress` says."""
        self.progress[session] = progress
        self._append(_Line(session, msgspec.structs.replace(progress, seen=set(), last=_newest(progress))))

    def close(self, session: str, in_use: Collection[str]) -> None:
        """Keep of a session how far it is, and of the oldest not even that: their parts say it, if they ever go on."""
        progress = self.progress.pop(session)
        progress.seen, progress.last = set(), _newest(progress)
        self.progress[session] = progress
        self._forget(in_use)

    def _forget(self, in_use: Collection[str] = ()) -> None:
        if len(self.progress) - len(in_use) <= self._most_closed * 5 // 4:  # one costs as much as many
            return
        closed = [name for name in self.progress if name not in in_use]
        for name in closed[: -self._most_closed]:
            self.forgotten_us = max(self.forgotten_us, self.progress.pop(name).at_us)

    def _append(self, line: _Line) -> None:
        data, flags = msgspec.json.encode(line) + b"\n", os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                written = os.write(descriptor, data)
                if written < len(data):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HostError("snapshot-log", f"{self._path}: {error.strerror}", "look there") from error
        if written < len(data):
            raise HostError("snapshot-log", f"{self._path}: the disk is full", "free space there")

    def _read(self, clock: Clock) -> int:
        """How far every session is; since when snapshots are made."""
        since = size = 0
        for line in self._lines():
            size += 1
            since = since or line.since_us
            self.forgotten_us = max(self.forgotten_us, line.forgotten_us)
            if line.progress is not None:
                self.progress.pop(line.session, None)
                self.progress[line.session] = line.progress
                self._forget()
        if not since:
            since = clock.now_us()
            self._append(_Line(since_us=since))
        elif size > 2 * (len(self.progress) + self._most_closed):
            first = _Line(since_us=since, forgotten_us=self.forgotten_us)
            kept = (first, *(_Line(name, progress) for name, progress in self.progress.items()))
            write_atomic(self._path, b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
        return since

    def _lines(self) -> Iterator[_Line]:
        if self._path.exists():
            with self._path.open("rb") as file:
                for text in file:
                    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
                        yield _line.decode(text)  # else cut off by a loss of power; the part says the same


def _newest(progress: Progress) -> dict[str, tuple[str | None, int, int | None]]:
    """Turns that may go on."""
    return dict(list(progress.last.items())[-_MOST_OPEN:])
