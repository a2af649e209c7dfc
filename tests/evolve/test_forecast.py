"""A forecast is for the choices that a night would get."""

from pathlib import Path

import pytest

from armarius.budget import Budget
from armarius.evolve.forecast import Choices, Forecast, forecast
from armarius.evolve.targets import Target
from armarius.evolve.tasks import Task
from armarius.testing import benchmarks

TRAINING = benchmarks.load("seed-missing-structure").training
TOOLS = benchmarks.load("seed-no-brain-first").training


def planned(*tasks: Task, **choices: object) -> Forecast:
    return forecast(
        tasks or TRAINING,
        project=Path("/p"),
        target=Target(Path("/p/SKILL.md"), "named"),
        skill_bytes=100,
        choices=Choices(**choices),  # type: ignore[arg-type]
        reviewed=True,
    )


PLAIN = planned()
TRAIN, HELD_OUT = PLAIN.train_tasks, PLAIN.held_out_tasks
ROUND = 2 * 2 * HELD_OUT
APART = 4 * 4
"""Each of four edits is left out on four tasks."""


@pytest.mark.parametrize(
    ("choices", "least", "most"),
    [
        ({}, TRAIN + 1 + 12, TRAIN + 1 + ROUND + APART),
        ({"edits": 1}, TRAIN + 1 + 12, TRAIN + 1 + ROUND),
        ({"edits": 1, "kept": 3}, TRAIN + 1 + 12 + 3, TRAIN + 1 + ROUND + 12),
        ({"rollouts": 3}, 3 * TRAIN + 1 + 12, 3 * TRAIN + 1 + ROUND + APART),
        ({"reflects_by": "openai"}, TRAIN + 12, TRAIN + ROUND + APART),
        ({"gate": False}, TRAIN + 1, TRAIN + 1),
        ({"undecided": 1}, TRAIN + 1 + 2, TRAIN + 1 + 2 * ROUND + APART),
        ({"undecided": 9}, TRAIN + 1 + 2, TRAIN + 1 + 3 * ROUND + APART),
    ],
)
def test_runs_follow_from_the_choices_and_from_who_is_undecided(
    choices: dict[str, object], least: int, most: int
) -> None:
    plan = planned(**choices)
    assert (plan.runs.least, plan.runs.most) == (least, most)
    assert plan.undecided == choices.get("undecided", 0)


EACH = PLAIN.tokens.least / PLAIN.runs.least
LEAST, MOST = TRAIN + 1 + 12, TRAIN + 1 + ROUND + APART


@pytest.mark.parametrize(
    ("budget", "workers", "least", "most", "says"),
    [
        (Budget(tokens=int(EACH * 5)), 1, 5, 5, f"ends the night after about 5 of at least {LEAST} runs, undecided"),
        (Budget(tokens=1), 1, 1, 1, "the budget of 1 tokens ends the night after about 1 of"),
        (Budget(requests=2 * LEAST), 1, LEAST, LEAST, f"after about {LEAST} runs, if it needs more of its {MOST}"),
        (Budget(minutes=1), 1, 4, 4, "the budget of 1 minutes ends the night after about 4 of"),
        (Budget(minutes=1), 3, 12, 12, "after about 12 of"),
        (Budget(tokens=10**9, minutes=1), 1, 4, 4, "minutes"),
        (Budget(tokens=10**12), 1, LEAST, MOST, "is enough for all of it"),
    ],
)
def test_a_plan_says_what_its_budget_allows_and_where_it_ends_the_night(
    budget: Budget, workers: int, least: int, most: int, says: str
) -> None:
    plan = planned(budget=budget, workers=workers)
    assert plan.budget
    assert (plan.runs.least, plan.runs.most) == (least, most)
    assert says in plan.budget.sentence
    assert plan.tokens.most <= (budget.tokens or most * EACH)
    assert plan.minutes.most <= (budget.minutes or plan.minutes.most)
    assert ("can certify tonight" in plan.verdict) is not plan.budget.ends_it


@pytest.mark.parametrize(
    ("choices", "replays", "reflection"),
    [
        ({"backend": "openai", "reflects_by": "openai", "reflects_on": "big"}, "the model of your Codex", "big at the"),
        ({"replays_by": "openai", "replays_on": "small"}, "small at the endpoint", "the model of your Codex"),
        ({"replays_by": "handoff", "gate": False}, "a folder, for you", "the model of your Codex"),
    ],
)
def test_what_is_sent_goes_to_whoever_was_chosen(choices: dict[str, object], replays: str, reflection: str) -> None:
    to = [one.to for one in planned(**choices).sent]
    assert (to[0].startswith(replays), to[1].startswith(reflection)) == (True, True), to


def test_tasks_that_need_codex_are_named_where_somebody_else_would_replay_them() -> None:
    assert planned(*TOOLS).notes == ()
    [note] = planned(*TOOLS, replays_by="openai").notes
    assert "tasks need Codex" in note
    assert "a check is about tools" in note
