"""What the machine or the provider fails at counts for nobody, and is told of."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.errors import Refused
from armarius.evolve.explained import explain
from armarius.evolve.losses import check_losses, losses_told
from armarius.evolve.report import NightReport, PairLine
from support.evenings import Evenings, add, answers_well

HELPS = add(answers_well("judge-0", "judge-1", "judge-2", "judge-3"))
BUSY = "the provider is busy"


@pytest.fixture
def evenings(tmp_path: Path) -> Iterator[Evenings]:
    with Evenings(tmp_path, held_out=4) as made:
        yield made


def said(report: NightReport) -> str:
    return " ".join(explain(report.id, report.state, report).sentences)


def test_rounds_in_which_no_pair_got_a_score_are_made_again_and_turn_nobody_down(evenings: Evenings) -> None:
    evenings.target.fails = lambda text: "Answer well" in text
    for _ in range(5):
        night = evenings.night(HELPS)
        assert (night.decision, night.round, night.pairs_used, night.pairs_ignored) == ("continue", 1, 0, 8)
        assert "No pair of this round has a score, so the round is not counted and is made again." in said(night)
    evenings.target.fails = lambda _text: False
    night = evenings.night(HELPS)
    assert (night.state, night.decision, night.round, night.pairs_ignored) == ("staged", "adopt", 1, 0)
    paid_once = [name for name, count in evenings.target.answers.items() if count == 1]
    assert len(paid_once) >= 8, "what was answered is not paid for again"


def test_a_replay_that_failed_is_made_again_in_its_place_in_the_same_night(tmp_path: Path) -> None:
    with Evenings(tmp_path, held_out=3) as evenings:
        asked = Counter[str]()

        def fails(text: str) -> bool:
            asked[text] += "Answer well" in text
            return asked[text] in (1, 3)

        evenings.target.fails = fails
        night = evenings.night(HELPS)
        assert (night.decision, night.pairs_used, night.pairs_ignored) == ("adopt", 6, 0), "three tasks need them all"
        assert night.runs == evenings.target.answers.total()


def test_replays_that_fail_with_the_candidate_alone_are_told_of_with_their_reason(evenings: Evenings) -> None:
    asked = Counter[str]()

    def fails(text: str) -> bool:
        asked[text] += "Answer well" in text
        return asked[text] > 1

    evenings.target.fails = fails
    night = evenings.night(HELPS)
    assert (night.decision, night.pairs_used, night.pairs_ignored) == ("continue", 1, 7)
    assert f"Without a score: 0 replays with the skill before, 7 with the candidate ({BUSY})." in said(night)
    assert "Chance seldom does that: replays fail with the candidate." in said(night)
    assert f"7 with the candidate ({BUSY})" in Path(night.report).read_text()
    assert f"7 with the candidate ({BUSY})" in Path(night.page).read_text()
    assert "round is not counted" not in said(night)


@pytest.mark.parametrize(
    ("before", "after", "is_said"), [(5, 0, False), (6, 0, True), (0, 6, True), (3, 4, False), (1, 8, True)]
)
def test_losses_are_called_lopsided_where_a_coin_would_hardly_deal_them_out_so(
    before: int, after: int, *, is_said: bool
) -> None:
    pairs = [PairLine(1, "a", None, 1.0)] * before + [PairLine(1, "a", 1.0, None)] * after + [PairLine(1, "a", 1, 1)]
    assert any("Chance seldom" in sentence for sentence in losses_told(pairs, 1)) is is_said


@pytest.mark.parametrize(("before", "after", "is_refused"), [(0, 5, False), (0, 6, True), (6, 0, False), (1, 8, True)])
def test_a_candidate_that_makes_replays_fail_does_not_go_live_by_itself(
    before: int, after: int, *, is_refused: bool
) -> None:
    pairs = [PairLine(1, "a", None, 1.0)] * before + [PairLine(1, "a", 1.0, None)] * after + [PairLine(1, "a", 0, 1)]
    with pytest.raises(Refused, match=f"{after} replays failed") if is_refused else contextlib.nullcontext():
        check_losses(pairs)


def test_an_edit_that_was_refused_can_neither_act_nor_pass_for_a_line_of_the_report(evenings: Evenings) -> None:
    night = evenings.night(add("x\x1b[2J\u202e\u200b\n# Night 1: staged\n" + "long " * 10_000))
    text = Path(night.report).read_text()
    assert "\\x1b[2J" in text
    assert not {"\x1b", "\u202e", "\u200b"} & set(text)
    assert text.count("\n# Night") == 0
    assert len(text) < 4_000
