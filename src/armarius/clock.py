"""Time and chance, as things that are handed in.

Owns reading the clocks and the random source. Does not own waiting.
Invariant: a stored time is an integer count of microseconds since 1970 in UTC; a duration is
measured on the monotonic clock, so that a jump of the wall clock never makes one negative.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

__all__ = ["Clock", "SystemClock", "parse_rfc3339", "rfc3339"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Clock(Protocol):
    """Where time and chance come from; tests hand in `armarius.testing.clock.FakeClock`."""

    def now_us(self) -> int:
        """Wall time: microseconds since 1970, UTC."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds on a clock that never goes back; only differences mean something."""
        ...

    def entropy(self, size: int) -> bytes:
        """`size` unpredictable bytes."""
        ...


class SystemClock:
    """The machine's own clocks and random source."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1_000

    def entropy(self, size: int) -> bytes:
        return os.urandom(size)


def rfc3339(at_us: int) -> str:
    """A stored time as people and programs read it, e.g. `2026-11-20T12:09:36.687000Z`."""
    seconds, micros = divmod(at_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """The stored form of an RFC 3339 time; ValueError when it is none or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return (moment - _EPOCH) // _MICROSECOND
