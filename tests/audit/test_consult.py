"""A finding is put to the author and to a fresh reviewer; what counts is what was seen."""

import pytest

from armarius.errors import Refused
from support.consulted import CONFIRMS, FINDING, REFUTES, WORK, answer, ask
from support.court import Court, Says

CASES: dict[str, tuple[tuple[Says, ...], str, bool | None, list[str]]] = {
    "the author agrees": ((CONFIRMS,), "consensus", True, ["confirm"]),
    "they do not agree": ((REFUTES, CONFIRMS), "orchestrator_decision", None, ["refute", "confirm"]),
    "a person has to decide": (
        (Says((), answer("unsure", needs_user=True)),),
        "user_action_required",
        None,
        ["unsure"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_outcome_follows_from_positions_that_have_evidence(court: Court, case: str) -> None:
    says, outcome, holds, positions = CASES[case]
    run = court.work(WORK)
    done = ask(court, run, *says)
    assert (done.outcome, done.holds, [one.position for one in done.asked]) == (outcome, holds, positions)
    assert [one.party for one in done.asked] == ["author", "fresh"][: len(positions)]
    kinds = [kind for kind, _ in court.events(run) if kind.startswith("consult")]
    assert kinds == [*["consulted"] * len(positions), "consult_decided"]


def test_it_is_typed_as_one_command(court: Court) -> None:
    run = court.work(WORK)
    court.judges = [CONFIRMS]
    done = court.type("consult", run, "--finding", "-", "--diff", stdin=FINDING.encode())
    assert (done.code, done.out.splitlines()[0]) == (0, "consensus: the finding holds"), done.err
    assert "seen: cat total.txt: 40" in done.err
    again = court.type("consult", run, "--finding", FINDING, "--json")
    assert (again.code, again.error["code"]) == (5, "consult-decided")
    court.judges = [Says((), answer("unsure", needs_user=True))]
    other = court.type("consult", run, "--finding", "something else", "--json")
    assert (other.code, other.answer["outcome"]) == (6, "user_action_required")


@pytest.mark.long
def test_what_was_decided_is_not_asked_again_and_another_finding_is(court: Court) -> None:
    run = court.work(WORK)
    ask(court, run, CONFIRMS)
    with pytest.raises(Refused, match="write 41"):
        ask(court, run, REFUTES, finding=f"  {FINDING}\n")
    assert ask(court, run, CONFIRMS, finding="total.txt is wrong", first="fresh").asked[0].party == "fresh"


def test_a_line_of_the_work_is_evidence_when_it_stands_there_and_the_diff_comes_along(court: Court) -> None:
    run = court.work(WORK)
    line = {"command": None, "path": "total.txt", "line": 1, "text": "40"}
    done = ask(court, run, Says((), answer("confirm", line, line | {"text": "41"})), diff=True)
    assert [one.seen for one in done.asked[0].evidence] == [True, False]
    assert done.outcome == "consensus"
    assert "+40" in court.prompts[0]
