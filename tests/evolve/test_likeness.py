"""Which texts are nearly the same, and which are work of one kind."""

import random

import pytest

from armarius.evolve.likeness import kinds_of, near_groups
from armarius.testing import benchmarks

NEAR = [
    ("Write a brief on pricing", "Please write me a brief on pricing."),
    ("Fix the parser of dates", "fix the PARSER of dates!"),
    ("レポートを書いてください", "レポートを書いてください。"),
    ("Write a brief on pricing", "Hey, I'd like you to write a brief about pricing - thanks \U0001f64f"),
    ("Write a brief on pricing", "Write briefs on pri\u200bcing \u2013 thank you!"),
    ("alpha beta gamma delta", "alpha beta gamma delta once"),
    ("one two three four five six seven eight", "one two three four five six seven eight tweaks twice"),
]
FAR = [
    ("Write a brief on pricing", "Write a brief on hiring"),
    ("Summarise the sales of 2024", "Summarise the sales of 2025"),
    ("Fix tests/test_a.py", "Fix tests/test_b.py"),
    ("Task 1", "Task 2"),
    ("Use --json", "Use --yaml"),
    ("Compute 3 + 4", "Compute 3 \u00f7 4"),
    ("\U0001f64f", "\U0001f680"),
]


@pytest.mark.parametrize(("one", "other", "near"), [*((*p, True) for p in NEAR), *((*p, False) for p in FAR)])
def test_what_differs_in_politeness_alone_is_nearly_the_same(one: str, other: str, near: bool) -> None:  # noqa: FBT001 - a table
    assert (near_groups([one, other]) == [0, 0]) is near


def test_what_is_nearly_the_same_is_found_wherever_the_difference_is() -> None:
    words = [f"word{letter}" for letter in "abcdefghijkl"]
    chance = random.Random(1)
    for _ in range(500):
        one = chance.sample(words, chance.randint(4, 12))
        others = [*one, *("once", "twice", "thrice")[: len(one) // 4]]
        near = near_groups([" ".join(one), *words, " ".join(chance.sample(others, len(others)))])
        assert (near[0], near[-1]) == (0, 0), (one, others)


def test_kinds_are_found_whatever_the_work_is_about() -> None:
    tasks = [(seed, task.task) for seed in benchmarks.seeds() for task in benchmarks.load(seed).training]
    random.Random(3).shuffle(tasks)
    kinds = kinds_of([text for _, text in tasks])
    assert len({(seed, kind) for (seed, _), kind in zip(tasks, kinds, strict=True)}) == len(benchmarks.seeds())
    assert len(set(kinds)) == len(benchmarks.seeds())


def test_the_order_of_texts_changes_no_kind() -> None:
    texts = ["Fix the failing test in a.py", "Write a brief on x", "fix the failing tests in b.py", "Explain monads"]
    for seed in range(10):
        mixed = random.Random(seed).sample(texts, len(texts))
        found = dict(zip(mixed, kinds_of(mixed), strict=True))
        assert (found[texts[0]] == found[texts[2]], len(set(found.values()))) == (True, 3)


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["   ", "!!!"], ["a" * 100_000]])
def test_texts_without_words_raise_nothing(texts: list[str]) -> None:
    assert (len(kinds_of(texts)), len(near_groups(texts))) == (len(texts), len(texts))
