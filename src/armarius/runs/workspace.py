"""Which files changed below a folder, seen by us and not told by an agent.

Owns the two snapshots, their difference and how one is kept. Does not own what is in the files.
Invariant: a file whose bytes changed is in the difference, because the kernel sets the change time
(ctime) of a written file and no program can set it back; ignored and committed files count too, and
so do files whose names are not UTF-8.
"""

import json
import os
from pathlib import Path

import msgspec

__all__ = ["Snapshot", "changed", "decode", "encode", "snapshot"]

Snapshot = dict[str, tuple[int, int, int, int]]
"""Path below the folder -> inode, size, change time (ns), mode. Bytes of a name that are no UTF-8
are lone surrogates, as everywhere in Python (PEP 383)."""

_OURS_NOT = frozenset({".git"})


def snapshot(folder: Path, *others: Path) -> Snapshot:
    """Every file and link below `folder` but git's own; folders count through what is in them.

    What lies below `others` goes by its whole path.
    """
    found = _below(str(folder), len(os.path.join(folder, "")))  # noqa: PTH118  # with the slash, which "/" already has
    for other in others:
        found |= _below(str(other), 0)
    return found


def _below(folder: str, start: int) -> Snapshot:
    found: Snapshot = {}
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # gone or replaced meanwhile, or not ours to read
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _OURS_NOT:
                        waiting.append(entry.path)
                    continue
                stat = entry.stat(follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it, or a folder above it, was replaced meanwhile
            found[entry.path[start:]] = (stat.st_ino, stat.st_size, stat.st_ctime_ns, stat.st_mode)
    return found


def changed(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Paths that were added, removed or written, sorted, and fit to be printed and stored."""
    paths = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return tuple(sorted(os.fsencode(path).decode(errors="backslashreplace") for path in paths))


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot for a file. The standard library's JSON, because it alone keeps lone surrogates."""
    return json.dumps(snapshot).encode()


def decode(data: bytes) -> Snapshot:
    return msgspec.convert(json.loads(data), Snapshot)
