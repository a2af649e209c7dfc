"""Who sees the held-out tasks, and in which order they are replayed.

Owns the rule that whoever proposes a candidate never sees the tasks that judge it, and a night's
schedule. Does not own what a task says: here a task is an id, and its evaluator a callable.
Invariant: the schedule follows from the experiment, the tasks and the night; no score of any
replay can change which pair is next, only whether there is a next one.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import msgspec

from armarius.errors import Refused
from armarius.gate.decision import DEFAULT, Gate, Pair, Rules

__all__ = ["Evaluate", "Slot", "examine", "replays", "schedule"]


class Slot(msgspec.Struct, frozen=True):
    """Room for one pair. `replicate` counts a task's pairs from 1 over all nights: no two share one."""

    task: str
    night: int
    replicate: int


# (task, night, replicate) -> the scores of baseline and candidate, or None when a replay or judge failed.
Evaluate: TypeAlias = Callable[[str, int, int], tuple[float, float] | None]


def schedule(
    experiment: str,
    held_out: AbstractSet[str],
    night: int,
    *,
    shown: AbstractSet[str],
    rules: Rules = DEFAULT,
) -> tuple[Slot, ...]:
    """The pairs of one night in the order in which they are to be offered: every task once, then again.

    `shown` are the tasks the proposer has seen; it has no default, so that nobody forgets to ask.
    Each round has its own order, so that nights cut short by a budget do not keep missing the same
    tasks. `experiment` must name all that can change a score (skill, judge, model, Codex version):
    evidence for one is none for another.
    """
    if leaked := sorted(held_out & shown):
        raise Refused(
            "held-out-seen",
            f"experiment {experiment}: held-out tasks were shown to the proposer: {', '.join(leaked)}",
            "hold out other tasks",
        )
    first = (night - 1) * rules.pairs_a_night + 1
    return tuple(
        Slot(task, night, replicate)
        for replicate in range(first, first + rules.pairs_a_night)
        for task in sorted(held_out, key=lambda task: _lot(experiment, replicate, task))
    )


def replays(slots: Iterable[Slot], evaluate: Evaluate) -> Iterator[Pair]:
    """The pairs of a schedule, each replayed when it is asked for and not before."""
    for slot in slots:
        scores = evaluate(slot.task, slot.night, slot.replicate)
        baseline, candidate = scores or (None, None)
        yield Pair(slot.night, slot.task, baseline, candidate)


def examine(gate: Gate, pairs: Iterable[Pair], keep: Callable[[Pair], None]) -> None:
    """Offer pairs to the gate until it has decided or they end, each kept before it counts.

    `pairs` come in schedule order, from `replays` or from a caller that runs several at a time and
    hands them on in order; none is asked for once the gate has decided. To resume, offer the kept
    pairs to a fresh gate and leave out as many slots of the night as it holds pairs of it.
    """
    coming = iter(pairs)
    while not gate.decided and (pair := next(coming, None)) is not None:
        keep(pair)
        gate.offer(pair)


def _lot(experiment: str, replicate: int, task: str) -> bytes:
    """A draw that everybody repeats and nobody can steer by scores."""
    return hashlib.sha256(f"{experiment}\0{replicate}\0{task}".encode()).digest()
