"""Whoever breaks a line of the parser of verdicts, or of what a judge's run is worth, hears of it from a test."""

import ast
from pathlib import Path

import pytest

from support.mutants import Mutant, mutants_of, survives

ROOT = Path(__file__).parents[2]
ARGUED = {
    "armarius.audit.verdict": {
        "_whole: 80 + 1": "how much of a bad source is quoted in a message",
        "_whole: 80 + 1 #2": "how much of a bad command is quoted in a message",
        "_reason: 80 + 1": "how much of a bad reason is quoted in a message",
    },
    "armarius.audit.judging": {},
}
"""Survivors, and why nobody need notice them."""


@pytest.mark.parametrize("module", ARGUED)
def test_a_fault_in_the_module_is_noticed(module: str) -> None:
    name = module.rpartition(".")[2]
    tests = ROOT / "tests" / "audit" / f"test_{name}.py"
    source = ROOT / "src" / "armarius" / "audit" / f"{name}.py"
    mutants = list(mutants_of(source))
    assert len(mutants) > 20
    whole = Mutant("none", ast.parse(source.read_text()))
    assert survives(whole, module, tests), "the tests pass as long as nothing is broken"
    left = {mutant.name for mutant in mutants if survives(mutant, module, tests)}
    assert left == ARGUED[module].keys()
