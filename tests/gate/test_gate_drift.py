"""Drift after an adoption: seen when it is there, and rarely when it is not."""

import random

import pytest

from armarius.gate.drift import ALARM_AT, LEAST_BEFORE, drift_of


def uses(chance: random.Random, rate: float, number: int) -> list[bool]:
    return [chance.random() < rate for _ in range(number)]


@pytest.mark.parametrize(("before", "after", "least"), [(0.1, 0.6, 0.7), (0.1, 0.9, 0.99), (0.3, 0.95, 0.95)])
def test_a_skill_that_got_much_worse_raises_an_alarm_in_forty_uses(before: float, after: float, least: float) -> None:
    chance = random.Random(7)
    alarms = [drift_of(uses(chance, before, 30), uses(chance, after, 40)).alarm for _ in range(300)]
    assert sum(alarms) / 300 >= least


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("known", [5, 30])
def test_one_that_is_as_it_was_rarely_does_however_long_it_is_watched(rate: float, known: int) -> None:
    chance = random.Random(11)
    alarms = [drift_of(uses(chance, rate, known), uses(chance, rate, 200)).alarm for _ in range(300)]
    assert sum(alarms) / 300 <= 0.1


def test_an_alarm_stays_and_nothing_is_said_without_a_past() -> None:
    wrong = drift_of([False] * 30, [True] * 20 + [False] * 1_000)
    assert wrong.alarm
    assert wrong.e_value >= ALARM_AT
    unknown = drift_of([False] * (LEAST_BEFORE - 1), [True] * 100)
    assert (unknown.alarm, unknown.e_value) == (False, 1.0)
    assert (unknown.before, unknown.wrong_before, unknown.after, unknown.wrong_after) == (4, 0, 100, 100)


def test_a_skill_that_got_better_is_no_alarm() -> None:
    assert drift_of([True] * 20, [False] * 100).e_value == 1.0
