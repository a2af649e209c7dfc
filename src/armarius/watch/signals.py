"""A signal: one thing that a person or an orchestrator would act on.

Owns the closed set of kinds and the value that is printed, pushed and counted. Does not own when
one arises (`follow`, `repositories`, `values`, `ledger`).
Invariant: the text of a signal is redacted and bounded; the same occurrence has the same `id`,
however often and from wherever it is seen, so that a reader can tell a repetition from an event.
"""

import enum
import hashlib

import msgspec

from armarius.redact import redact

__all__ = ["ENDINGS", "LONGEST_TEXT", "Confidence", "Kind", "Signal", "one_line", "signal_id"]

LONGEST_TEXT = 2_000


class Kind(enum.StrEnum):
    """Everything that a watch can say."""

    TURN_COMPLETED = "turn_completed"
    TURN_FAILED = "turn_failed"
    TURN_INTERRUPTED = "turn_interrupted"
    RATE_LIMITED = "rate_limited"
    GOAL_CHANGED = "goal_changed"
    GOAL_ENDED = "goal_ended"
    WAITING_APPROVAL = "waiting_approval"
    WAITING_INPUT = "waiting_input"
    RESUMED = "resumed"
    IDLE = "idle"
    STALLED = "stalled"
    CRASHED = "crashed"
    OUTPUT_FAILURE = "output_failure"
    HEAD_MOVED = "head_moved"
    VALUE_CHANGED = "value_changed"
    BUDGET_PASSED = "budget_passed"
    CAP_REACHED = "cap_reached"


ENDINGS = frozenset({Kind.IDLE, Kind.GOAL_ENDED, Kind.CRASHED})
"""After one of these there is nothing left to watch in a thread."""


class Confidence(enum.StrEnum):
    """How sure the evidence makes us."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a watch (`armarius.signal.v1`).

    `source` names the evidence. `thread`, `cwd` and `turn` are there when it is about a thread;
    `subject` is the repository, the file, the run or the command that it is about otherwise. `old`
    and `new` are there when something changed, `retry_at_us` when the provider said when.
    """

    kind: Kind
    id: str
    at_us: int
    text: str
    source: str
    confidence: Confidence = Confidence.HIGH
    thread: str | None = None
    cwd: str | None = None
    turn: str | None = None
    subject: str | None = None
    old: str | None = None
    new: str | None = None
    retry_at_us: int | None = None
    schema: str = "armarius.signal.v1"


def signal_id(*parts: object) -> str:
    """A name for one occurrence, made of what makes it that one."""
    text = "\x1f".join(str(part) for part in parts)
    return f"sig_{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:24]}"


def one_line(text: str, most: int = LONGEST_TEXT) -> str:
    """`text` without secrets, on one line, of at most `most` characters.

    Far more than is shown is redacted, so that no secret is cut into a piece that nobody knows.
    """
    words = " ".join(redact(text[: most * 8]).split())
    return words if len(words) <= most else words[: most - 1] + "…"
