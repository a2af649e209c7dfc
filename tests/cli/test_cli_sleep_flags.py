"""What a flag of `armarius sleep` says is what happens."""

from pathlib import Path

import pytest

from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from support.session_writer import Asked, Session
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
NIGHT = ("sleep", "run", "--tasks-file", "tasks.json", "--target-skill-path", ".agents/skills/writer", "--json")
CODEX = (*NIGHT, "--backend", "codex", "--workers", "2")


@pytest.fixture
def desk(terminal: Terminal, model: ModelServer) -> Terminal:
    terminal.serve(model)
    terminal.write_tasks(SEED.training[:2], SEED.training[2:3])
    terminal.install(SEED.skill)
    return terminal


def test_a_harvest_is_of_the_project_and_the_number_of_sessions_that_were_named(terminal: Terminal) -> None:
    for number in range(4):
        asked = Asked(prompt=f'Write a brief on {number} with a section called "Risks"')
        Session(number, cwd=terminal.project, hour=number).ask(asked).write(terminal.codex_home)
    words = ("sleep", "harvest", "--lookback-hours", "0", "--json")
    here = Path(terminal.project)
    for project, most, seen in ((here, 9, 4), (here, 2, 2), (terminal.home, 9, 0)):
        done = terminal.type(*words, "--project", str(project), "--max-sessions", str(most), folder=terminal.home)
        assert (done.answer["project"], done.answer["found"]["sessions"]) == (str(project), seen)
    newest = terminal.type(*words, "--max-sessions", "2").answer["file"]["tasks"]
    assert {task["task"].split()[4] for task in newest} == {"2", "3"}


def test_each_role_has_its_model_edits_their_number_and_pairs_their_metric(desk: Terminal) -> None:
    more = ("--model", "gpt-5.5", "--optimizer-model", "gpt-5.4", "--edit-budget", "1", "--gate-metric", "hard")
    report = desk.type(*CODEX, *more).answer
    assert {(sent["purpose"], sent["model"]) for sent in report["sent"]} == {
        ("replay", "gpt-5.5"),
        ("reflection", "gpt-5.4"),
    }
    assert len(report["accepted"]) == 1
    assert {(pair["baseline"], pair["candidate"]) for pair in report["pairs"]} == {(0.0, 0.0)}, (
        "one of two checks holds"
    )


def test_codex_replays_and_somebody_else_reflects(desk: Terminal) -> None:
    done = desk.type(*CODEX, "--optimizer-backend", "handoff")
    assert (done.code, done.error["code"]) == (6, "handoff-pending")
    runs = desk.type("runs", "list", "--json").answer["runs"]
    assert {run["role"] for run in runs} == {"replay"}


def test_a_night_ends_with_its_minutes(desk: Terminal) -> None:
    done = desk.type(*CODEX, "--budget-minutes", "0.0001")
    assert (done.code, done.error["code"]) == (6, "night-budget")
    assert desk.living() == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "--on-battery"), "on-battery"),
        (("run", "--preferences", b"\xff"), "not-utf8"),
        (("adopt", "--all", "--skill", "x"), "adopt-all"),
        (("dry-run", "--auto-adopt", "--gate", "off"), "auto-adopt-ungated"),
    ],
)
def test_flags_that_say_nothing_together_are_refused(
    terminal: Terminal, words: tuple[str | bytes, ...], code: str
) -> None:
    done = terminal.type("sleep", *words, "--json")
    assert (done.code, done.error["code"], terminal.state.exists()) == (2, code, False)


def test_a_schedule_without_a_backend_says_that_its_nights_only_plan(terminal: Terminal) -> None:
    words = ("sleep", "schedule", "--method", "systemd", "--dry-run")
    assert "its nights only plan" in terminal.type(*words).out
    assert "only plan" not in terminal.type(*words, "--backend=codex").out


def test_one_line_is_planned_and_then_spent(desk: Terminal) -> None:
    more = (
        "--edit-budget",
        "1",
        "--gate-metric",
        "hard",
        "--preferences",
        "p",
        "--expect-adopt",
        "--budget-requests",
        "4",
    )
    plan = desk.type("sleep", "dry-run", *CODEX[2:], *more).answer
    assert (plan["budget"]["measure"], plan["budget"]["runs"]) == ("requests", 2)
    assert plan["runs"] == {"least": 2, "most": 2}
    assert plan["verdict"].endswith("the evidence is carried on")
    assert desk.type(*CODEX, *more).code == 6, "as it was said"
