"""What was seen of a thread besides its record, as values.

Owns the shape of an observation. Does not own looking (`observe`) nor what follows from it (`state`).
Invariant: what was not seen is None, `unsaid` or 0, and never a guess.
"""

from typing import Literal, TypeAlias

import msgspec

from armarius.codex.daemon import ThreadStatus

__all__ = ["Hook", "Past", "Presence", "Seen"]

Presence: TypeAlias = Literal["held", "free", "open", "gone", "unsaid"]
"""held: somebody holds the writer's lock · free: the lock is there and nobody holds it · open: no
lock, and a codex process has the file open · gone: no lock, and none has · unsaid: cannot be told."""


class Hook(msgspec.Struct, frozen=True):
    """The last event that a Codex hook reported for a thread."""

    event: str
    at_us: int
    turn_id: str | None = None


class Past(msgspec.Struct, frozen=True):
    """The last turn of a thread in Codex's history database."""

    turn_id: str
    status: str
    at_us: int | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one thread besides its record, all at `at_us` unless it says otherwise.

    `since_us` is when the process started that has the thread. `changed_us` is the file's mtime.
    """

    at_us: int
    app_server: ThreadStatus | None = None
    is_archived: bool = False
    archived_row: bool = False
    hook: Hook | None = None
    presence: Presence = "unsaid"
    pid: int | None = None
    since_us: int | None = None
    past: Past | None = None
    queued: int = 0
    changed_us: int | None = None
