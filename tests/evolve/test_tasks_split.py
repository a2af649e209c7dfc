import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.evolve.judge import Judge, MaxChars
from armarius.evolve.likeness import near_groups
from armarius.evolve.tasks import Task, fold_task, split_tasks

JUDGE = Judge("rule", (MaxChars(9),))


def tasks(*texts: str) -> list[Task]:
    return [Task(f"t{number}", text, JUDGE) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a brief.", "write  A\nbrief"),
        ("“Quoted”", "Quoted"),
        ("e\u0301tat", "état"),
        ("ﬁle", "FILE"),
        ("Straße", "STRASSE"),
        (" x ", "x"),
        (" ? ", "?"),
        ("a-b", "a b"),
    ],
)
def test_texts_that_differ_in_case_spacing_or_punctuation_fold_to_one(one: str, other: str) -> None:
    assert fold_task(one) == fold_task(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("C++", "C"), ("?", "!"), ("漢字", "漢"), ("1 2", "12")])
def test_other_texts_do_not(one: str, other: str) -> None:
    assert fold_task(one) != fold_task(other)


def test_the_side_of_a_text_is_fixed_for_ever() -> None:
    train, held_out = split_tasks(tasks("alpha", "beta", "gamma", "delta", "epsilon", "zeta"))
    assert [task.task for task in train] == ["gamma"]
    assert [task.task for task in held_out] == ["alpha", "beta", "delta", "epsilon", "zeta"]


def test_about_a_third_trains() -> None:
    train, held_out = split_tasks(tasks(*(f"task number {number}" for number in range(3_000))))
    assert len(train) + len(held_out) == 3_000
    assert 900 < len(train) < 1_100


@pytest.mark.parametrize("count", range(2, 8))
def test_both_sides_have_a_task_when_there_are_two(count: int) -> None:
    for start in range(60):
        train, held_out = split_tasks(tasks(*(f"text {start + number}" for number in range(count))))
        assert train
        assert held_out


def test_an_empty_side_is_given_the_text_at_its_end_of_the_hashes() -> None:
    # By their hashes alone the first three would all train and the others all be held out.
    train, held_out = split_tasks(tasks("text 1", "text 3", "text 11"))
    assert [task.task for task in held_out] == ["text 1"]
    train, held_out = split_tasks(tasks("text 4", "text 2", "text 0"))
    assert [task.task for task in train] == ["text 0"]


def test_a_single_text_trains_and_nothing_is_held_out() -> None:
    twins = tasks("same", "Same.")
    assert split_tasks(twins) == (tuple(twins), ())
    assert split_tasks([]) == ((), ())


@pytest.mark.parametrize("wish", ["train", "held_out"])
def test_a_wish_is_respected_and_equal_texts_follow_it(wish: str) -> None:
    for text in ("alpha", "beta", "gamma", "delta"):
        wishing = [
            Task("w", text, JUDGE, "train" if wish == "train" else "held_out"),
            Task("same", text.upper(), JUDGE),
            Task("x", "other", JUDGE),
        ]
        train, held_out = split_tasks(wishing)
        assert {task.task_id for task in (train if wish == "train" else held_out)} >= {"w", "same"}
        assert [task.task_id for task in (held_out if wish == "train" else train)] == ["x"]


def test_wishes_are_not_overruled_to_fill_a_side() -> None:
    wishing = [Task("a", "one", JUDGE, "train"), Task("b", "two", JUDGE, "train")]
    assert split_tasks(wishing) == (tuple(wishing), ())


TEXTS = st.lists(
    st.sampled_from(["a", "A", "b", "c", "d", "D.", "e f", "E  F!", "g", "h", "?", "!"]),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_equal_texts_stay_together(texts: list[str], chance: random.Random) -> None:
    ordered = tasks(*texts)
    shuffled = list(ordered)
    chance.shuffle(shuffled)
    sides = [{task.task_id for task in side} for side in split_tasks(ordered)]
    assert [{task.task_id for task in side} for side in split_tasks(shuffled)] == sides
    folded = [{fold_task(task.task) for task in side} for side in split_tasks(ordered)]
    assert not folded[0] & folded[1]
    assert len(sides[0]) + len(sides[1]) == len(texts)
    assert all(folded) or len(set(near_groups(texts))) == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=30, max_size=40, unique=True), st.integers(0, 29))
def test_taking_a_task_away_moves_no_other(numbers: list[int], place: int) -> None:
    before = split_tasks(tasks(*map(str, numbers)))
    fewer = [text for index, text in enumerate(map(str, numbers)) if index != place]
    after = split_tasks(tasks(*fewer))
    for side in (0, 1):
        assert {task.task for task in after[side]} <= {task.task for task in before[side]}
