"""The few fields of a line that counting needs, decoded without the rest of it.

Owns the slim shapes of items, responses and running totals. Does not own what they change.
Invariant: a line that does not fit its shape is None here, and is then decoded whole by the caller.
"""

import msgspec
from msgspec import Struct

from armarius.rollouts.bare import decode_any
from armarius.rollouts.parts import Content
from armarius.rollouts.salvage import UNREADABLE
from armarius.rollouts.usage import TokenUsage

__all__ = [
    "NO_WORDS",
    "Spending",
    "Total",
    "TotalEvent",
    "Words",
    "are_records",
    "spending_in",
    "total_in",
    "words_of_item",
]


class Words(Struct):
    """What was said or run."""

    content: Content = ""
    command: list[str] = []


NO_WORDS = Words()


class _ItemEvent(Struct):
    item: Words


class _ItemLine(Struct):
    payload: _ItemEvent


class Response(Struct):
    """What one response cost."""

    response_id: str
    turn_id: str
    usage: TokenUsage
    thread_id: str | None = None


class Spending(Struct):
    """A line that says it."""

    payload: Response
    timestamp: str = ""


class Total(Struct):
    """A running total, and what is new of it."""

    total_token_usage: TokenUsage
    last_token_usage: TokenUsage


class TotalEvent(Struct):
    """`info` is missing before the first response."""

    info: Total | None = None


class _TotalLine(Struct):
    payload: TotalEvent


_item = msgspec.json.Decoder(_ItemLine).decode
_total = msgspec.json.Decoder(_TotalLine).decode
_spending = msgspec.json.Decoder(Spending).decode_lines


def words_of_item(line: bytes) -> Words | None:
    """The words of a completed item."""
    try:
        return _item(line).payload.item
    except UNREADABLE:
        return None


def total_in(line: bytes) -> TotalEvent | None:
    """The running total of a line, which may say nothing of it."""
    try:
        return _total(line).payload
    except UNREADABLE:
        return None


def spending_in(data: bytes, lines: list[tuple[int, int]]) -> list[Spending] | None:
    """What the lines of a window say was spent; None when one of them cannot be read so."""
    try:
        return _spending(b"\n".join([data[begin:end] for begin, end in lines]))
    except UNREADABLE:
        return None


def are_records(*lines: bytes) -> bool:
    """Whether all of them can be read."""
    try:
        for line in lines:
            decode_any(line)
    except UNREADABLE:
        return False
    return True
