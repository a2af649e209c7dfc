"""What a tally is made of.

Owns the values that counting keeps: places, turns without contents, open calls, what was spent, and
the part of them that was put away. Does not own what changes them (`tally`), nor what is put away
(`away`).
Invariant: what is in no part is in the tally, and what is in a part is not.
"""

from typing import Protocol

import msgspec

from armarius.rollouts.usage import TokenUsage
from armarius.thread import TurnState

__all__ = ["Closed", "Line", "OpenCall", "Part", "Past", "Place", "Spent", "TurnCount"]


class Place(msgspec.Struct):
    """Where a line begins in its file, and when it says it was written."""

    byte: int
    timestamp: str
    ordinal: int | None = None


class TurnCount(msgspec.Struct):
    """A turn without its contents. Times are as they were written.

    What was `said` is kept by its id, and the exit code of each command in `codes` by that of its call,
    so that nothing counts twice.
    """

    id: str
    started: str
    model: str | None = None
    state: TurnState = TurnState.UNKNOWN
    ended: str = ""
    error: str | None = None
    error_kind: str | None = None
    retry_at_us: int | None = None
    is_empty: bool = True
    said: set[bytes] = set()
    codes: dict[str, int | None] = {}


class Line(msgspec.Struct):
    """A line that may be asked about later: where it stands, and its bytes, which are not put away."""

    byte: int
    size: int
    data: bytes = b""


class OpenCall(msgspec.Struct):
    """A call that has no last answer yet, and the line that made it. `is_told` once its words were."""

    turn_id: str
    line: Line
    is_told: bool = False


class Spent(msgspec.Struct):
    """One response. It is kept as it came; few who count want it as a value."""

    turn_id: str
    usage: TokenUsage
    byte: int
    timestamp: str


class Closed(msgspec.Struct):
    """What a tally remembers of what was put away: how much there is, and what it adds up to.

    `ended` is when the last of the turns did, and `model` the last that one of them names.
    """

    turns: int = 0
    responses: int = 0
    ended: str = ""
    model: str | None = None
    exits: dict[int | None, int] = {}


class Part(msgspec.Struct):
    """What was put away together: the turns that came first, and of later ones what was said and ran in them."""

    turns: list[TurnCount] = []
    pieces: list[TurnCount] = []
    calls: dict[str, OpenCall] = {}
    callers: dict[str, str] = {}
    sessions: dict[str, str] = {}


class Past(Protocol):
    """All that was put away of one file."""

    def holds(self, name: bytes) -> bool:
        """Whether something of that id may be in a part; never no when it is."""
        ...

    def paid(self, response_id: str) -> bool:
        """Whether that response was counted."""
        ...

    def parts(self) -> list[Part]:
        """The parts, the oldest first, with the lines of their calls."""
        ...
