"""Reading and removing a folder that an agent has written.

Owns the walk, opening a file below it, and the removal. Does not own what the files mean.
Invariant: no link is followed, no pipe or device is opened, no other file system is entered, whatever stands there
and whatever changes meanwhile; neither a deep folder nor a long name can stop the removal.
"""

import os
import secrets
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from armarius.errors import DataError, HostError

__all__ = ["Found", "Reader", "Walk", "is_gits", "remove", "walk"]

_DEEPEST = 120
_LONGEST = 3000
_MOST_FILES = 2_000_000
_INVISIBLE = frozenset((*map(chr, range(0x200B, 0x2070)), "\ufeff"))
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """A file or link: its mode and size as they were during the walk."""

    mode: int
    size: int


class Walk(NamedTuple):
    """What lies below a folder. Paths are relative, with lone surrogates for bytes that are no UTF-8.

    `closed` are folders and other things that were not looked into, each with the reason.
    """

    files: dict[str, Found]
    folders: set[str]
    closed: dict[str, str]


def walk(root: Path) -> Walk:
    """Everything below `root` but git's own folder at its top."""
    files: dict[str, Found] = {}
    folders: set[str] = set()
    closed: dict[str, str] = {}
    device = root.lstat().st_dev
    with Reader(root) as reader:
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                descriptor = reader.folder(folder)
                with os.scandir(descriptor) as entries:
                    found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
            except OSError as error:
                closed[folder] = f"cannot be read: {error.strerror}"
                continue
            for name, status in found:
                path = f"{folder}/{name}" if folder else name
                if path == ".git":
                    continue
                reason = _closed(path, name, status, device)
                if reason:
                    closed[path] = reason
                elif stat.S_ISDIR(status.st_mode):
                    folders.add(path)
                    waiting.append(path)
                else:
                    files[path] = Found(status.st_mode, status.st_size)
            if len(files) + len(closed) > _MOST_FILES:
                raise DataError("checkout-files", f"{root} holds more than {_MOST_FILES:,} files", "remove some")
    return Walk(files, folders, closed)


def _closed(path: str, name: str, status: os.stat_result, device: int) -> str:
    """Why this is not looked into, or nothing."""
    if is_gits(name):
        return "a name that git keeps for itself"
    if len(os.fsencode(path)) > _LONGEST or path.count("/") > _DEEPEST:
        return "too deep"
    if stat.S_ISDIR(status.st_mode):
        return "another file system" if status.st_dev != device else ""
    return "" if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else "neither a file nor a link"


def is_gits(name: str) -> bool:
    """Whether some system takes this name for `.git`: other case, invisible characters, short names, streams."""
    for part in name.replace(":", "\\").split("\\"):
        plain = "".join(char for char in part if char not in _INVISIBLE)
        if plain.rstrip(" .").casefold() in {".git", "git~1"}:
            return True
    return False


class Reader:
    """Opens what lies below a folder, name by name, so that no link on the way is followed."""

    def __init__(self, root: Path) -> None:
        try:
            self._root = os.open(root, _FOLDER)
        except OSError as error:
            raise DataError("checkout", f"cannot open {root}: {error.strerror}", "it was moved or replaced") from error
        self._last: tuple[str, int] = ("", self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        os.close(self._root)

    def folder(self, path: str) -> int:
        """A descriptor of the folder, good until the next call."""
        if path == self._last[0]:
            return self._last[1]
        self._forget()
        descriptor = os.dup(self._root)
        try:
            for name in path.split("/") if path else ():
                inner = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        except OSError:
            os.close(descriptor)
            raise
        self._last = (path, descriptor)
        return descriptor

    def open(self, path: str) -> int:
        """The regular file at `path`; OSError when it is not one."""
        above, _, name = path.rpartition("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self.folder(above))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "no regular file any more", path)
        return descriptor

    def link(self, path: str) -> bytes:
        """Where the link at `path` leads."""
        above, _, name = path.rpartition("/")
        return os.fsencode(os.readlink(name, dir_fd=self.folder(above)))

    def _forget(self) -> None:
        if self._last[1] != self._root:
            os.close(self._last[1])
        self._last = ("", self._root)


def remove(folder: Path) -> None:
    """Remove a folder with everything below it; nothing to do when it is gone.

    It loses its name first, so that a program which still writes there cannot make it come back. Folders inside
    are moved to the top and emptied one by one: no depth is too deep.
    """
    trash = folder.with_name(f".{folder.name[:80]}.gone")
    _unlink_link(folder)
    if folder.exists():
        trash.mkdir(mode=0o700, exist_ok=True)
        folder.rename(trash / secrets.token_hex(8))
    if not trash.exists():
        return
    try:
        while names := [path.name for path in trash.iterdir()]:
            for name in names:
                _empty(trash, name)
        trash.rmdir()
    except OSError as error:
        raise HostError("checkout-remove", f"cannot remove {trash}: {error.strerror}", "remove it by hand") from error


def _unlink_link(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()


def _empty(trash: Path, name: str) -> None:
    """Remove one entry of the trash, after moving the folders in it beside it."""
    path = trash / name
    if not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return
    path.chmod(0o700)
    descriptor = os.open(path, _FOLDER)
    try:
        for entry in os.listdir(descriptor):  # noqa: PTH208  # a descriptor, not a path
            if stat.S_ISDIR(os.stat(entry, dir_fd=descriptor, follow_symlinks=False).st_mode):
                os.chmod(entry, 0o700, dir_fd=descriptor)  # a folder is moved only by who may write it
                os.rename(entry, trash / secrets.token_hex(8), src_dir_fd=descriptor)
            else:
                os.unlink(entry, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    path.rmdir()
