"""A run from its start to its record, through what passes by itself.

Owns whether a failed attempt is followed by another one, when, and where: a provider that was overloaded
or a stream that was cut is tried again after a while, a limit sends the run to another lane. Does not
own Codex's own retries, which come before, nor starting an attempt (`runner.py`).
Invariant: a turn that was completed is never asked for again, and neither is one that changed a file; a
run is open as long as another attempt may come; its deadline and its budget are those of all attempts.
"""

import re
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from armarius.codex.process import Attempt
from armarius.dispatch.interrupts import Interrupts
from armarius.dispatch.keeper import Begun
from armarius.dispatch.meter import attend
from armarius.dispatch.runner import Runner
from armarius.errors import Refused
from armarius.runs.approvals import was_asked
from armarius.runs.limits import check_budget
from armarius.runs.request import RunRequest, RunResult
from armarius.thread import Sandbox

__all__ = ["Step", "carry", "is_passing", "is_untouched", "next_step", "pause_s"]

MOST_TRIES = 3
_FIRST_PAUSE_S = 2.0
_GROWTH = 4.0
_ROUND_S = 0.05
_PASSING = re.compile(
    r"(?:unexpected status|exceeded retry limit, last status:) 5\d\d\b"
    r"|stream disconnected before completion\b"
    r"|We.re currently experiencing high demand\b"
)
"""How Codex's words for a provider in trouble begin; what follows may be the provider's."""


class _Heard:
    """What hands on the lines of an attempt, and ends the attempt at the first error of whoever is to take them."""

    def __init__(self, each: Callable[[bytes], object], attempt: Attempt) -> None:
        self._each = each
        self._attempt = attempt
        self.error: BaseException | None = None

    def __call__(self, line: bytes) -> None:
        if self.error is not None:
            return
        try:
            self._each(line)
        except BaseException as error:  # noqa: BLE001  # raised when the run is recorded
            self.error = error
            self._attempt.cancel()


class Step(msgspec.Struct, frozen=True):
    """What follows a failed attempt: `request` after `pause_s`, and why, as the ledger will say it."""

    kind: Literal["run_retried", "run_rerouted"]
    request: RunRequest
    pause_s: float = 0.0


def carry(
    runner: Runner,
    begun: Begun,
    *,
    each: Callable[[bytes], object] | None = None,
    interrupts: Interrupts | None = None,
    closing: Callable[[RunResult], RunResult] | None = None,
) -> RunResult:
    """Wait for the end of a run that was begun, within its budgets, and record it.

    Where another attempt may help, it is made, as one of the same run. `each` is handed every line of
    Codex's events, of every attempt; its error ends the run, and comes through once that is recorded.
    `interrupts` say that it is to end. `closing` is handed what came of it while it still holds its tree and
    what it needs, for commands that have to see what it left; its answer is recorded.
    """
    homes = {begun.request.codex_home}
    while begun.done is None:
        if interrupts is not None:
            interrupts.ends(begun.attempt)
        heard = None if each is None else _Heard(each, begun.attempt)
        judged = runner.judge(begun, attend(runner, begun, each=heard))
        step = next_step(runner, begun, judged.result, homes)
        if step is None or not _pause(begun.attempt, step.pause_s):
            judged = runner.prove(begun, judged, None if interrupts is None else interrupts.ends)
            if closing is not None:
                judged = msgspec.structs.replace(judged, result=closing(judged.result))
            done = runner.record(begun, judged)
            if heard is not None and heard.error is not None:
                raise heard.error
            return done
        homes.add(step.request.codex_home)
        begun = runner.again(begun, judged, step.request, step.kind)
    return begun.done


def next_step(runner: Runner, begun: Begun, result: RunResult, homes: set[str]) -> Step | None:
    """What follows an attempt that ended with `result`; None: nothing. `homes` are those that it has been to."""
    request, problem = begun.request, result.problem
    if problem is None or not is_untouched(result) or was_asked(begun.attempt.folder):
        return None
    step: Step | None = None
    if problem.code == "rate-limited" and request.may_move:
        moved = runner.standing.move(request, problem)
        if moved is not None and moved.codex_home not in homes:
            step = Step("run_rerouted", moved)
    elif begun.number < MOST_TRIES and is_passing(result):
        step = Step("run_retried", request, pause_s(begun.number, runner.clock.entropy(4)))
    if step is None or step.pause_s >= runner.left_s(begun):
        return None
    try:
        check_budget(step.request, runner.limits(step.request))
    except Refused:
        return None
    return step


def is_passing(result: RunResult) -> bool:
    """Whether the provider failed in a way that passes by itself."""
    problem = result.problem
    return problem is not None and problem.code == "turn-failed" and _PASSING.match(problem.message) is not None


def is_untouched(result: RunResult) -> bool:
    """Whether nothing came of an attempt: it completed no turn, and it is known that it changed no file."""
    changed_nothing = result.files_evidence != "unknown" or result.sandbox == Sandbox.READ_ONLY.flag
    return result.answer is None and result.turns <= 1 and changed_nothing and not result.files_changed


def pause_s(tries: int, chance: bytes) -> float:
    """How long to wait after so many tries: longer each time, and by chance half as long to half as long again."""
    return _FIRST_PAUSE_S * _GROWTH ** (tries - 1) * (0.5 + int.from_bytes(chance) / (1 << 8 * len(chance)))


def _pause(attempt: Attempt, seconds: float) -> bool:
    """Wait; False at once when somebody wants the run ended."""
    end = time.monotonic() + seconds
    while not attempt.is_unwanted:
        left = end - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, _ROUND_S))
    return False
