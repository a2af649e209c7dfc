"""Recorded pairs are decided by the gate itself, and a plan says beforehand what it can tell."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from armarius.errors import DataError, UsageError
from armarius.gate.decision import DEFAULT, Answer, Gate, Pair, best_case, decide
from armarius.gate.power import plan_for
from armarius.gate.recorded import decide_recorded


def row(experiment: str = "a", **more: Any) -> dict[str, Any]:
    return {"experiment": experiment, "night": 1, "task": "t", "baseline": 0, "candidate": 1} | more


def lines(*rows: dict[str, Any]) -> Iterator[bytes]:
    return (json.dumps(one).encode() + b"\n" for one in rows)


def test_experiments_are_decided_apart_in_the_order_in_which_they_stand() -> None:
    rng = random.Random(5)
    rows = [
        row(name, night=1 + n // 20, task=f"t{n % 10}", baseline=rng.random(), candidate=min(1, rng.random() + shift))
        for n in range(60)
        for name, shift in (("good", 0.9), ("null", 0.0), ("bad", -0.0))
    ]
    rows.insert(7, row("good", baseline=None))
    found = {one.experiment: one for one in decide_recorded(lines(*rows), "f").experiments}
    assert list(found) == ["good", "null", "bad"]
    for name, one in found.items():
        pairs = [Pair(r["night"], r["task"], r["baseline"], r["candidate"]) for r in rows if r["experiment"] == name]
        same = decide(pairs)
        assert (one.decision, one.e_value) == (same.answer.value, same.e_value)
        assert (one.pairs_used, one.pairs_ignored) == (same.pairs_used, same.pairs_ignored)
    assert (found["good"].decision, found["good"].pairs_ignored > 0) == ("adopt", True)


@pytest.mark.parametrize(
    ("wins", "decision"), [(0, "continue"), (3, "continue"), (4, "trial"), (5, "trial"), (6, "adopt")]
)
def test_a_trial_is_told_from_a_certificate(wins: int, decision: str) -> None:
    rows = [row(task=f"t{n}") for n in range(wins)] or [row(baseline=None)]
    [one] = decide_recorded(lines(*rows), "f").experiments
    assert one.decision == decision


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", "f:2: Input data was truncated"),
        (b"[]", "f:2: Expected `object`, got `array`"),
        (json.dumps(row(night=0)).encode(), "f:2: Expected `int` >= 1"),
        (json.dumps(row(candidate=1.5)).encode(), "f:2: night 1, task 't': score 1.5"),
        (json.dumps(row(extra=1)).encode(), "f:2: Object contains unknown field `extra`"),
        (b'{"experiment":"a","night":1,"task":"t","baseline":0}', "f:2: Object missing required field `candidate`"),
        (b'{"experiment":"a","night":1,"task":"t","baseline":NaN,"candidate":1}', "f:2: "),
        (b"[" * 100_000, "f:2: the line has more than"),
        (b"[" * 60_000, "f:2: "),
        (b"\xff\xfe", "f:2: "),
    ],
)
def test_a_line_that_is_no_pair_is_refused_where_it_stands(bad: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        decide_recorded([json.dumps(row()).encode(), bad], "f")
    assert caught.value.message.startswith(message)


def test_nothing_recorded_is_no_experiment() -> None:
    assert decide_recorded([b"", b"  \n"], "f").experiments == ()


def simulated(held_out: int, gain: float, flips: float, trials: int) -> tuple[float, float]:
    """How often the gate itself adopts in the plan's world, and with how many runs."""
    rng = random.Random(11)
    loss = (1 - gain) * flips / 2
    adopted = pairs = 0
    for _ in range(trials):
        gate = Gate()
        for n in range(DEFAULT.nights * DEFAULT.pairs_a_night * held_out):
            if gate.decided:
                break
            night, task = 1 + n // (DEFAULT.pairs_a_night * held_out), f"t{n % held_out}"
            draw = rng.random()
            scores = (0, 1) if draw < gain + loss else (1, 0) if draw < gain + 2 * loss else (1, 1)
            gate.offer(Pair(night, task, *scores))
            pairs += 1
        adopted += gate.decision(nights_over=DEFAULT.nights).answer is Answer.ADOPT
    return adopted / trials, 2 * pairs / trials


@pytest.mark.parametrize(("held_out", "gain", "flips"), [(5, 0.0, 0.3), (10, 0.2, 0.3), (20, 0.1, 0.15), (3, 0.4, 0.6)])
def test_a_plan_says_what_the_gate_then_does(held_out: int, gain: float, flips: float) -> None:
    plan = plan_for(held_out, flips)
    chance = next(one for one in (plan.useless, *plan.chances) if one.gain == gain)
    adopted, replays = simulated(held_out, gain, flips, 1_000)
    assert abs(chance.in_the_end - adopted) < 0.05
    assert abs(chance.replays - replays) < 0.06 * replays


@pytest.mark.parametrize("held_out", [0, 1, 2, 3, 10])
def test_a_plan_says_whether_so_few_tasks_can_certify(held_out: int) -> None:
    plan = plan_for(held_out)
    nights = [night for night in (1, 2, 3) if held_out and best_case(held_out, night).answer is Answer.ADOPT]
    assert plan.certifies == (nights[0] if nights else None)
    assert (plan.chances[0].in_the_end == 0) is (held_out == 0)


def test_more_tasks_detect_smaller_gains() -> None:
    found = [plan_for(held_out).detects for held_out in (3, 5, 10, 20)]
    assert found == sorted((one or 9 for one in found), reverse=True)


@pytest.mark.parametrize(("held_out", "flips"), [(-1, 0.3), (101, 0.3), (5, -0.1), (5, 1.1), (5, float("nan"))])
def test_a_plan_for_nothing_that_can_be_is_refused(held_out: int, flips: float) -> None:
    with pytest.raises(UsageError):
        plan_for(held_out, flips)
