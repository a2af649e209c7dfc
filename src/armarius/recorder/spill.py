"""Large parts of records, put aside until the answer is there.

Owns files without a name, which are gone with the process. Does not own what is in them: it is redacted before.
Invariant: what was put aside is read as it was, until it is dropped. Where the disk does not take it, it stays in
memory.
"""

import os
import tempfile
from pathlib import Path
from typing import IO, Self

from armarius.errors import ArmariusError
from armarius.files import private_folder

__all__ = ["Aside", "Spill"]

_LARGE = 32 << 10
_LARGEST_FILE = 64 << 20


class _File:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = self.live = 0


class Aside:
    """A part that was put aside."""

    __slots__ = ("_at", "_file", "_spill", "size")

    def __init__(self, spill: "Spill", file: _File, size: int) -> None:
        self._spill, self._file, self._at, self.size = spill, file, file.size, size

    def read(self) -> bytes:
        data = os.pread(self._file.file.fileno(), self.size, self._at)
        if len(data) != self.size:
            raise OSError("what was put aside is not there any more")
        return data

    def drop(self) -> None:
        """It is needed no more."""
        self._spill.drop(self._file)


class Spill:
    """Where parts are put aside, from `__enter__` to `__exit__`. A file is used again when nothing in it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: _File | None = None
        self._files = set[_File]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.file.close()

    @property
    def size(self) -> int:
        """Bytes of files."""
        return sum(file.size for file in self._files)

    def put(self, data: bytes) -> bytes | Aside:
        """Put `data` aside, if that is worth it."""
        if len(data) < _LARGE:
            return data
        try:
            if self._file is None or self._file.size > _LARGEST_FILE:
                self._file = _File(tempfile.TemporaryFile(dir=private_folder(self._folder)))  # noqa: SIM115  # it lives on
                self._files.add(self._file)
            file = self._file
            if os.pwrite(file.file.fileno(), data, file.size) < len(data):
                return data
        except (OSError, ArmariusError):
            return data
        aside = Aside(self, file, len(data))
        file.size += len(data)
        file.live += 1
        return aside

    def drop(self, file: _File) -> None:
        file.live -= 1
        if file.live or file.file.closed:
            return
        if file is self._file:
            os.ftruncate(file.file.fileno(), 0)
            file.size = 0
        else:
            file.file.close()
            self._files.discard(file)
