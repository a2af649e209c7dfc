"""A clock that stands still until it is told otherwise.

Owns `FakeClock`, the second implementation of `armarius.clock.Clock`. Does not own waiting.
Invariant: two clocks made alike and used alike give the same times and the same bytes.
"""

import hashlib

__all__ = ["FakeClock"]

_BIRTH_US = 1_795_176_576_000_000  # 2026-11-20T12:09:36Z, an ordinary moment


class FakeClock:
    """Time moves by `advance` alone; chance follows from the seed."""

    def __init__(self, now_us: int = _BIRTH_US, *, seed: int = 0) -> None:
        self._wall_us = now_us
        self._monotonic_us = 0
        self._seed = seed
        self._draws = 0

    def now_us(self) -> int:
        return self._wall_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def entropy(self, size: int) -> bytes:
        self._draws += 1
        return hashlib.shake_256(f"{self._seed}:{self._draws}".encode()).digest(size)

    def advance(self, microseconds: int) -> None:
        """Let time pass on both clocks; ValueError for a step back."""
        if microseconds < 0:
            raise ValueError(f"time does not pass backwards: {microseconds}")
        self._wall_us += microseconds
        self._monotonic_us += microseconds

    def set_wall(self, now_us: int) -> None:
        """Make the wall clock jump, either way, as an administrator or a time server may."""
        self._wall_us = now_us
