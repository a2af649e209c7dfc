"""Undecided candidates as a user sees them: in `status`, `history`, `explain`, a plan, and turned down."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.evolve.report import NightReport
from armarius.testing import benchmarks
from support.evenings import Evenings, add
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
Check = Callable[[Any], None]


@pytest.fixture
def second(terminal: Terminal) -> NightReport:
    """Two nights and a change of the skill between them; the report of the second."""
    with Evenings(terminal.state, held_out=2) as evenings:
        evenings.night(add("Be kind."))
        evenings.skill.write_text(evenings.skill.read_text() + "Mine.\n")
        return evenings.night(add("Be brief."))


def test_each_undecided_candidate_is_named_with_its_evidence_and_can_be_turned_down(
    terminal: Terminal, second: NightReport, check: Check
) -> None:
    names = [one.id for one in second.candidates]
    status = terminal.type("sleep", "status", "--json").answer
    check(status)
    assert [(one["id"], one["rounds"], one["pairs_used"], one["note"]) for one in status["candidates"]] == [
        (name, 1, 4, "") for name in names
    ]
    shown = terminal.type("sleep", "status").out
    assert all(name in shown for name in names)

    assert terminal.type("sleep", "reject", names[0][:13], "--reason", "no").code == 3, "both begin so"
    done = terminal.type("sleep", "reject", names[0], "--reason", "no", "--json").answer
    check(done)
    assert (done["proposal"], done["state"], done["changed"]) == (names[0], "rejected", True)
    assert terminal.type("sleep", "reject", names[0]).out.endswith("(it was already)\n")
    assert [one["id"] for one in terminal.type("sleep", "status", "--json").answer["candidates"]] == names[1:]


def test_what_became_of_candidates_is_told_and_a_plan_counts_those_that_are_left(
    terminal: Terminal, second: NightReport, check: Check
) -> None:
    note = second.notes[0]
    history = terminal.type("sleep", "history", "--json").answer
    check(history)
    assert [(night["candidates"], night["notes"]) for night in history["nights"]] == [(2, [note]), (1, [])]
    assert note in terminal.type("sleep", "history").out
    explained = terminal.type("sleep", "explain", "--json").answer
    check(explained)
    assert note in explained["sentences"]
    assert any(sentence.startswith("Beside it cand_") for sentence in explained["sentences"])
    assert note in Path(second.report).read_text()

    target = str(Path(second.target))
    words = ("sleep", "dry-run", "--tasks-file", "tasks.json", "--target-skill-path", target, "--json")
    words += ("--skill-root", str(Path(target).parents[1]), "--target-backend", "openai", "--target-model", "small")
    terminal.write_tasks(SEED.training[:2], SEED.training[2:5])
    plan = terminal.type(*words).answer
    check(plan)
    assert (plan["undecided"], plan["runs"]) == (2, {"least": 2 + 1 + 2, "most": 2 + 1 + 3 * 12 + 4 * 3})
    assert plan["sent"][0]["to"].startswith("small at the endpoint")
