"""Where the runs of a night are made, several at a time.

Owns the order of results, the count of what was spent, and the sweeping of finished worlds. Does not
own what is run.
Invariant: every run that was started is in `results`, whoever stopped asking for more.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator

from armarius.dispatch.pool import in_order
from armarius.dispatch.request import RunRequest, RunResult
from armarius.dispatch.runner import Runner
from armarius.evolve.replay import sweep

__all__ = ["Bench", "Progress"]

Progress = Callable[[str, int, int], None]
"""(step, done, of) while a night works; `of` is the most it can be."""


class Bench:
    """The runs of one invocation."""

    def __init__(self, runner: Runner, workers: int, progress: Progress) -> None:
        self._runner = runner
        self._workers = workers
        self.progress = progress
        self.results = list[RunResult]()

    def all(self, requests: list[RunRequest], step: str) -> list[RunResult]:
        """Every result, in order, with progress."""
        results = list[RunResult]()
        with contextlib.closing(self.in_order(requests)) as coming:
            for result in coming:
                results.append(result)
                self.progress(step, len(results), len(requests))
        return results

    def in_order(self, requests: Iterable[RunRequest]) -> Generator[RunResult]:
        """Results in the order of `requests`, which are read only as far as there is room."""
        asked, enough = list[RunRequest](), False

        def remember() -> Iterator[RunRequest]:
            coming = iter(requests)
            while not enough and (request := next(coming, None)) is not None:
                asked.append(request)
                yield request

        try:
            with contextlib.closing(in_order(self._runner, remember(), self._workers)) as results:
                try:
                    for result in results:
                        self.results.append(result)
                        yield result
                finally:
                    enough = True
                    self.results += results  # what was begun and nobody waits for is paid for, too
        finally:
            for request in asked:
                sweep(request)
