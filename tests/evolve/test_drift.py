"""Which turns are uses of an adopted skill, and what is said when they go wrong."""

from pathlib import Path

import msgspec
import pytest

from armarius.evolve.drift import drift_lines
from armarius.evolve.episodes import Episode, Skill
from armarius.evolve.records import ProposalRow

ADOPTED_US = 1_000


def use(at_us: int, skill: Skill, *, wrong: bool) -> Episode:
    return Episode(
        thread_id="t",
        turn_id=f"turn_{at_us}",
        number=1,
        at_us=at_us,
        prompt="do",
        answer="done",
        state="failed" if wrong else "completed",
        cwd="/work",
        git_commit=None,
        skills=(skill,),
    )


@pytest.fixture
def row(tmp_path: Path) -> ProposalRow:
    target = tmp_path / "writer" / "SKILL.md"
    target.parent.mkdir()
    target.write_text("x")
    return ProposalRow("prop_1", "night_1", str(target), "a", "b", "", "adopt", 12.0, "adopted", 1, ADOPTED_US)


def test_a_skill_that_goes_wrong_after_its_adoption_is_to_be_rolled_back(row: ProposalRow) -> None:
    skill = Skill("writer", row.target_path)
    before = [use(n, skill, wrong=n % 10 == 0) for n in range(1, 41)]
    after = [use(ADOPTED_US + n, skill, wrong=True) for n in range(20)]
    [line] = drift_lines([row], [*after, *before])
    assert (line.seen.before, line.seen.wrong_before, line.seen.after, line.seen.wrong_after) == (40, 4, 20, 20)
    assert line.seen.alarm
    assert line.advice == "it goes wrong more often than before: armarius sleep rollback prop_1"
    [well] = drift_lines([row], [*before, *(msgspec.structs.replace(one, state="completed") for one in after)])
    assert (well.seen.alarm, well.advice) == (False, "")


@pytest.mark.parametrize(
    ("skill", "counts"),
    [
        (Skill("writer"), True),
        (Skill("reader"), False),
        (Skill("other name", "HERE"), True),
        (Skill("writer", "/elsewhere/writer/SKILL.md"), False),
    ],
)
def test_a_use_is_the_file_itself_or_its_name(row: ProposalRow, skill: Skill, *, counts: bool) -> None:
    if skill.path == "HERE":
        skill = Skill(skill.name, row.target_path)
    [line] = drift_lines([row], [use(ADOPTED_US + 1, skill, wrong=True)])
    assert line.seen.after == int(counts)
