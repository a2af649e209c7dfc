"""What a tree holds, as one hash.

Owns the hash and its speed on a second look. Does not own which files changed (runs/workspace.py walks).
Invariant: the same paths with the same bytes, kinds and executable bits give the same hash on every machine; ignored
files count, git's own folder does not. No link is followed.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from armarius.checkout.git import Git, user_environ
from armarius.errors import ArmariusError
from armarius.identity import hash_value

__all__ = ["TreeHasher", "head_of"]

_MOST_BYTES = 4 << 30
_CHUNK = 1 << 20
_Stat = tuple[int, int, int, int]


class TreeHasher:
    """Hashes trees; a file whose status did not change is not read again."""

    def __init__(self) -> None:
        self._known = dict[tuple[str, _Stat], str]()

    def hash(self, folder: Path, files: Mapping[str, _Stat]) -> str | None:
        """The hash of the files that a walk of `folder` found (inode, size, change time, mode); None for too much."""
        if sum(status[1] for status in files.values()) > _MOST_BYTES:
            return None
        entries = list[list[str]]()
        for path in sorted(files):
            key = (path, files[path])
            if key not in self._known:
                self._known[key] = _content(folder / path, files[path][3])
            entries.append([os.fsencode(path).hex(), _kind(files[path][3]), self._known[key]])
        return hash_value(entries)


def head_of(folder: Path, search_path: str, home: Path) -> str | None:
    """The commit that is checked out in a folder; None where there is none. Nothing of its configuration is run."""
    git = Git(folder, user_environ(search_path, home))
    try:
        said = git.line("rev-parse", "--verify", "--quiet", "HEAD^{commit}", codes=(0, 1, 128))
    except (ArmariusError, OSError):
        return None
    return said or None


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "link"
    if not stat.S_ISREG(mode):
        return "special"
    return "program" if mode & stat.S_IXUSR else "file"


def _content(path: Path, mode: int) -> str:
    try:
        if stat.S_ISLNK(mode):
            return os.fsencode(path.readlink()).hex()
        if not stat.S_ISREG(mode):
            return ""
        digest = hashlib.sha256()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"unreadable: {error.errno}"
    return digest.hexdigest()
