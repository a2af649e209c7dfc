import importlib.resources

import pytest

from armarius.errors import DataError
from armarius.evolve.judge import Check, MaxChars, Regex, SectionPresent, ToolCalled
from armarius.testing.benchmarks import load, seeds

CHECKS: dict[str, tuple[Check, ...]] = {
    "seed-missing-structure": (SectionPresent("Key Risks"), Regex(r"[Cc]onfidence\s*[:=]")),
    "seed-no-brain-first": (ToolCalled("search"),),
    "seed-no-verdict": (Regex(r"[Rr]ecommendation\s*[:=]"), Regex(r"[Cc]onfidence\s*[:=]")),
    "seed-verbose": (MaxChars(1200),),
}


def test_there_are_four_seeds() -> None:
    assert seeds() == tuple(sorted(CHECKS))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_seed_has_a_skill_and_two_disjoint_sets_of_tasks_with_its_checks(name: str) -> None:
    seed = load(name)
    assert seed.skill.startswith(b"---\nname: ")
    assert [len(seed.training), len(seed.held_out)] == [15, 6]
    assert len({row.task for row in (*seed.training, *seed.held_out)}) == 21
    for row in (*seed.training, *seed.held_out):
        assert row.judge.checks == CHECKS[name]


def test_an_unknown_seed_is_named_with_its_neighbour() -> None:
    with pytest.raises(DataError, match=r"seed-verbos.*did you mean 'seed-verbose'"):
        load("seed-verbos")


def test_the_licence_lies_beside_the_data() -> None:
    text = (importlib.resources.files("armarius.testing.benchmarks") / "LICENSE").read_text()
    assert "MIT License" in text
    assert "Copyright (c) 2026 Garry Tan" in text
