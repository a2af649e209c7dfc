"""How a budget is spelt, and when it is passed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.budget import Budget, Spent, parse_budget, parse_count
from armarius.errors import UsageError

BUDGETS = st.builds(
    Budget,
    tokens=st.none() | st.integers(1, 10**12),
    requests=st.none() | st.integers(1, 10**12),
    turns=st.none() | st.integers(1, 10**12),
    minutes=st.none() | st.floats(0.001, 10**6),
    agents=st.none() | st.integers(0, 10**12),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tokens=200k", Budget(tokens=200_000)),
        ("tokens=1.5M", Budget(tokens=1_500_000)),
        (
            "tokens=200_000, requests=50 ,turns=3,minutes=0.5,agents=0",
            Budget(tokens=200_000, requests=50, turns=3, minutes=0.5, agents=0),
        ),
    ],
)
def test_a_budget_is_spelt_as_measures_and_numbers(text: str, expected: Budget) -> None:
    assert parse_budget(text) == expected


WRONG = (
    *("", "tokens", "tokens=", "=5", "tokens=-1", "tokens=nan", "tokens=inf", "tokens=0", "tokens=1.5", "tokens=1e9"),
    *("minutes=0", "minutes=1k", "minutes=nan", "tokn=1", "tokens=1,tokens=2", "tokens=99999999999999k", "tokens=٣"),
    *("agents=-1", "tokens=1,,turns=2", "tokens=1;turns=2", "__class__=1"),
)


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_a_wrong_command_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(text)
    assert caught.value.code == "budget"


@pytest.mark.parametrize(("text", "count"), [("1000", 1000), ("200k", 200_000), (" 1.5M", 1_500_000), ("2_000", 2000)])
def test_a_number_of_its_own_is_spelt_as_in_a_budget(text: str, count: int) -> None:
    assert parse_count(text, "--tokens-per-day") == count


@pytest.mark.parametrize("text", ["", "0", "-1", "1e9", "0.5", "k", "nan", "9999999999999", "\u0663", "1k5"])
def test_and_says_which_flag_it_is_when_it_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--tokens-per-day: ") as caught:
        parse_count(text, "--tokens-per-day")
    assert caught.value.code == "budget"


@given(st.text(max_size=60))
def test_no_text_does_worse_than_that(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_budget(text)


@given(BUDGETS, BUDGETS)
def test_two_budgets_together_are_never_wider_than_either(one: Budget, other: Budget) -> None:
    joined = one.joined(other)
    assert joined == other.joined(one)
    assert joined.wider(one) is None
    assert joined.wider(other) is None


@pytest.mark.parametrize(
    ("spent", "measure"),
    [
        (Spent(tokens=10), None),
        (Spent(tokens=11), "tokens"),
        (Spent(agents=1), "agents"),
        (Spent(minutes=1.01), "minutes"),
    ],
)
def test_a_limit_is_passed_by_more_than_it_says(spent: Spent, measure: str | None) -> None:
    passed = Budget(tokens=10, minutes=1, agents=0).passed(spent)
    assert (passed.measure if passed else None) == measure


def test_nothing_is_begun_when_nothing_is_left_and_sub_agents_are_no_matter_of_that() -> None:
    budget = Budget(tokens=10, agents=0)
    assert budget.used_up(Spent(tokens=9), "day") is None
    found = budget.used_up(Spent(tokens=10), "day")
    assert found is not None
    assert str(found) == "10 of 10 tokens of the budget of the day are used up"
    assert budget.left(Spent(tokens=4)) == Budget(tokens=6, agents=0)
