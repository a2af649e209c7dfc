"""A session becomes a Thread, whole or from the end of its file.

Owns the choice of the reader, which files of a thread belong together, and how much of the end is read
to see the last messages. Does not own formats.
Invariant: the end of a rollout or transcript of any length costs at most `_MOST` bytes at each end of
it, unless it is compressed. A second file of a thread that cannot be opened does not hide the first.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from armarius.errors import DataError
from armarius.rollouts.claude import TranscriptReader
from armarius.rollouts.formats import classify, read_thread
from armarius.rollouts.merging import merged
from armarius.rollouts.reader import RolloutReader
from armarius.sessions.folders import sweep
from armarius.sessions.names import Named
from armarius.thread import Format, Thread

__all__ = ["SessionReader", "read_session", "reader_at_end", "refuse_others"]

_LEAST: Final = 256 << 10
_MOST: Final = 4 << 20


class SessionReader(Protocol):
    """One session file, followed while it grows."""

    def advance(self) -> bool:
        """Take in what was written since; whether anything is new. OSError when the file is gone."""
        ...

    def thread(self) -> Thread:
        """The thread as far as it has been taken in."""
        ...


def read_session(named: Named) -> Thread:
    """All that the files of a thread tell; OSError when the one that was named cannot be opened."""
    threads = [read_thread(named.path)]
    if named.place is not None and named.place.kind == "codex":
        for found in sweep(named.place).files.values():
            path = named.place.path / found.path
            if found.thread_id == named.thread_id and path != named.path:
                with suppress(OSError):
                    threads.append(read_thread(path))
    return merged(threads) if len(threads) > 1 else threads[0]


def refuse_others(path: Path) -> None:
    """DataError for a file that is no session; OSError when it cannot be opened.

    One that is named as Codex names them is one, whatever is in it, and says of each line what is wrong.
    """
    if not path.name.startswith("rollout-") and classify(path) is Format.UNKNOWN:
        raise DataError(
            "no-session", f"{path} is no session", "name a file of Codex's, or see `armarius sessions list`"
        )


def reader_at_end(path: Path, enough: Callable[[Thread], bool]) -> SessionReader:
    """A reader that stands at the end of a session file, having read as little of it as is `enough`."""
    # The name of a rollout says what it is; of any other file the first lines have to be looked at.
    kind = Format.UNKNOWN if path.name.startswith("rollout-") else classify(path)
    if kind in {Format.EXEC, Format.EXEC_OLD}:
        return _StreamReader(path)
    size = _LEAST
    while True:
        reader = (TranscriptReader if kind is Format.CLAUDE else RolloutReader).at_end(path, size)
        if size >= _MOST or enough(reader.thread()):
            return reader
        size *= 4


class _StreamReader:
    """A stream of `codex exec --json`, which is short and is read anew when it has grown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = -1
        self.advance()

    def advance(self) -> bool:
        size = self._path.stat().st_size
        if size == self._size:
            return False
        self._size, self._thread = size, read_thread(self._path)
        return True

    def thread(self) -> Thread:
        return self._thread
