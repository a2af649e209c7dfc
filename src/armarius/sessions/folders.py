"""The session files that there are now.

Owns looking into the folders of Codex and of Claude Code, and what is seen of a file from outside. Does
not own what stands in one, nor what is remembered of it (`index`).
Invariant: nothing is opened. A folder that cannot be listed is named and hides no other; where a
compressed file and its plain form lie side by side, the plain one counts.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.opening import COMPRESSED

__all__ = ["Found", "Kind", "Place", "Sweep", "sweep"]

Kind: TypeAlias = Literal["codex", "claude"]

_TRANSCRIPT = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|agent-[\w-]+)\.jsonl")
_SIGNED = (1 << 63) - 1  # what SQLite holds; some file systems number their files with 64 bits


class Place(msgspec.Struct, frozen=True):
    """A folder with session files: a CODEX_HOME, or the `~/.claude` of Claude Code."""

    kind: Kind
    path: Path


class Found(msgspec.Struct, frozen=True):
    """A session file from outside. `path` is relative to its place."""

    path: str
    thread_id: str
    is_archived: bool
    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def is_packed(self) -> bool:
        """Whether the file is compressed."""
        return self.path.endswith(COMPRESSED)


class Sweep(msgspec.Struct, frozen=True):
    """What was found in a place. `closed` are folders and names that could not be looked at."""

    files: dict[str, Found]
    closed: tuple[str, ...]


def sweep(place: Place) -> Sweep:
    """Every session file of a place."""
    walk = _Walk(str(place.path))
    if place.kind == "claude":
        files = {found.path: found for found in walk.claude("projects", 5)}
    else:
        listed = {found.path: found for found in walk.codex("sessions", 3, is_archived=False)}
        listed |= {found.path: found for found in walk.codex("archived_sessions", 0, is_archived=True)}
        files = {
            path: found
            for path, found in listed.items()
            if not (found.is_packed and path.removesuffix(COMPRESSED) in listed)
        }
    return Sweep(files, tuple(walk.closed))


class _Walk:
    """One look into a place; `closed` gathers what could not be looked at."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.closed = list[str]()

    def codex(self, folder: str, depth: int, *, is_archived: bool) -> Iterator[Found]:
        for entry, path in self._entries(folder, depth):
            if thread_id := thread_id_of(entry.name):
                yield from self._found(entry, path, thread_id, is_archived=is_archived)

    def claude(self, folder: str, depth: int) -> Iterator[Found]:
        for entry, path in self._entries(folder, depth):
            if _TRANSCRIPT.fullmatch(entry.name):
                yield from self._found(entry, path, entry.name.removesuffix(".jsonl"), is_archived=False)

    def _entries(self, folder: str, depth: int) -> Iterator[tuple[os.DirEntry[str], str]]:
        """What lies in a folder and, `depth` levels deep, in those below."""
        try:
            with os.scandir(f"{self._root}/{folder}") as listed:
                entries = list(listed)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            self.closed.append(folder)
            return
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
                self.closed.append(os.fsencode(path).decode(errors="backslashreplace"))
            elif ".jsonl" in entry.name:
                yield entry, path
            elif depth and _is_folder(entry):
                yield from self._entries(path, depth - 1)

    def _found(self, entry: os.DirEntry[str], path: str, thread_id: str, *, is_archived: bool) -> Iterator[Found]:
        try:
            seen = entry.stat()
        except FileNotFoundError:
            return  # archived, compressed or deleted since the folder was listed
        except OSError:
            self.closed.append(path)
            return
        if stat.S_ISREG(seen.st_mode):
            inode, device = seen.st_ino & _SIGNED, seen.st_dev & _SIGNED
            yield Found(path, thread_id, is_archived, device, inode, seen.st_size, seen.st_mtime_ns)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
