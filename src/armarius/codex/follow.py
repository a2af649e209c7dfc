"""What codex prints, line by line, while it still runs.

Owns reading an attempt's events as they are written. Does not own what they mean (`events.py`).
Invariant: only whole lines, each once, in their order; it ends when the attempt is over and all of
it was handed out, and it may be called again after an interruption.
"""

import time
from collections.abc import Callable, Iterator

from armarius.codex.process import Attempt

__all__ = ["Follower"]

_PAUSE_S = 0.02


class Follower:
    """The events of one attempt, from the beginning; `number` of them were handed out so far."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._offset = 0
        self.number = 0

    def lines(self, *, wait: bool = True, meanwhile: Callable[[], object] | None = None) -> Iterator[bytes]:
        """Each further line with its newline; without `wait`, those that are there already.

        `meanwhile` is called many times a second while it waits, by whoever reads the lines.
        """
        while True:
            lives = wait and self._attempt.liveness() == "alive"  # asked first: what it wrote last is read below
            yield from self._written()
            if not lives:
                return
            if meanwhile is not None:
                meanwhile()
            time.sleep(_PAUSE_S)

    def _written(self) -> Iterator[bytes]:
        if not self._attempt.events.exists():
            return
        with self._attempt.events.open("rb") as file:
            place = -1
            while True:
                if place != self._offset:  # at first, and when somebody else has read on meanwhile
                    file.seek(self._offset)
                line = file.readline()
                if not line.endswith(b"\n"):
                    return  # it is being written, or was cut off for ever
                place = self._offset = self._offset + len(line)
                self.number += 1
                yield line
