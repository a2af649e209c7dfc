"""What a run or a command needs, as somebody writes it: `gpu:1`, `port:8080`, `ram:8GiB`, `mcp:docs`, `licence:2`.

Owns the notation. Does not own what of it there is, nor whether it is free.
Invariant: pure; whatever is no need is one UsageError that says what would be one.

    gpu[:N]             N graphics processors, any that are free
    port:NUMBER         that TCP port of this machine
    ram:SIZE            so much memory
    disk:SIZE[@PATH]    so much room where PATH lies (else: in the current folder)
    mcp:NAME            that MCP server, which Codex can start; nobody leases it, so only a run may need it
    NAME[:N]            N units of a resource of the user's own
"""

import re
from collections.abc import Iterable

import msgspec

from armarius.errors import UsageError
from armarius.settings import RESOURCE_NAME

__all__ = ["BUILT_IN", "Need", "parse_need", "parse_needs", "size_text"]

BUILT_IN = ("gpu", "port", "ram", "disk")
"""Names that mean the same everywhere."""

_MOST_UNITS = 4096
_LAST_PORT = 65_535
_MOST_BYTES = 1 << 60
_LONGEST = 4096
_SERVER = re.compile(r"[A-Za-z0-9_.:@/-]{1,128}")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([kmgtp]i?b?|b)?", re.IGNORECASE)
_PREFIXES = "kmgtp"
_WAY_OUT = "write gpu:1, port:8080, ram:8GiB, disk:10GiB@/path, mcp:NAME or NAME:2"


class Need(msgspec.Struct, frozen=True):
    """One need. `count` is units, a port's number or bytes, by the name.

    `path` is only of `disk`, `server` only of `mcp`.
    """

    name: str
    count: int = 1
    path: str | None = None
    server: str | None = None

    def __str__(self) -> str:
        if self.name in {"ram", "disk"}:
            return f"{self.name}:{size_text(self.count)}" + (f"@{self.path}" if self.path is not None else "")
        return f"{self.name}:{self.count if self.server is None else self.server}"


def parse_needs(texts: Iterable[str]) -> tuple[Need, ...]:
    """All needs in a fixed order; what is needed twice is added up, but for what there is one of: a port, a server."""
    summed = dict[tuple[str, str, int], Need]()
    for text in texts:
        need = parse_need(text)
        key = (need.name, need.path or need.server or "", need.count if need.name == "port" else 0)
        known = summed.get(key)
        if known is not None and need.name not in {"port", "mcp"}:
            need = msgspec.structs.replace(need, count=known.count + need.count)
        summed[key] = need
    return tuple(summed[key] for key in sorted(summed))


def parse_need(text: str) -> Need:
    """One need from its text."""
    name, colon, rest = text.partition(":")
    if len(text) > _LONGEST or "\0" in text or not re.fullmatch(RESOURCE_NAME, name) or (colon and not rest):
        raise _no_need(text[:100])
    if name == "disk":
        size, at, path = rest.partition("@")
        if at and not path:
            raise _no_need(text)
        return Need(name, _bytes(size, text), path or None)
    if name == "ram":
        return Need(name, _bytes(rest, text))
    if name == "mcp":
        if not _SERVER.fullmatch(rest):
            raise UsageError("need", f"{text[:100]!r} names no MCP server", "see `armarius doctor mcp`")
        return Need(name, server=rest)
    if name == "port":
        return Need(name, _whole(rest, text, _LAST_PORT))
    return Need(name, _whole(rest, text, _MOST_UNITS) if colon else 1)


def size_text(size: int) -> str:
    """Bytes in the largest binary unit that says them exactly, so that it can be read again."""
    unit = 0
    while size and size % 1024 == 0 and unit < len(_PREFIXES):
        size, unit = size // 1024, unit + 1
    return f"{size}{_PREFIXES[unit - 1].upper()}iB" if unit else f"{size}B"


def _whole(text: str, whole: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise UsageError("need", f"{whole!r}: {text!r} is no number from 1 to {most}", _WAY_OUT)
    return int(text)


def _bytes(text: str, whole: str) -> int:
    match = _SIZE.fullmatch(text) if text.isascii() else None
    if match is None:
        raise UsageError("need", f"{whole!r}: {text!r} is no size", "write e.g. 512MiB, 8GiB or 10GB")
    unit = (match[2] or "").lower()
    power = _PREFIXES.find(unit[0]) + 1 if unit else 0
    size = int(float(match[1]) * (1000 if unit.endswith("b") and "i" not in unit else 1024) ** power)
    if not 0 < size <= _MOST_BYTES:
        raise UsageError("need", f"{whole!r}: {text!r} is no possible size", "write e.g. 512MiB, 8GiB or 10GB")
    return size


def _no_need(text: str) -> UsageError:
    return UsageError("need", f"{text!r} is no need", _WAY_OUT)
