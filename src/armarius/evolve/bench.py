"""Where the runs of a night are made, several at a time.

Owns the order of results, the count of what was spent, the stop at the night's allowance, and the sweeping of
finished worlds. Does not own what is run.
Invariant: every run that was started is in `results`, whoever stopped asking for more; a run that was ended or
not begun because an allowance is used up is no result, but the end of the night's work for now.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain

import msgspec

from armarius.budget import Budget
from armarius.clock import Clock
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.errors import NoAnswer, Refused
from armarius.evolve.directly import Directly, answered
from armarius.evolve.replay import sweep
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import Pot, RunRequest, RunResult

__all__ = ["Allowance", "Bench", "Progress"]

Progress = Callable[[str, int, int], None]
"""(step, done, of) while a night works; `of` is the most it can be."""

_MINUTE_US = 60_000_000
_BUDGET = "budget-"
_SHORTEST_S = 1.0


class Allowance:
    """What one invocation may use up: tokens and requests of all its runs, and minutes by the clock on the wall.

    `results` are its runs so far, on whatever bench they were made.
    """

    def __init__(self, budget: Budget, name: str, clock: Clock) -> None:
        shared = msgspec.structs.replace(budget, minutes=None)
        self._pot = Pot(name, shared) if shared else None
        self._clock = clock
        self._minutes = budget.minutes
        self._until_us = None if budget.minutes is None else clock.monotonic_us() + int(budget.minutes * _MINUTE_US)
        self.results = list[RunResult]()

    def applied(self, request: RunRequest) -> RunRequest:
        """The request within what is left; NoAnswer when that is nothing."""
        left_s = self._left_s()
        if left_s is not None and left_s <= 0:
            raise _stop(f"{self._minutes:g} minutes are over")
        deadline_s = request.deadline_s if left_s is None else min(request.deadline_s, max(left_s, _SHORTEST_S))
        return msgspec.structs.replace(request, pot=self._pot or request.pot, deadline_s=deadline_s)

    def check(self, result: RunResult) -> None:
        """NoAnswer when the run was ended for want of an allowance."""
        if result.problem is not None and result.problem.code.startswith(_BUDGET):
            raise _stop(self.told(result.problem.message))
        left_s = self._left_s()
        if result.state == "timed_out" and left_s is not None and left_s <= 0:
            raise _stop(f"{self._minutes:g} minutes are over")

    def told(self, message: str) -> str:
        """What a run says of our pot, in words for whoever gave the budget."""
        return message if self._pot is None else message.replace(f"the {self._pot.name}", "the night")

    def _left_s(self) -> float | None:
        return None if self._until_us is None else (self._until_us - self._clock.monotonic_us()) / 1_000_000


class Bench:
    """A number of workers, at the expense of one allowance. `directly` answers replays instead of Codex."""

    def __init__(
        self,
        runner: Runner,
        workers: int,
        progress: Progress,
        allowance: Allowance,
        directly: Directly | None = None,
    ) -> None:
        self._runner = runner
        self._workers = workers
        self._allowance = allowance
        self._directly = directly
        self.progress = progress

    @property
    def results(self) -> list[RunResult]:
        return self._allowance.results

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
                yield self._allowance.applied(request)

        try:
            with contextlib.closing(self._made(remember())) as results:
                try:
                    for place, result in enumerate(results):
                        self.results.append(result)
                        if result.state != "succeeded":
                            self._sweep(asked[place])
                        self._allowance.check(result)
                        yield result
                finally:
                    enough = True
                    self.results.extend(results)  # what was begun and nobody waits for is paid for, too
        except Refused as refused:
            if refused.code.startswith(_BUDGET):
                raise _stop(self._allowance.told(refused.message)) from refused
            raise
        finally:
            for request in asked:
                self._sweep(request)

    def _sweep(self, request: RunRequest) -> None:
        """Tidy a world up; whoever works in it still, or will look at what was done there, is left alone."""
        row = self._runner.ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=request.paid_key)
        sweep(request, is_over=row is not None and row.ended_at_us is not None and row.state != "succeeded")

    def _made(self, requests: Iterator[RunRequest]) -> Generator[RunResult]:
        """By Codex, or by whoever answers in its place; what is asked for together is of one role."""
        first = next(requests, None)
        if first is None:
            return
        every = chain([first], requests)
        if self._directly is not None and first.role == "replay":
            yield from answered(self._directly, self._runner, every, self._workers)
        else:
            yield from in_order(self._runner, every, self._workers)


def _stop(why: str) -> NoAnswer:
    return NoAnswer(
        "night-budget",
        f"the night stopped at its budget: {why}",
        "what is finished is kept and not paid for again: the same command goes on from there",
    )
