"""Files that are there whole or not at all.

Owns atomic writes, replacing a file that others write too, bounded reads, private folders and locks. Does not own
what is written.
Invariant: after `write_atomic` returns, the new bytes survive a power cut; before that, the old
ones do. No reader ever sees a mixture. `read_bounded` never waits on a pipe and never reads more
than it was told to. What is there and no file (a device, a pipe) is never replaced. A lock ends
with its block or with its process, whichever comes first.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from armarius.errors import ArmariusError, DataError, HostError

__all__ = [
    "HeldFile",
    "Seen",
    "file_kind",
    "held_file",
    "locked",
    "open_atomic",
    "private_folder",
    "read_bounded",
    "write_atomic",
]

_DISK_TROUBLE = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota reached",
    errno.EROFS: "file system is read-only",
}

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def file_kind(mode: int) -> str:
    """What a `st_mode` stands for, as a person would call it."""
    return _KINDS.get(stat.S_IFMT(mode), "special file")


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file; DataError when it is missing, of another kind, or over `limit`."""
    try:
        # The kind is looked at before opening: to open some devices is to act on them. A pipe that
        # takes the file's place in between cannot block, and reads as empty.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError("not-a-file", f"{path} is a {file_kind(mode)}", "name a regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
            size = os.fstat(descriptor).st_size
    except FileNotFoundError as error:
        raise DataError("missing", f"{path} does not exist", "check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError("unreadable", f"cannot read {str(path)!r}: {reason}", "check the path") from error
    if len(data) > limit:
        raise DataError("too-large", f"{path} has {size:,} bytes, at most {limit:,} are read", "shorten it")
    return data


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace `path` by `data`; HostError when the disk is full or read-only.

    What is not `durable` may be lost or empty after a power failure: for what is written anew before it is read.
    """
    with open_atomic(path, mode=mode, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: Path, *, mode: int = 0o600, durable: bool = True) -> Generator[BinaryIO]:
    """A file that takes the place of `path` at the end of the block, and never when that raises.

    HostError when the disk is full or read-only; DataError for a device, a pipe or a socket, whose place no file takes.
    """
    _spare_what_is_no_file(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with _disk_trouble_told(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                yield file
                file.flush()
                if durable:
                    os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if durable:
            _sync_folder(path.parent)


def _spare_what_is_no_file(path: Path) -> None:
    """Whoever may write to `/dev` would lose `/dev/null` by naming it; a folder is refused by the system."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # nothing is there, or a link to nothing
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError("not-a-file", f"{path} is a {file_kind(mode)}", "name a regular file")


@contextlib.contextmanager
def _disk_trouble_told(path: Path) -> Generator[None]:
    """HostError in the place of what a full or read-only disk raises."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_TROUBLE:
            raise HostError(
                "disk",
                f"{_DISK_TROUBLE[error.errno]}: cannot write {path}",
                "free space or set ARMARIUS_HOME to another disk",
            ) from error
        raise


class Seen(NamedTuple):
    """A file as it was looked at: its bytes, its mode, and which file of which disk it is."""

    data: bytes
    mode: int
    number: tuple[int, int]


class HeldFile(NamedTuple):
    """A name in a folder that is held open: what takes the folder's place in its path is never read nor written."""

    path: Path
    folder: int
    limit: int

    def look(self) -> Seen:
        """The regular file of this name; OSError when there is none, a link for instance."""
        descriptor = os.open(self.path.name, _READ, dir_fd=self.folder)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, f"is a {file_kind(status.st_mode)}", str(self.path))
            data = file.read(self.limit + 1)
        return Seen(data, stat.S_IMODE(status.st_mode), (status.st_dev, status.st_ino))

    def replace(self, seen: Seen, data: bytes) -> bool:
        """Put `data` in the place of what was seen; False, and nothing is written, when that is no longer there.

        The last look is right before the rename, when the new bytes are on the disk already.
        """
        draft = f".{self.path.name}.{secrets.token_hex(6)}.tmp"
        try:
            with _disk_trouble_told(self.path):
                _write_draft(draft, data, seen.mode, self.folder)
                if not self._is_still(seen):
                    return False
                os.replace(draft, self.path.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
                os.fsync(self.folder)
        finally:
            with contextlib.suppress(OSError):  # it has its new name, or was never made
                os.unlink(draft, dir_fd=self.folder)
        return True

    def _is_still(self, seen: Seen) -> bool:
        """Whether name and folder lead to what was seen."""
        try:
            with held_file(self.path, self.limit) as now:
                same = os.path.sameopenfile(now.folder, self.folder)
                return same and now.look() == seen
        except OSError:
            return False


@contextlib.contextmanager
def held_file(path: Path, limit: int) -> Generator[HeldFile]:
    """The file at an absolute path whose folder is reached by way of folders alone; OSError when a link is among them.

    At most `limit` bytes and one more are ever read of it.
    """
    above = path.parts[:-1]
    folder = os.open(path.anchor, _WAY if above[1:] else _FOLDER)
    try:
        for place, name in enumerate(above[1:], start=2):
            below = os.open(name, _WAY if place < len(above) else _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        yield HeldFile(path, folder, limit)
    finally:
        os.close(folder)


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder above may be one that can be passed and not be listed.
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _write_draft(name: str, data: bytes, mode: int, folder: int) -> None:
    descriptor = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
    )
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def private_folder(path: Path) -> Path:
    """Make `path` (and what is missing above it) readable by its owner alone; return it."""
    for folder in reversed((path, *path.parents)):  # `parents=True` would leave those to the umask
        if folder == path or not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def _sync_folder(path: Path) -> None:
    """Make a rename durable: the folder holds the name (fault 6, power loss after rename)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, busy: ArmariusError | None = None) -> Generator[None]:
    """Hold the lock that the file at `path` stands for; it is made when it is not there, and stays.

    Waits for whoever has it, another descriptor of this process as well; with `busy`, that is raised instead.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            assert busy is not None
            raise busy from None
        yield
    finally:
        os.close(descriptor)
