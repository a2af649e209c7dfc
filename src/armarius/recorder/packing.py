"""Bodies in gzip, deflate and zstd: unpacked to be read, packed again when something was put into them.

Owns the encodings and their limits. Does not own what the bodies say.
Invariant: a small body never becomes a large one in memory, whatever it is packed with.
"""

import gzip
import zlib
from typing import Protocol

import zstandard

from armarius.errors import DataError

__all__ = ["LARGEST_PLAIN", "Inflate", "inflater", "packed", "unpacked"]

LARGEST_PLAIN = 64 << 20


class Inflate(Protocol):
    """Unpacks a body piece by piece."""

    def decompress(self, data: bytes, /) -> bytes: ...


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without its `Content-Encoding`; DataError for one that is broken, unknown or without measure."""
    if encoding.lower() in ("", "identity"):
        return body
    inflate = inflater(encoding)
    try:
        return inflate.decompress(body)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise DataError("request-encoding", f"the body is no {encoding}: {error}") from error


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._inflate = zlib.decompressobj(bits)
        self._left = LARGEST_PLAIN

    def decompress(self, data: bytes, /) -> bytes:
        plain = self._inflate.decompress(data, self._left)
        self._left -= len(plain)
        if self._left <= 0:
            raise EOFError("it is too large when unpacked")
        return plain


_SLICE = 512  # four bytes of zstd become 128 kB at most: so much is unpacked before anybody looks


class _Zstd:
    def __init__(self) -> None:
        self._inflate = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()
        self._left = LARGEST_PLAIN

    def decompress(self, data: bytes, /) -> bytes:
        plain = list[bytes]()
        for start in range(0, len(data), _SLICE):
            plain.append(self._inflate.decompress(data[start : start + _SLICE]))
            self._left -= len(plain[-1])
            if self._left <= 0:
                raise EOFError("it is too large when unpacked")
        return b"".join(plain)


def inflater(encoding: str) -> Inflate:
    match encoding.lower():
        case "gzip" | "x-gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "zstd":
            return _Zstd()
        case _:
            raise DataError("encoding", f"bodies in {encoding!r} are forwarded but not read")


def packed(plain: bytes, encoding: str) -> bytes:
    """`plain` in an encoding that `unpacked` knows; quick rather than small."""
    match encoding.lower():
        case "" | "identity":
            return plain
        case "gzip" | "x-gzip":
            return gzip.compress(plain, compresslevel=1, mtime=0)
        case "deflate":
            return zlib.compress(plain, level=1)
        case _:
            return zstandard.ZstdCompressor(level=1).compress(plain)
