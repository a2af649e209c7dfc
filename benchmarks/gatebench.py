"""How often the gate adopts, on agents whose truth is known.

Owns the simulated worlds and the goals. Does not own the gate: the real one is driven, pair by pair,
in the order of the real schedule, and stopped when it has decided.
Invariant: the same seed gives the same table.

A task's chance of success is logit-normal around one half: spread 2 is a noisy agent, of whose tasks
30% flip between two identical replays, spread 5 a steady one (15%). An edit shifts each logit by a
normal amount of spread 1, so it helps some tasks and hurts others; its mean effect on success is
exactly what its row says. A task has three checks, independent given the task. The score offered to the
gate is by default `mixed`, half "all passed" (`hard`) and half the share passed (`soft`): it still asks
for whole success, and by telling near from far has half the variance, so the goals are set for it.

    python benchmarks/gatebench.py [--trials N] [--seed S] [--score mixed|hard|soft]

`mean` adopts when the candidate's mean over one replay of each task is above the baseline's, on the
same draws: what a gate without statistics does.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from armarius.gate.custody import replays, schedule
from armarius.gate.decision import DEFAULT, Answer, Gate, Pair

SPREADS = {"noisy": 2.0, "steady": 5.0}
SCORES: dict[str, tuple[float, ...]] = {  # by the number of checks passed
    "hard": (0, 0, 0, 1),
    "soft": (0, 1 / 3, 2 / 3, 1),
    "mixed": (0, 1 / 6, 1 / 3, 1),
}


ALL = (5, 10, 20, 50)


class Edit(NamedTuple):
    """An edit to be judged, and the goals: how often it may be adopted, must be (by tasks), may cost.

    `effect` is on mean success; None is a broken skill (.02) that the edit mends (.98).
    """

    name: str
    effect: float | None
    spread: float = 1.0
    sizes: tuple[int, ...] = ALL
    at_most: float | None = None
    at_least: tuple[int, float] | None = None
    replays: float | None = None


EDITS = (
    Edit("inert", 0.0, spread=0.0, at_most=0.05, replays=60),
    Edit("zero-mean", 0.0, at_most=0.06, replays=60),
    Edit("-10 points", -0.10, at_most=0.02),
    Edit("-5 points", -0.05, at_most=0.02),
    Edit("+10 points", 0.10),
    Edit("+20 points", 0.20, at_least=(10, 0.72)),
    Edit("+40 points", 0.40, at_least=(10, 0.99)),
    Edit("mended", None, sizes=(3, 5, 10), at_least=(5, 0.98)),
)


class Outcome(NamedTuple):
    """What a row measured, as shares and means over its trials."""

    adopted: float
    adopted_by_mean: float
    replays: float


def success(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def mean_success(shift: float, spread: float) -> float:
    """The mean of `success` over a normal logit, by the trapezoid rule over 8 standard deviations."""
    steps = [k / 100 for k in range(-800, 801)]
    weights = [math.exp(-z * z / 2) for z in steps]
    total = sum(weight * success(shift + spread * z) for weight, z in zip(weights, steps, strict=True))
    return total / sum(weights)


def shift_for(effect: float, agent_spread: float, edit_spread: float) -> float:
    """The logit shift whose mean effect on success is `effect`; the mean without an edit is 1/2."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        if mean_success(middle, math.hypot(agent_spread, edit_spread)) - 0.5 < effect:
            low = middle
        else:
            high = middle
    return low


Evaluate = Callable[[str, int, int], tuple[float, float]]


def world(chance: random.Random, edit: Edit, agent_spread: float, shift: float, score: str) -> Evaluate:
    """One user and one edit. A check passes with the cube root of the task's chance, so all three with it."""
    table = SCORES[score]
    checks: dict[str, tuple[float, float]] = {}

    def drawn() -> tuple[float, float]:
        if edit.effect is None:
            return 0.02, 0.98
        logit = chance.gauss(0, agent_spread)
        edited = logit + shift + chance.gauss(0, edit.spread) if edit.spread else logit
        return success(logit), success(edited)

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


def measure(edit: Edit, *, size: int, agent_spread: float, score: str, trials: int, seed: int) -> Outcome:
    tasks = frozenset(f"task-{k}" for k in range(size))
    slots = [
        slot
        for night in range(1, DEFAULT.nights + 1)
        for slot in schedule("gatebench", tasks, night, shown=frozenset())
    ]
    shift = shift_for(edit.effect, agent_spread, edit.spread) if edit.effect else 0.0
    chance = random.Random(f"{seed} {edit.name} {size} {agent_spread}")  # noqa: S311 - a simulation, no secret
    adopted = by_mean = paid = 0
    for _ in range(trials):
        coming = replays(slots, world(chance, edit, agent_spread, shift, score))
        gate, first_round = Gate(), 0.0
        for count, pair in enumerate(coming, start=1):
            if not gate.decided:
                gate.offer(pair)
                paid += 2
            if count <= size:
                first_round += gain(pair)
            elif gate.decided:
                break
        adopted += gate.decision(nights_over=DEFAULT.nights).answer is Answer.ADOPT
        by_mean += first_round > 1e-9  # noqa: PLR2004 - sums of sixths in floating point
    return Outcome(adopted / trials, by_mean / trials, paid / trials)


def gain(pair: Pair) -> float:
    return float(pair.gain or 0)


def goals(edit: Edit, size: int, outcome: Outcome) -> Iterator[tuple[str, bool]]:
    """Each goal of a row as it reads, and whether it is met."""
    if edit.at_most is not None:
        yield f"adopted <= {edit.at_most}", outcome.adopted <= edit.at_most
    if edit.at_least is not None and edit.at_least[0] == size:
        yield f"adopted >= {edit.at_least[1]}", outcome.adopted >= edit.at_least[1]
    if edit.replays is not None:
        yield f"replays <= {edit.replays}", outcome.replays <= edit.replays


def main() -> int:
    parser = argparse.ArgumentParser(description="How often the gate adopts, on agents whose truth is known.")
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--score", choices=sorted(SCORES), default="mixed")
    args = parser.parse_args()
    began = time.perf_counter()
    say = sys.stdout.write
    say(f"{args.trials} trials a row, seed {args.seed}, {args.score} scores; adopted: share of trials\n")
    say(f"{'agent':8}{'edit':12}{'tasks':>6}{'adopted':>9}{'mean':>7}{'replays':>9}  goal\n")
    missed = 0
    rows = [(edit, size) for edit in EDITS for size in edit.sizes]
    for agent, agent_spread in SPREADS.items():
        for edit, size in rows:
            outcome = measure(
                edit,
                size=size,
                agent_spread=agent_spread,
                score=args.score,
                trials=args.trials,
                seed=args.seed,
            )
            wanted = list(goals(edit, size, outcome))
            missed += sum(not met for _, met in wanted)
            remark = ", ".join(goal if met else f"{goal} MISSED" for goal, met in wanted)
            say(
                f"{agent:8}{edit.name:12}{size:6}{outcome.adopted:9.3f}{outcome.adopted_by_mean:7.3f}"
                f"{outcome.replays:9.1f}  {remark}\n"
            )
    say(f"{missed} goals missed; {time.perf_counter() - began:.0f} s\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
