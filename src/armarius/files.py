"""Files that are there whole or not at all.

Owns atomic writes, bounded reads, private folders and locks. Does not own what is written.
Invariant: after `write_atomic` returns, the new bytes survive a power cut; before that, the old
ones do. No reader ever sees a mixture. `read_bounded` never waits on a pipe and never reads more
than it was told to. A lock ends with its block or with its process, whichever comes first.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from armarius.errors import ArmariusError, DataError, HostError

__all__ = ["file_kind", "locked", "open_atomic", "private_folder", "read_bounded", "write_atomic"]

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

    HostError when the disk is full or read-only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
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
    except OSError as error:
        if error.errno in _DISK_TROUBLE:
            raise HostError(
                "disk",
                f"{_DISK_TROUBLE[error.errno]}: cannot write {path}",
                "free space or set ARMARIUS_HOME to another disk",
            ) from error
        raise


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
