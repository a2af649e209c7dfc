"""To which repository a folder belongs.

Owns reading git's own files for that: `.git`, `gitdir:`, `commondir`. Does not own git itself, which
is not started: 500 sessions ask at once.
Invariant: a folder belongs to a repository when it lies in it, or at the same place in another
worktree of it. A folder that is no more is judged by its path.
"""

import os
from pathlib import Path

import msgspec

__all__ = ["Spot", "belongs", "spot_of"]

_LONGEST = 4096


class Spot(msgspec.Struct, frozen=True):
    """A folder as git sees it: the store that all worktrees share, and the path inside of a worktree.

    `store` is None outside of any repository, and `inside` is then the whole path.
    """

    folder: Path
    store: Path | None
    inside: Path


def spot_of(folder: Path) -> Spot:
    """Where a folder lies."""
    folder = Path(os.path.realpath(folder))
    for place in (folder, *folder.parents):
        store = _store(place / ".git")
        if store:
            return Spot(folder, store, folder.relative_to(place))
    return Spot(folder, None, folder)


def belongs(folder: Spot, repository: Spot) -> bool:
    """Whether `folder` is the same as `repository`, below it, or in another worktree of it."""
    if folder.folder.is_relative_to(repository.folder):
        return True
    if folder.store is None or folder.store != repository.store:
        return False
    return folder.inside.is_relative_to(repository.inside)


def _store(git: Path) -> Path | None:
    """What a `.git` leads to: itself, or by way of a file to the store of the main worktree."""
    try:
        if git.is_dir():
            return git if os.path.lexists(git / "HEAD") else None  # sandboxes leave empty ones behind
        with git.open("rb") as file:
            head, _, target = file.read(_LONGEST).partition(b"gitdir:")
        if head or not target.strip():
            return None
        own = git.parent / os.fsdecode(target.strip())
        common = own / "commondir"
        if common.is_file():
            with common.open("rb") as file:
                own = own / os.fsdecode(file.read(_LONGEST).strip())
        return Path(os.path.realpath(own))
    except (OSError, ValueError):  # ValueError: a NUL in what should be a path
        return None
