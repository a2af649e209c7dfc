"""A night is explained by what its report holds."""

import msgspec
import pytest

from armarius.evolve.explained import explain
from armarius.evolve.report import NightReport, PairLine
from armarius.thread import Usage

PAIRS = (
    PairLine(1, "a", 0.0, 1.0),
    PairLine(1, "b", 1.0, 0.0),
    PairLine(1, "b", 1.0, 1.0),
    PairLine(1, "c", None, 1.0),
    PairLine(2, "a", 0.5, 1.0),
)
REPORT = NightReport(
    id="night_1",
    experiment="e",
    number=1,
    state="nothing",
    target="/s/SKILL.md",
    base_hash="x",
    candidate_hash="y",
    decision="continue",
    reason="undecided",
    e_value=1.5,
    pairs_used=4,
    pairs_ignored=1,
    train_tasks=3,
    held_out_tasks=5,
    shape_only=False,
    accepted=("add Be brief.",),
    rejected=(),
    pairs=PAIRS,
    runs=10,
    responses=12,
    usage=Usage(),
    duration_us=1,
    folder="/f",
    report="/f/report.md",
    diff="/f/diff",
)


def test_wins_and_losses_are_told_for_each_task() -> None:
    told = explain("night_1", "nothing", REPORT)
    assert [(t.task, t.wins, t.losses, t.ties, t.errors) for t in told.tasks] == [
        ("a", 2, 0, 0, 0),
        ("b", 0, 1, 1, 0),
        ("c", 0, 0, 0, 1),
    ]
    assert "Pairs: 2 won, 1 lost, 1 tied, 1 without a score in one arm." in told.sentences
    assert "Worse with the candidate: b." in told.sentences
    assert "It cost 10 runs and 0 tokens." in told.sentences
    assert any(sentence.startswith("An e-value says") for sentence in told.sentences)


@pytest.mark.parametrize(
    ("decision", "reason", "says"),
    [
        ("adopt", "certified", "Certified: the e-value is 1.50 after 4 pairs"),
        ("trial", "undecided", "Trial:"),
        ("reject", "futile", "Rejected as futile: the pairs speak against a gain of 15% or more"),
        ("reject", "exhausted", "Rejected: 3 nights are over"),
        ("continue", "undecided", "Undecided: the e-value is 1.50 after 4 pairs. The evidence is kept; 2 more nights"),
        ("none", "no training task fails its checks", "No candidate came before the gate: no training task fails"),
    ],
)
def test_each_end_of_a_night_has_its_sentence(decision: str, reason: str, says: str) -> None:
    report = msgspec.structs.replace(REPORT, decision=decision, reason=reason)
    assert any(sentence.startswith(says) for sentence in explain("night_1", "nothing", report).sentences)


def test_an_open_night_is_said_to_be_open() -> None:
    told = explain("night_1", "open", None)
    assert (told.night, told.tasks) == (None, ())
    assert told.sentences[0].startswith("The night is open")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("staged", "It is staged; nothing live changed."),
        ("adopted", "It was adopted and is live; `armarius sleep rollback prop_1`"),
        ("rolled_back", "It was adopted and rolled back"),
        ("superseded", "A newer proposal for the same skill took its place"),
        ("rejected", "It was staged and rejected; nothing live changed."),
    ],
)
def test_what_became_of_a_proposal_is_told(state: str, says: str) -> None:
    report = msgspec.structs.replace(REPORT, decision="adopt", reason="certified", proposal="prop_1")
    told = explain("night_1", "staged", report, state).sentences
    assert any(sentence.startswith(says) for sentence in told)
    assert "The candidate: add Be brief." in told
