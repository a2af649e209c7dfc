"""Where Codex keeps its session files.

Owns the layout below a CODEX_HOME: `sessions/YYYY/MM/DD/rollout-<time>-<thread id>.jsonl`, the flat
`archived_sessions/`, and `.jsonl.zst` for files that were compressed. Does not own their content.
Invariant: each thread file is listed once; where a compressed file and its plain form lie side by
side, as they do while Codex resumes one, the plain one counts. A folder that cannot be listed, or is
gone before it is, hides no other.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from armarius.rollouts.opening import COMPRESSED

__all__ = ["RolloutFile", "files_of_thread", "find_rollout", "find_rollouts", "thread_id_of"]

_NAME = re.compile(
    r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-"
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.jsonl(?P<zst>\.zst)?"
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # a byte of a name that is no text


class RolloutFile(msgspec.Struct, frozen=True):
    """A session file as the folder shows it. `size` is that of the file, compressed or not."""

    path: Path
    thread_id: str
    size: int
    changed_us: int
    is_archived: bool
    is_compressed: bool


def thread_id_of(name: str) -> str:
    """The thread that a file is named after, or nothing for a name that Codex does not give."""
    found = _NAME.fullmatch(name)
    return found["id"] if found else ""


def find_rollouts(home: Path) -> list[RolloutFile]:
    """The session files of a CODEX_HOME, the one that was written to last first."""
    found = {file.path: file for file in _listed(home)}
    return sorted(
        (file for file in found.values() if not (file.is_compressed and file.path.with_suffix("") in found)),
        key=lambda file: (file.changed_us, file.path.name),
        reverse=True,
    )


def find_rollout(home: Path, thread_id: str) -> Path | None:
    """The session file of one thread, the newest if there are several; None when there is none."""
    found = files_of_thread(home, thread_id)
    return found[-1] if found else None


def files_of_thread(home: Path, thread_id: str) -> list[Path]:
    """All session files of one thread, the oldest first; of two forms of one file the plain one counts.

    A file that lies in two folders, as one does while it is moved, is there twice, a plain one last.
    """
    found = {file.path for file in _listed(home, thread_id)}
    kept = (path for path in found if path.suffix != COMPRESSED or path.with_suffix("") not in found)
    return sorted(kept, key=lambda path: (path.name.removesuffix(COMPRESSED), path.suffix != COMPRESSED, path))


def _listed(home: Path, thread_id: str | None = None) -> Iterator[RolloutFile]:
    for folder, depth, is_archived in ((home / "sessions", 3, False), (home / "archived_sessions", 0, True)):
        for entry in _entries(folder, depth):
            name = _NAME.fullmatch(entry.name)
            if name and thread_id in {None, name["id"]} and (seen := _seen(entry)) and stat.S_ISREG(seen.st_mode):
                yield RolloutFile(
                    Path(entry.path),
                    name["id"],
                    seen.st_size,
                    seen.st_mtime_ns // 1_000,
                    is_archived,
                    is_compressed=name["zst"] is not None,
                )


def _entries(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    """What lies in the folders `depth` levels below, as far as they can be listed and their names are text."""
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except OSError:  # moved away or deleted meanwhile, not ours, a link in a circle
        return
    for entry in entries:
        if not _SURROGATE.search(entry.name):
            if depth == 0:
                yield entry
            else:
                yield from _entries(entry.path, depth - 1)


def _seen(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None  # archived or deleted since the folder was listed, or a link to nowhere
