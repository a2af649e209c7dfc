"""The bytes of a session file, plain or compressed.

Owns which of the two forms is read, decompression, and what a damaged compressed file is called. Does
not own lines or their meaning.
Invariant: bytes come out as they were before compression, and offsets count those. Memory and time are
bounded whatever the file claims; damage is an OSError in the place where it shows, after all bytes
before it, and so is a file of a few bytes that unpacks to far more than any session says. What is no
file (a pipe, a device) is not read.
"""

import errno
import io
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import zstandard

from armarius.errors import DamagedFile

__all__ = ["COMPRESSED", "ByteStream", "Unpacked", "open_rollout", "present"]

COMPRESSED: Final = ".zst"
_CHUNK: Final = 64 << 10
# What every decoder of zstd has to support; Codex compresses with a quarter of it.
_WINDOW: Final = 8 << 20
_MOST_UNPACKED: Final = 64 << 20
_MOST_TIMES: Final = 500
"""Only what is longer than the one and the other is no session: real ones shrink to a third, a few to a twelfth."""
_MAGIC: Final = 0xFD2FB528
_SKIPPABLE: Final = 0x184D2A50
_MAGIC_SIZE: Final = 4
_BLOCK_HEAD: Final = 3


class ByteStream(Protocol):
    """What reading lines needs of an open file. `read` may give fewer bytes than asked, none at the end."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...
    def fileno(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def present(path: Path) -> Path:
    """The form of a session file that is there: the plain one counts, else the compressed one.

    Codex compresses a thread that is cold and unpacks it to go on with it, so either may take the place
    of the other at any time; where neither is there the path comes back as it was.
    """
    plain = path.with_suffix("") if path.suffix == COMPRESSED else path
    packed = plain.with_name(plain.name + COMPRESSED)
    return next((form for form in (plain, packed) if form.exists()), path)


def open_rollout(path: Path) -> ByteStream:
    """A session file, whichever form of it is there; OSError when none can be opened."""
    try:
        form = present(path)
        return Unpacked(form) if form.suffix == COMPRESSED else io.FileIO(form, opener=_regular)
    except ValueError as error:  # a name that no file system takes
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error


def _regular(path: str, flags: int) -> int:
    """Opens a file, and nothing that would have us wait for a writer or read for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor


class Unpacked:
    """The content of a compressed file, from the beginning on. `at` is how much of it has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packed = _Packed(path)
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._content = unpacker.stream_reader(self._packed, read_size=_CHUNK, read_across_frames=True)
        self.at = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; OSError where the file is damaged, and where it ends too early."""
        try:
            data = self._content.read1(size)
        except zstandard.ZstdError as error:
            raise self._damaged(str(error)) from error
        if not data and size and not self._packed.frames.are_whole:
            raise self._damaged("the compressed file ends in the middle")
        self.at += len(data)
        if self.at > max(_MOST_UNPACKED, _MOST_TIMES * self._packed.tell()):
            raise self._damaged("the compressed file unpacks to far more than any session says")
        return data

    def _damaged(self, reason: str) -> DamagedFile:
        return DamagedFile(0, reason, str(self._path))

    def seek(self, offset: int, /) -> int:
        """Forward only, by reading."""
        while self.at < offset and self.read(min(offset - self.at, _CHUNK)):
            pass
        return self.at

    def fileno(self) -> int:
        return self._packed.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._packed.close()


class _Packed(io.FileIO):
    """The compressed bytes on their way to the decompressor, which does not say where it stopped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, opener=_regular)
        self.frames = _Frames()

    def read(self, size: int | None = -1, /) -> bytes | Any:
        data = super().read(size)
        self.frames.see(data or b"")
        return data


class _Frames:
    """Follows the outer structure of zstd (RFC 8878), to tell a whole file from a cut one."""

    def __init__(self) -> None:
        self._held = b""
        self._skip = 0
        self._in_frame = False
        self._has_checksum = False

    @property
    def are_whole(self) -> bool:
        return not (self._held or self._skip or self._in_frame)

    def see(self, data: bytes) -> None:
        while data:
            if self._skip:
                skipped = min(self._skip, len(data))
                self._skip, data = self._skip - skipped, data[skipped:]
                continue
            self._held += data
            taken = self._block() if self._in_frame else self._header()
            if taken is None:
                return
            self._held, data = b"", self._held[taken:]

    def _header(self) -> int | None:
        """How many bytes the head of a frame takes, or None as long as it is not all there."""
        held = self._held
        if len(held) <= _MAGIC_SIZE:
            return None
        magic = int.from_bytes(held[:_MAGIC_SIZE], "little")
        if magic & 0xFFFFFFF0 == _SKIPPABLE:
            if len(held) < 2 * _MAGIC_SIZE:
                return None
            self._skip = int.from_bytes(held[_MAGIC_SIZE : 2 * _MAGIC_SIZE], "little")
            return 2 * _MAGIC_SIZE
        if magic != _MAGIC:  # the decompressor says so itself
            return len(held)
        descriptor = held[_MAGIC_SIZE]
        is_single = bool(descriptor & 0x20)
        size_of_size = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
        self._skip = (not is_single) + (0, 1, 2, 4)[descriptor & 3] + size_of_size
        self._has_checksum = bool(descriptor & 4)
        self._in_frame = True
        return _MAGIC_SIZE + 1

    def _block(self) -> int | None:
        held = self._held
        if len(held) < _BLOCK_HEAD:
            return None
        head = int.from_bytes(held[:_BLOCK_HEAD], "little")
        is_last, is_repeated, size = head & 1, (head >> 1) & 3 == 1, head >> 3
        self._skip = 1 if is_repeated else size
        if is_last:
            self._in_frame = False
            self._skip += 4 if self._has_checksum else 0
        return _BLOCK_HEAD
