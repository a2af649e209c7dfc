"""Who gets a round in a night, and who goes when there are too many."""

import pytest

from armarius.gate.rounds import MOST_OPEN, ROUNDS_A_NIGHT, Standing, in_excess, rounds_tonight


def standings(*e_values: float) -> list[Standing]:
    return [Standing(str(place), value) for place, value in enumerate(e_values)]


@pytest.mark.parametrize("count", range(MOST_OPEN + 3))
def test_the_oldest_get_the_rounds_whatever_speaks_for_the_others(count: int) -> None:
    assert rounds_tonight(standings(*range(count))) == tuple(map(str, range(min(count, ROUNDS_A_NIGHT))))


@pytest.mark.parametrize(
    ("e_values", "gone"),
    [
        ((1.0,) * MOST_OPEN, ()),
        ((1.0,) * (MOST_OPEN + 1), ("0",)),
        ((4.0, 0.5, 3.0, 2.0, 1.5, 1.0, 1.0), ("1",)),
        ((4.0, 0.5, 3.0, 0.2, 1.5, 1.0, 1.0, 0.5), ("3", "1")),
    ],
)
def test_over_the_limit_the_least_promising_goes_and_of_equals_the_oldest(
    e_values: tuple[float, ...], gone: tuple[str, ...]
) -> None:
    assert in_excess(standings(*e_values)) == gone
