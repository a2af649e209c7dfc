"""A repository with one good plan, and what stands around it."""

from pathlib import Path

import pytest

from armarius.plans.rules import Surroundings

GOOD = Path(__file__).with_name("good_plan.md").read_text(encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with git, the files that the good plan names, and its PLANS.md; no plan yet."""
    root = tmp_path / "repository"
    for name in (".git", ".agent", "src", "tests", "execplans"):
        (root / name).mkdir(parents=True)
    for name in (".agent/PLANS.md", "src/greet.py", "tests/test_greet.py"):
        (root / name).write_text("x\n")
    return root


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()
