"""Several undecided candidates of one skill, each with a gate and evidence of its own, night after night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.errors import DataError
from armarius.evolve import staging
from armarius.evolve.candidates import turn_down, undecided
from armarius.evolve.explained import explain
from armarius.evolve.records import find_candidate, find_proposal
from armarius.evolve.report import NightReport
from armarius.gate.rounds import MOST_OPEN
from armarius.skills.document import END, START
from armarius.store.queries import Query
from support.evenings import Evenings, add, answers_well, replace

_EVIDENCE = Query("pairs", "Every pair.", "SELECT * FROM evidence")
IDLE, VAIN, OTHER = add("Be kind."), add("Be brief."), add("Be calm.")
HELPS = add(answers_well("judge-0", "judge-1"))
JUDGED = "of the seven wise men of the east and west"
HALF = add(answers_well("judge-0"))


@pytest.fixture
def evenings(tmp_path: Path) -> Iterator[Evenings]:
    with Evenings(tmp_path, held_out=2) as made:
        yield made


def heard(report: NightReport) -> list[tuple[str, int, str, int]]:
    return [(one.edits[0].removeprefix("add "), one.round, one.decision, one.pairs_used) for one in report.candidates]


def adopt(evenings: Evenings, report: NightReport) -> None:
    staging.adopt(evenings.ledger, evenings.clock, find_proposal(evenings.ledger, report.proposal, "staged"))


def test_each_night_has_a_new_candidate_beside_those_that_are_undecided(evenings: Evenings) -> None:
    first = evenings.night(IDLE)
    assert heard(first) == [("Be kind.", 1, "continue", 4)]
    assert heard(evenings.night(VAIN)) == [("Be kind.", 2, "continue", 8), ("Be brief.", 1, "continue", 4)]
    third = evenings.night(HELPS)
    assert [(n, told) for n, _, told, _ in heard(third)] == [
        ("Be kind.", "continue"),
        ("Be brief.", "continue"),
        (HELPS["text"], "trial"),
    ]
    assert (third.state, third.decision, third.accepted) == ("nothing", "trial", (f"add {HELPS['text']}",))
    fourth = evenings.night(VAIN)
    assert heard(fourth)[0] == ("Be kind.", 4, "reject", 16), "nothing scattered, so it had a fourth night"
    assert heard(fourth)[1] == ("Be brief.", 3, "continue", 12), "proposed again, it went on with what it had"
    assert [told for _, _, told, _ in heard(fourth)] == ["reject", "continue", "adopt"]
    assert (fourth.state, fourth.number, fourth.e_value >= 10) == ("staged", 4, True)

    told = [(one["rejected"], one["on_trial"]) for one in evenings.optimizer.heard]
    assert told == [
        ([], []),
        ([], ["add Be kind."]),
        ([], ["add Be kind.", "add Be brief."]),
        ([], ["add Be kind.", "add Be brief.", f"add {HELPS['text']}"]),
    ]
    assert set(evenings.target.answers.values()) == {1}, "nobody is served by a replay of another one"
    pairs = evenings.ledger.fetch(_EVIDENCE)
    assert len({run for pair in pairs for run in (pair["baseline_run"], pair["candidate_run"])}) == 2 * len(pairs)


def test_once_one_is_certified_the_others_keep_their_round_until_it_is_decided_on(evenings: Evenings) -> None:
    evenings.night(HELPS)
    second = evenings.night(IDLE)
    assert heard(second) == [(HELPS["text"], 2, "adopt", 6)]
    [waiting] = undecided(evenings.ledger)
    assert (second.waiting, waiting.rounds, waiting.pairs_used) == ((waiting.id,), 0, 0)
    assert evenings.night(VAIN) == second, "what is staged waits for an answer first"
    staging.reject(evenings.ledger, evenings.clock, find_proposal(evenings.ledger, second.proposal, "staged"))
    third = evenings.night(HELPS)
    assert heard(third) == [("Be kind.", 1, "continue", 4)]
    assert "this very text was judged before" in third.rejected[0]
    assert third.nothing_new == "the reflection proposed no usable edit"


def test_an_adoption_voids_the_evidence_of_the_others_and_their_edits_begin_anew(tmp_path: Path) -> None:
    with Evenings(tmp_path, held_out=3) as evenings:
        evenings.night(IDLE)
        [before] = undecided(evenings.ledger)
        second = evenings.night(add(answers_well("judge-0", "judge-1", "judge-2")))
        assert [(n, told) for _, n, told, _ in heard(second)] == [(2, "continue"), (1, "adopt")]
        adopt(evenings, second)
        assert "the skill changed" in undecided(evenings.ledger)[0].note
        third = evenings.night(VAIN)
        assert heard(third) == [("Be kind.", 1, "continue", 6), ("Be brief.", 1, "continue", 6)]
        assert third.candidates[0].id != before.id
        assert third.notes[0].startswith(f"{before.id} is void")
        assert set(evenings.target.answers.values()) == {1}


def test_a_skill_that_was_changed_and_restored_goes_on_where_it_was(evenings: Evenings) -> None:
    evenings.night(HALF)
    [first] = undecided(evenings.ledger)
    text = evenings.skill.read_text()
    evenings.skill.write_text(text + "Mine.\n")
    changed = evenings.night(IDLE)
    assert [(one.round, one.pairs_used, one.is_new) for one in changed.candidates] == [(1, 4, False), (1, 4, True)]
    anew = changed.candidates[0]
    assert (anew.edits, anew.id != first.id, anew.pairs[0].night) == ((f"add {HALF['text']}",), True, 1)
    note = f"{first.id} is void: the skill changed. Its edits are judged anew as {anew.id}."
    assert changed.notes == (note,)
    assert note in explain(changed.id, changed.state, changed).sentences

    evenings.skill.write_text(text)
    again = evenings.night(VAIN)
    assert [(one.id == first.id, one.round, one.pairs_used) for one in again.candidates] == [
        (True, 2, 8),
        (False, 1, 4),
        (False, 1, 4),
    ]


@pytest.mark.parametrize(
    ("line", "change", "side", "why"),
    [
        (
            replace("Be kind.", "Be curt."),
            "Be kind.",
            "train",
            "its edits do not fit any more: no rule says exactly that",
        ),
        (add(f"Write {JUDGED}."), "# X", "train", "it repeats more than 5 words in a row of the judge of train-0"),
        (VAIN, "# X", "held_out", "its proposer saw a task that judges now"),
    ],
)
def test_what_no_longer_fits_or_would_judge_itself_is_void_for_good(
    evenings: Evenings, line: dict[str, object], change: str, side: str, why: str
) -> None:
    evenings.skill.write_text(f"{evenings.skill.read_text()}\n{START}\n## Learned rules\n\n- Be kind.\n{END}\n")
    evenings.night(line)
    [before] = undecided(evenings.ledger)
    evenings.skill.write_text(evenings.skill.read_text().replace(change, "Be just."))
    evenings.splits["train-1"] = side
    evenings.checks.append({"op": "not_contains", "arg": JUDGED})
    report = evenings.night()
    assert report.notes == (f"{before.id} is void: the skill changed, and {why}.",)
    assert (undecided(evenings.ledger), report.candidates) == ((), ())


def test_a_candidate_that_a_person_turns_down_is_heard_no_more_and_remembered(evenings: Evenings) -> None:
    evenings.night(IDLE)
    [one] = undecided(evenings.ledger)
    row = find_candidate(evenings.ledger, one.id[:20])
    assert turn_down(evenings.ledger, evenings.clock, row, "not our voice").changed
    assert not turn_down(evenings.ledger, evenings.clock, row, "").changed
    assert heard(evenings.night(VAIN)) == [("Be brief.", 1, "continue", 4)]
    assert evenings.optimizer.heard[-1]["rejected"] == ["add Be kind."]
    assert "judged before" in evenings.night(IDLE).rejected[0]
    with pytest.raises(DataError, match="no candidate"):
        find_candidate(evenings.ledger, "cand_none")


def test_whoever_is_turned_down_while_a_night_is_broken_off_is_not_heard_when_it_goes_on(evenings: Evenings) -> None:
    evenings.night(IDLE)
    evenings.target.patience = 2
    with pytest.raises(KeyboardInterrupt):
        evenings.night(VAIN)
    row = find_candidate(evenings.ledger, undecided(evenings.ledger)[0].id)
    turn_down(evenings.ledger, evenings.clock, row, "")
    assert heard(evenings.night(VAIN)) == [("Be brief.", 1, "continue", 4)]


def test_on_other_tasks_there_is_other_evidence_and_the_first_waits_for_its_own(evenings: Evenings) -> None:
    evenings.night(IDLE)
    evenings.splits["judge-2"] = "held_out"
    assert heard(evenings.night(IDLE)) == [("Be kind.", 1, "continue", 6)]
    assert evenings.optimizer.heard[-1]["on_trial"] == []
    del evenings.splits["judge-2"]
    assert heard(evenings.night(VAIN)) == [("Be kind.", 2, "continue", 8), ("Be brief.", 1, "continue", 4)]


def test_there_are_six_undecided_at_most_and_those_at_work_before_those_that_wait(evenings: Evenings) -> None:
    reports = list[NightReport]()
    for number in range(MOST_OPEN + 1):
        evenings.splits[f"train-{number + 2}"] = "train"  # other tasks every night
        reports.append(evenings.night(add(f"Be number {number}.")))
        assert heard(reports[-1]) == [(f"Be number {number}.", 1, "continue", 4)]
    left = undecided(evenings.ledger)
    assert [one.edits for one in left] == [(f"add Be number {number}.",) for number in range(1, MOST_OPEN + 1)]
    [note] = reports[-1].notes
    assert note.endswith("was dropped: others promised more, and there is room for so many only.")

    evenings.skill.write_text(evenings.skill.read_text() + "Mine.\n")
    last = evenings.night(add("Be the last."))
    assert [one.edits[0] for one in last.candidates] == [f"add Be number {number}." for number in (2, 3, 4)]
    assert (len(undecided(evenings.ledger)), len(last.waiting)) == (MOST_OPEN, MOST_OPEN - 3)


@pytest.mark.parametrize("budget", [1, 4])
def test_other_terms_of_asking_leave_the_evidence_as_it_is(evenings: Evenings, budget: int) -> None:
    evenings.night(IDLE, edit_budget=budget)
    asked = len(evenings.target.answers)
    second = evenings.night(VAIN, OTHER, edit_budget=2)
    assert [(one.round, len(one.edits)) for one in second.candidates] == [(2, 1), (1, 2)]
    assert len(evenings.target.answers) == asked + 16, "training replays are paid once"


@pytest.mark.parametrize("patience", [1, 13, 30])
def test_nights_that_break_off_anywhere_end_as_others_do_and_pay_nothing_twice(tmp_path: Path, patience: int) -> None:
    ends = list[list[object]]()
    for name, breaks in (("whole", False), ("broken", True)):
        with Evenings(tmp_path / name, held_out=3) as evenings:
            evenings.night(IDLE)
            evenings.night(HALF)
            if breaks:
                evenings.target.patience = patience
                with pytest.raises(KeyboardInterrupt):
                    evenings.night(VAIN)
            third = evenings.night(VAIN)
            assert set(evenings.target.answers.values()) == {1}
            ends.append([third.number, third.decision, third.reason, heard(third), len(evenings.target.answers)])
    assert ends[0] == ends[1]
    assert len(ends[0][3]) == 3  # type: ignore[arg-type]
