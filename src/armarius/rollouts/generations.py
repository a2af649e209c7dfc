"""Which generation of wrapped session files a thread belongs to.

Owns what is known of the versions and what decides between them. Does not own reading a file to find
out (`formats`), nor files that are not wrapped.
Invariant: what the file says of itself comes first, then the version that began it, where that version
is known to write one way; only in between does it count what has been met in the file so far.
"""

import re
from typing import Final

from armarius.thread import Format

__all__ = ["generation_of"]

_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})")
# The newest minor version that was seen without the mark, and the oldest that was seen with it.
_MARKERS: Final = (98, 104)
_WORLD_STATE: Final = (139, 144)
_USAGE: Final = (150, 155)


def generation_of(
    version: str | None, history_mode: str | None, *, has_markers: bool, has_world_state: bool, has_usage: bool
) -> Format:
    """A thread that an old version began stays of the old kind, whoever goes on with it."""
    minor = _minor(version)
    if history_mode == "paginated":
        return Format.USAGE_RECORDED if _is_since(_USAGE, minor, has_usage) else Format.PAGINATED
    if _is_since(_WORLD_STATE, minor, has_world_state):
        return Format.WORLD_STATE
    return Format.TURN_MARKED if _is_since(_MARKERS, minor, has_markers) else Format.WRAPPED


def _is_since(known: tuple[int, int], minor: int | None, is_seen: bool) -> bool:  # noqa: FBT001 (one private use)
    without, with_it = known
    if minor is None or without < minor < with_it:
        return is_seen
    return minor >= with_it


def _minor(version: str | None) -> int | None:
    """The second number of a version; builds of a developer are all called 0.0, and after 1.0 all marks are there."""
    found = _VERSION.match(version or "")
    if found is None or found[0] == "0.0":
        return None
    return int(found[2]) if found[1] == "0" else 1 << 30
