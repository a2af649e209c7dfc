"""An agent's files as git's blobs.

Owns reading one file, its id, and writing what is new as a loose object of a repository of ours. Does not own which
files are looked at.
Invariant: an object's id is the hash of the very bytes that were written, also when the file changes meanwhile; no
more bytes than the limits allow are written; a file of any size costs one buffer.
"""

import hashlib
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from armarius.checkout.folder import Found, Reader

__all__ = ["Blobs", "Entry", "Limits"]

_CHUNK = 1 << 20
_SHA256_DIGITS = 64


class Limits(msgspec.Struct, frozen=True):
    """How many bytes one changed file and all of them together may have."""

    file: int = 100 << 20
    together: int = 1 << 30


class Entry(NamedTuple):
    """A file as a tree holds it."""

    mode: str
    oid: str


class Blobs:
    """Reads files once to compare them, and writes what differs as loose objects of our own repository."""

    def __init__(self, folder: Path, oid_length: int, limits: Limits, reader: Reader) -> None:
        self._folder = folder
        self._hash = "sha256" if oid_length == _SHA256_DIGITS else "sha1"
        self._limits = limits
        self._left = limits.together
        self._reader = reader

    def look(self, path: str, found: Found, known: Entry | None, *, keep: bool) -> Entry | str:
        """The entry that the file makes, its object written if it is new and to be kept; or why it makes none."""
        try:
            if stat.S_ISLNK(found.mode):
                target = self._reader.link(path)
                oid = self._write([target], len(target), keep=False)
                if keep and (known is None or oid != known.oid):
                    self._write([target], len(target), keep=True)
                return Entry("120000", oid)
            return self._file(path, known, keep=keep)
        except OSError as error:
            return f"cannot be read: {error.strerror}"

    def _file(self, path: str, known: Entry | None, *, keep: bool) -> Entry | str:
        descriptor = self._reader.open(path)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
            if known is not None or not keep:
                oid = self._write(iter(lambda: file.read(_CHUNK), b""), status.st_size, keep=False)
                if not keep or (known is not None and oid == known.oid):
                    return Entry(mode, oid)
                file.seek(0)
            if status.st_size > self._limits.file:
                return f"too large: {status.st_size:,} bytes, at most {self._limits.file:,}"
            if status.st_size > self._left:
                return f"too much together: more than {self._limits.together:,} bytes"
            self._left -= status.st_size
            return Entry(mode, self._write(iter(lambda: file.read(_CHUNK), b""), status.st_size, keep=True))

    def _write(self, chunks: Iterable[bytes], size: int, *, keep: bool) -> str:
        """The id of a blob of `size` bytes; OSError when there are more or fewer."""
        header = b"blob %d\0" % size
        digest = hashlib.new(self._hash, header, usedforsecurity=False)
        if not keep:
            self._copy(chunks, size, digest.update)
            return digest.hexdigest()
        temporary = self._folder / f"tmp_{secrets.token_hex(8)}"
        packer = zlib.compressobj(1)
        with temporary.open("xb") as out:
            out.write(packer.compress(header))

            def take(chunk: bytes) -> None:
                digest.update(chunk)
                out.write(packer.compress(chunk))

            self._copy(chunks, size, take)
            out.write(packer.flush())
        oid = digest.hexdigest()
        place = self._folder / oid[:2] / oid[2:]
        place.parent.mkdir(exist_ok=True)
        temporary.rename(place)
        return oid

    @staticmethod
    def _copy(chunks: Iterable[bytes], size: int, take: Callable[[bytes], object]) -> None:
        left = size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            take(chunk)
        if left:
            raise OSError(0, "it was written meanwhile")
