import pytest

from armarius.clock import Clock
from armarius.identity import new_id
from armarius.testing.clock import FakeClock


def test_time_stands_still_until_it_is_told_to_pass() -> None:
    clock = FakeClock(1_000)
    assert (clock.now_us(), clock.monotonic_us()) == (1_000, 0)
    clock.advance(250)
    assert (clock.now_us(), clock.monotonic_us()) == (1_250, 250)


def test_a_jump_of_the_wall_clock_leaves_durations_alone() -> None:
    clock = FakeClock(1_000)
    clock.set_wall(5)
    assert (clock.now_us(), clock.monotonic_us()) == (5, 0)


def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ValueError, match="-1"):
        FakeClock().advance(-1)


def test_chance_follows_from_the_seed_and_never_repeats_itself() -> None:
    one: Clock = FakeClock(seed=1)
    again: Clock = FakeClock(seed=1)
    other: Clock = FakeClock(seed=2)
    draws = [one.entropy(8) for _ in range(100)]
    assert draws == [again.entropy(8) for _ in range(100)]
    assert len(set(draws)) == 100
    assert other.entropy(8) not in draws


def test_ids_given_under_a_standing_clock_differ() -> None:
    clock = FakeClock()
    assert len({new_id("run", clock) for _ in range(50)}) == 50
