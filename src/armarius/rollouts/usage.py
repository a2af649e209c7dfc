"""What the responses of a thread cost.

Owns the two ways in which Codex records tokens: one record for each response (0.155 and later), and
a running total that is repeated at will (all versions). Does not own sums; they are derived.
Invariant: each response is counted once. Where there are records, totals are not looked at: after a
kill they disagree, and the records are right.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Raw, Struct

from armarius.rollouts.parts import Here
from armarius.thread import ResponseUsage, Usage

__all__ = ["Meter", "TokenCount", "TokenNumber", "TokenUsageRecord"]


TokenNumber: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 48)]
"""More than anybody will ever pay for, and sums of it still fit a database."""


class TokenUsage(Struct, frozen=True):
    """Tokens in Codex's words."""

    input_tokens: TokenNumber = 0
    cached_input_tokens: TokenNumber = 0
    cache_write_input_tokens: TokenNumber = 0
    output_tokens: TokenNumber = 0
    reasoning_output_tokens: TokenNumber = 0

    @property
    def value(self) -> Usage:
        return Usage(
            self.input_tokens,
            self.cached_input_tokens,
            self.cache_write_input_tokens,
            self.output_tokens,
            self.reasoning_output_tokens,
        )


class TokenUsageRecord(Struct):
    """What one response cost."""

    response_id: str
    turn_id: str
    usage: TokenUsage
    thread_id: str | None = None


class TokenInfo(Struct):
    """All of the thread so far, and the part of it that is new."""

    total_token_usage: TokenUsage
    last_token_usage: TokenUsage


class TokenCount(Struct, tag_field="type", tag="token_count"):
    """The running total; without `info` before the first response. `rate_limits` is for `limits` to read."""

    info: TokenInfo | None = None
    rate_limits: Raw = Raw()


class Meter:
    """Collects the usage of each response of one thread."""

    def __init__(self) -> None:
        self._responses: dict[str, ResponseUsage] = {}
        self._total: TokenUsage | None = None
        self._has_records = False

    @property
    def has_records(self) -> bool:
        return self._has_records

    @property
    def responses(self) -> tuple[ResponseUsage, ...]:
        return tuple(self._responses.values())

    def record(self, record: TokenUsageRecord, here: Here) -> None:
        self._has_records = True
        self._add(record.response_id, record.turn_id, record.usage, here)

    def count(self, count: TokenCount, turn_id: str, here: Here) -> None:
        """A total that has grown stands for one response, named after the place where it grew."""
        if self._has_records or count.info is None or count.info.total_token_usage == self._total:
            return
        self._total = count.info.total_token_usage
        self._add(here.id("token_count"), turn_id, count.info.last_token_usage, here)

    def pass_by(self, count: TokenCount) -> None:
        """A total of another thread, which this one goes on from."""
        self._total = count.info.total_token_usage if count.info else self._total

    def _add(self, response_id: str, turn_id: str, usage: TokenUsage, here: Here) -> None:
        if response_id not in self._responses:
            self._responses[response_id] = ResponseUsage(response_id, turn_id, usage.value, here.spot, here.at_us)
