"""Work beside the proxy, which only hands things over and never waits.

Owns the thread. Does not own the work.
Invariant: what was told is handed on once, in order; a fault in the work, the last of it too, is said and ends nothing.
"""

import queue
import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

__all__ = ["Beside"]

_Told = TypeVar("_Told")
_AFTER_FAULT_S = 30.0


class Beside(Generic[_Told]):
    """A thread from `__enter__` to `__exit__`. `step` gets what was told, and says after how many seconds it wants to
    be called though nothing was (None: never), as `first` does for the first time; `last` is called at the end, for
    which the proxy waits `patience_s`.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[list[_Told]], float | None],
        complain: Callable[[str], None],
        *,
        first: float | None = 0.0,
        last: Callable[[], None] | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self._step, self._complain = step, complain
        self._first, self._last, self._patience_s = first, last, patience_s
        self._queue = queue.SimpleQueue[_Told | None]()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join(self._patience_s)

    def tell(self, what: _Told) -> None:
        """Hand something over."""
        self._queue.put(what)

    def _work(self) -> None:
        wait, is_last = self._first, False
        while not is_last:
            told, is_last = self._next(wait)
            if told or not is_last:
                wait = self._done(lambda told=told: self._step(told))
        if self._last is not None:
            self._done(self._last)

    def _done(self, work: Callable[[], float | None]) -> float | None:
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # the end of a thread: the fault is said, and the next gets its turn
            self._complain(f"{type(error).__name__}: {error}")
            return _AFTER_FAULT_S

    def _next(self, wait: float | None) -> tuple[list[_Told], bool]:
        """What was told, after something was or the time is over; and whether nothing more will be."""
        told = list[_Told]()
        try:
            one = self._queue.get(timeout=wait)
            while one is not None:
                told.append(one)
                one = self._queue.get_nowait()
        except queue.Empty:
            return told, False
        return told, True
