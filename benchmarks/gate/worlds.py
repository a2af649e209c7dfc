"""Simulated agents and edits whose truth is known.

Owns how tasks, edits and scores are drawn. Does not own who judges them, nor the goals.
Invariant: an edit's mean effect on success is exactly what it is said to be.

A task's chance of success is logit-normal: spread 2 is a noisy agent, of whose tasks 30% flip between two
identical replays, spread 5 a steady one (15%). An edit shifts each logit by a normal amount of spread 1, so it helps
some tasks and hurts others. A task has three checks, independent given the task: it succeeds when all three pass.
"""

import functools
import math
import random
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

__all__ = ["HALF", "SCORES", "SPREADS", "Edit", "Evaluate", "centre_for", "world"]

SPREADS = {"noisy": 2.0, "steady": 5.0}
SCORES: dict[str, tuple[float, ...]] = {  # by the number of checks passed
    "hard": (0, 0, 0, 1),
    "soft": (0, 1 / 3, 2 / 3, 1),
    "mixed": (0, 1 / 6, 1 / 3, 1),
}
HALF = 0.5
"""The mean success of an agent before any edit."""

Evaluate: TypeAlias = Callable[[str, int, int], tuple[float, float]]

_BROKEN = 0.02
_STEPS = tuple(k / 20 for k in range(-160, 161))
_WEIGHTS = tuple(math.exp(-z * z / 2) for z in _STEPS)


class Edit(NamedTuple):
    """An edit: mean effect, and how much it differs between tasks; `effect` None mends a broken skill (.02 -> .98)."""

    effect: float | None
    spread: float = 1.0


def world(chance: random.Random, edit: Edit, agent_spread: float, score: str, before: float = HALF) -> Evaluate:
    """One user and one edit. A check passes with the cube root of the task's chance, so all three with it."""
    table = SCORES[score]
    checks: dict[str, tuple[float, float]] = {}
    centre = centre_for(before, agent_spread)
    shift = 0.0
    if edit.effect:
        shift = centre_for(before + edit.effect, math.hypot(agent_spread, edit.spread)) - centre

    def drawn() -> tuple[float, float]:
        if edit.effect is None:
            return _BROKEN, 1 - _BROKEN
        logit = chance.gauss(centre, agent_spread)
        edited = logit + shift + chance.gauss(0, edit.spread) if edit.spread else logit
        return _success(logit), _success(edited)

    def passed(check: float) -> float:
        roll = chance.random
        return table[(roll() < check) + (roll() < check) + (roll() < check)]

    def evaluate(task: str, _night: int, _replicate: int) -> tuple[float, float]:
        if task not in checks:
            base, edited = drawn()
            checks[task] = base ** (1 / 3), edited ** (1 / 3)
        base, edited = checks[task]
        return passed(base), passed(edited)

    return evaluate


@functools.cache
def centre_for(mean: float, spread: float) -> float:
    """The centre of a normal logit of this spread whose mean success is `mean`."""
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if _mean_success(middle, spread) < mean:
            low = middle
        else:
            high = middle
    return low


def _mean_success(centre: float, spread: float) -> float:
    """By the trapezoid rule over 8 standard deviations."""
    total = sum(weight * _success(centre + spread * z) for weight, z in zip(_WEIGHTS, _STEPS, strict=True))
    return total / sum(_WEIGHTS)


def _success(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
