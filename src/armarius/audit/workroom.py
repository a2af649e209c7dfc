"""A folder of ours for one judgement, and checkouts in it that do not outlive it.

Owns making it, the checkouts below it, and clearing away what a killed Armarius left. Does not own what is done there.
Invariant: when a room is left, it has files and no folder any more, and the repository no reference of its checkouts.
A room whose owner lives is left alone: its lock, which the kernel frees, says so.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from armarius.checkout.folder import remove
from armarius.checkout.git import Repository, find, user_environ
from armarius.checkout.prepare import Checkout, drop, prepare
from armarius.clock import Clock
from armarius.errors import ArmariusError, DataError, Refused
from armarius.files import locked, private_folder, read_bounded, write_atomic
from armarius.settings import Settings

__all__ = ["checkout_in", "tidy", "workroom"]

_LOCK = "lock"
_WHERE = "repository"
_LONGEST = 16 << 10


class _InUse(Refused):
    """Somebody has the room."""


@contextmanager
def workroom(settings: Settings, kind: str, name: str) -> Generator[Path]:
    """The folder `kind/name` of our state, until the end of the block; first, what was left of others is cleared."""
    rooms = private_folder(settings.home / kind)
    tidy(settings, rooms)
    room = private_folder(rooms / name)
    with locked(room / _LOCK):
        try:
            yield room
        finally:
            _clear(settings, room)


@contextmanager
def checkout_in(room: Path, number: int, repo: Repository, commit: str, clock: Clock) -> Generator[Checkout]:
    """The commit in a checkout of its own, until the end of the block."""
    name = f"{room.name}-{number}"
    write_atomic(room / _WHERE, os.fsencode(repo.top or repo.common))
    try:
        yield prepare(repo, room / name, name, clock, base=commit)
    finally:
        drop(repo, name, room / name)


def tidy(settings: Settings, rooms: Path) -> None:
    """Clear rooms whose owner is gone."""
    for room in sorted(rooms.iterdir()):
        if not any(path.is_dir() for path in room.iterdir()):
            continue
        with suppress(_InUse), locked(room / _LOCK, _InUse("room-used", f"{room} is used")):
            _clear(settings, room)


def _clear(settings: Settings, room: Path) -> None:
    """Give up the checkouts, in the repository too as long as that is there, and remove every folder."""
    repo: Repository | None = None
    with suppress(DataError):  # no checkout was made
        where = os.fsdecode(read_bounded(room / _WHERE, _LONGEST))
        repo = find(Path(where), user_environ(settings.search_path, settings.user_home))
    for folder in [path for path in room.iterdir() if path.is_dir() and not path.is_symlink()]:
        with suppress(ArmariusError):  # the repository is not as it was: the folder goes all the same
            if repo is not None and folder.name.startswith(f"{room.name}-"):
                drop(repo, folder.name, folder)
        remove(folder)
