"""All that comes from a descriptor, written into a new file.

Owns the copy and what it costs. Does not own what the bytes are.
Invariant: when `spool` returns, the bytes are on the disk. They go there past the page cache where the file system
allows that: nobody reads them soon, and what was cached for others stays. Memory is one piece, however much comes.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Final

__all__ = ["PIECE", "spool"]

PIECE: Final = 1 << 20
"""How much is read before it is looked at and written: a multiple of every page and every sector."""
_PAST_CACHE: Final = getattr(os, "O_DIRECT", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def spool(descriptor: int, target: Path, look: Callable[[mmap, int], None]) -> None:
    """Read to the end, show each piece and its size, and write it into a file that must be new; OSError."""
    out = _create(target)
    try:
        with mmap(-1, PIECE) as piece:  # begins where a page does, which writing past the cache asks for
            while size := _fill(descriptor, piece):
                look(piece, size)
                _write(out, piece, size)
        os.fsync(out)
    finally:
        os.close(out)


def _create(target: Path) -> int:
    try:
        return os.open(target, _NEW | _PAST_CACHE, 0o600)
    except OSError as error:
        if not _PAST_CACHE or error.errno != errno.EINVAL:
            raise
        target.unlink(missing_ok=True)  # a file system that has nothing but its cache may have made it first
        return os.open(target, _NEW, 0o600)


def _fill(descriptor: int, piece: mmap) -> int:
    """As much as there is room for, or as there is."""
    size = 0
    with memoryview(piece) as view:
        while size < PIECE and (more := os.readv(descriptor, [view[size:]])):
            size += more
    return size


def _write(out: int, piece: mmap, size: int) -> None:
    done = 0
    with memoryview(piece) as view:
        while done < size:
            try:
                done += os.write(out, view[done:size])
            except OSError:
                if not fcntl.fcntl(out, fcntl.F_GETFL) & _PAST_CACHE:
                    raise
            if done < size:  # only in part, or not at all: what is left is no whole number of sectors
                _through_cache(out)


def _through_cache(out: int) -> None:
    if _PAST_CACHE:
        fcntl.fcntl(out, fcntl.F_SETFL, fcntl.fcntl(out, fcntl.F_GETFL) & ~_PAST_CACHE)
