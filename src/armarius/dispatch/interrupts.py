"""Ctrl-C while a run goes on, and SIGTERM where that means the same.

Owns what they mean from the claim of a run to the report of it. Does not own ending it (the guard).
Invariant: however often and whenever one comes, it ends the run, which is recorded and reported like any
other; it raises nothing, so that no line of that can be skipped.
"""

import signal
import threading
import time
from types import TracebackType
from typing import Any, Protocol, Self

from armarius.errors import Interrupted
from armarius.signals import interrupting, set_handler

__all__ = ["Interrupts"]

_ROUND_S = 0.05


class _Ending(Protocol):
    def cancel(self) -> bool: ...


class Interrupts:
    """For the length of a block, an interrupt ends the attempt that was named; outside the main thread it does nothing.

    `is_last`: the program ends with the block. One that was interrupted stays deaf then, and ends as it was told to.
    """

    def __init__(self, *, is_last: bool = False) -> None:
        self._is_last = is_last
        self._attempt: _Ending | None = None
        self._came = False
        self._is_asking = False
        self._usual = dict[signal.Signals, Any]()

    def ends(self, attempt: _Ending) -> None:
        """From now on this attempt is meant; also by what came before it had begun."""
        self._attempt = attempt
        if self._came:
            attempt.cancel()

    def pause(self, seconds: float) -> None:
        """Wait, before there is anything to end; Interrupted when somebody does not want to any longer."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._came:
                raise Interrupted("interrupted", "interrupted while it waited; nothing was started", "")
            time.sleep(min(left, _ROUND_S))

    def _hear(self, _number: int, _frame: object) -> None:
        self._came = True
        if self._attempt is None or self._is_asking:
            return
        # The next signal may come within this one's handling: asking within the asking would have no end.
        self._is_asking = True
        try:
            self._attempt.cancel()
        finally:
            self._is_asking = False

    def __enter__(self) -> Self:
        # A program that was started deaf to it, as jobs in the background are, stays so.
        if threading.current_thread() is threading.main_thread():
            self._usual = {number: set_handler(number, self._hear) for number in interrupting()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, usual in self._usual.items():
            set_handler(number, signal.SIG_IGN if self._is_last and self._came else usual)
