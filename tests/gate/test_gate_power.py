"""How often the real gate adopts edits whose truth is known; in full in `benchmarks/gatebench.py`."""

import math
import random

import pytest

from armarius.gate.custody import Evaluate, examine, replays, schedule
from armarius.gate.decision import Answer, Gate, Pair

TRIALS = 2_000
TASKS = [f"task-{n}" for n in range(10)]
NIGHTS = [schedule("power", frozenset(TASKS), night, shown=frozenset()) for night in (1, 2, 3, 4)]


def success(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def noisy_agent(chance: random.Random, shift: float, spread: float) -> Evaluate:
    """Ten tasks of logit spread 2, edited by `shift` and `spread`; scores are graded by three checks."""
    logits = {task: chance.gauss(0, 2) for task in TASKS}
    edited = {task: logit + chance.gauss(shift, spread) for task, logit in logits.items()}

    def score(logit: float) -> float:
        check = success(logit) ** (1 / 3)
        return (0, 1 / 6, 1 / 3, 1)[sum(chance.random() < check for _ in range(3))]

    return lambda task, _night, _replicate: (score(logits[task]), score(edited[task]))


@pytest.mark.parametrize(
    ("shift", "spread", "least", "most", "replays_at_most"),
    [
        pytest.param(0.0, 0.0, 0.0, 0.05, 60, id="inert"),
        pytest.param(0.0, 1.0, 0.0, 0.06, 60, id="zero mean"),
        pytest.param(-0.3550, 1.0, 0.0, 0.02, 60, id="5 points worse"),
        pytest.param(1.4834, 1.0, 0.72, 0.9, 80, id="20 points better"),
        pytest.param(3.6538, 1.0, 0.99, 1.0, 40, id="40 points better"),
    ],
)
def test_edits_are_adopted_by_what_they_are_worth(
    shift: float, spread: float, least: float, most: float, replays_at_most: float
) -> None:
    chance = random.Random(7)
    adopted = pairs = 0
    for _ in range(TRIALS):
        gate = Gate()
        kept: list[Pair] = []
        agent = noisy_agent(chance, shift, spread)
        for night, slots in enumerate(NIGHTS, start=1):
            if night <= gate.nights:
                examine(gate, replays(slots, agent), kept.append)
        adopted += gate.decision(nights_over=gate.nights).answer is Answer.ADOPT
        pairs += len(kept)

    assert least <= adopted / TRIALS <= most
    assert 2 * pairs / TRIALS <= replays_at_most
