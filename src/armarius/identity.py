"""Names of things: ids that are given once, hashes that follow from content.

Owns the form of both. Does not own what is named.
Invariant: an id is `<kind>_<UUIDv7>`, so ids of one kind sort by birth; a hash is
`sha256:<hex>` over bytes, and over canonical JSON (sorted keys, no spaces, UTF-8) for values.
"""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from armarius.clock import Clock

__all__ = ["canonical_json", "hash_bytes", "hash_file", "hash_value", "new_id"]

_MILLISECONDS = (1 << 48) - 1
_CHUNK = 1 << 20


def new_id(kind: str, clock: Clock) -> str:
    """A fresh id, e.g. `run_01936d1c-…`; layout of RFC 9562, section 5.7."""
    bits = int.from_bytes(clock.entropy(10), "big")
    value = (clock.now_us() // 1_000 & _MILLISECONDS) << 80
    value |= 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | bits & ((1 << 62) - 1)
    return f"{kind}_{uuid.UUID(int=value)}"


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value that is hashed; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_value(value: Any) -> str:
    return hash_bytes(canonical_json(value))


def hash_bytes(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """The hash of a file's bytes, read in pieces so that a large file costs no memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()
