"""A forecast is for the choices that a night would get."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("choices", "least", "most"),
    [
        ({}, TRAIN + 1 + 12, TRAIN + 1 + ROUND),
        ({"rollouts": 3}, 3 * TRAIN + 1 + 12, 3 * TRAIN + 1 + ROUND),
        ({"reflects_by": "openai"}, TRAIN + 12, TRAIN + ROUND),
        ({"gate": False}, TRAIN + 1, TRAIN + 1),
        ({"undecided": 1}, TRAIN + 1 + 2, TRAIN + 1 + 2 * ROUND),
        ({"undecided": 9}, TRAIN + 1 + 2, TRAIN + 1 + 3 * ROUND),
    ],
)
def test_runs_follow_from_the_choices_and_from_who_is_undecided(
    choices: dict[str, object], least: int, most: int
) -> None:
    plan = planned(**choices)
    assert (plan.runs.least, plan.runs.most) == (least, most)
    assert plan.undecided == choices.get("undecided", 0)


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
