"""`armarius sleep run --target-backend`: replays that no Codex takes part in, and what may be said of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from support.terminal import Done, Terminal

SEED = benchmarks.load("seed-missing-structure")
TOOLS = benchmarks.load("seed-no-brain-first")
TRAIN, HELD_OUT = SEED.training[:2], SEED.training[2:5]
NIGHT = ("sleep", "run", "--tasks-file", "tasks.json", "--target-skill-path", ".agents/skills/writer", "--json")
BOTH = ("--target-backend", "openai", "--backend", "openai", "--model", "big")
HEADING = 'Give each answer a section with the heading "Key Risks".'
Check = Callable[[Any], None]


@pytest.fixture
def skill(terminal: Terminal, model: ModelServer) -> Path:
    terminal.serve(model)
    terminal.write_tasks(TRAIN, HELD_OUT)
    return terminal.install(SEED.skill)


def ask(terminal: Terminal, model: ModelServer, *words: str) -> Done:
    environ = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": model.base_url}
    return terminal.type(*NIGHT, *words, environ=environ)


def test_a_model_without_tools_replays_what_needs_none_and_the_report_says_what_that_proves(
    terminal: Terminal, model: ModelServer, skill: Path, check: Check
) -> None:
    done = ask(terminal, model, *BOTH, "--target-model", "small", "--budget-requests", "5", "--workers", "1")
    assert (done.code, done.error["code"]) == (6, "night-budget"), done.err
    assert model.requests == 5 + 1, "the one reflection is not in the budget"

    report = ask(terminal, model, *BOTH, "--target-model", "small", "--workers", "1").answer
    check(report)
    assert (report["number"], report["decision"], report["state"]) == (1, "adopt", "staged")
    assert (report["pairs_used"], report["without_codex"]) == (6, model.base_url)
    assert model.requests == report["responses"] + 1, "nothing twice, and one reflection besides"
    assert report["usage"]["input"] > 0
    assert {(sent["to"], sent["model"], sent["purpose"]) for sent in report["sent"]} == {
        (model.base_url, "small", "replay")
    }, "the reflection was sent by the invocation before"
    for page in (report["report"], report["page"]):
        assert "Whether Codex finds the skill" in Path(page).read_text()

    assert any(
        "Whether Codex finds" in line for line in terminal.type("sleep", "explain", "--json").answer["sentences"]
    )

    bodies = [record.request() for record in model.records]
    assert not any("tools" in body for body in bodies)
    handed = [body["input"][0]["content"][0]["text"] for body in bodies if body["model"] == "small"]
    assert all(text.startswith("<skill>\n<name>writer</name>") for text in handed)
    assert {HEADING in text for text in handed} == {True, False}
    runs = terminal.type("runs", "list", "--json", "--limit", "100").answer["runs"]
    assert {(run["role"], run["state"], run["model"]) for run in runs} == {("replay", "succeeded", "small")}
    shown = terminal.type("runs", "show", runs[0]["id"], "--json").answer
    check(shown)
    assert terminal.type("audit", "verify", "--json").answer["receipts"] == len(runs), "each of them sealed"
    assert skill.read_bytes() == SEED.skill


def test_answers_come_from_whoever_writes_them_and_are_judged_by_nobody(
    terminal: Terminal, model: ModelServer, skill: Path, check: Check
) -> None:
    words = ("--target-backend", "handoff", "--backend", "handoff", "--gate", "off", "--rollouts-k", "2")
    done = terminal.type(*NIGHT, *words)
    assert (done.code, done.error["code"]) == (6, "handoff-pending"), done.err
    assert done.error["message"].startswith("4 answers are waited for")
    questions = sorted((terminal.state / "handoff").glob("*.prompt.md"))
    assert len(questions) == 4, "each try of each task has a question of its own"
    assert all(SEED.skill.decode() in question.read_text() for question in questions)
    for question in questions[:3]:
        question.with_name(question.name.replace("prompt", "answer")).write_text("Ship it.\n")
    assert terminal.type(*NIGHT, *words).error["message"].startswith("1 answers are waited for")
    questions[3].with_name(questions[3].name.replace("prompt", "answer")).write_text("Ship it.\n")

    assert terminal.type(*NIGHT, *words).error["code"] == "handoff-pending"
    [reflection] = (terminal.state / "handoff").glob("*.schema.json")
    edits = [{"op": "add", "anchor": None, "text": HEADING, "why": "w", "tasks": [TRAIN[0].task_id]}]
    answer = reflection.with_name(reflection.name.replace("schema", "answer"))
    answer.write_text(json.dumps({"edits": edits}))
    report = terminal.type(*NIGHT, *words).answer
    check(report)
    assert (report["state"], report["decision"], report["without_codex"]) == ("staged", "ungated", "by hand")
    assert model.requests == 0
    assert skill.read_bytes() == SEED.skill


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("--target-backend", "handoff", "--backend", "codex"), 2, "handoff-gate"),
    (("--target-backend", "openai", "--backend", "codex", "--auto-adopt"), 2, "auto-adopt-direct"),
    (("--target-backend", "openai", "--backend", "codex", "--model", "m"), 4, "no-key"),
]


@pytest.mark.parametrize(("words", "code", "error"), REFUSED)
@pytest.mark.usefixtures("skill")
def test_what_cannot_be_said_honestly_is_refused_before_anything_is_asked(
    terminal: Terminal, model: ModelServer, words: tuple[str, ...], code: int, error: str
) -> None:
    done = terminal.type(*NIGHT, *words)
    assert (done.code, done.error["code"], model.requests) == (code, error, 0)


@pytest.mark.usefixtures("skill")
def test_a_task_that_needs_tools_is_not_put_to_a_model_that_has_none(terminal: Terminal, model: ModelServer) -> None:
    terminal.write_tasks(TRAIN, (*HELD_OUT, TOOLS.training[7]))
    done = ask(terminal, model, *BOTH, "--target-model", "small")
    assert (done.code, done.error["code"], model.requests) == (3, "target-tools", 0)
    assert "1 of 6 tasks need Codex, such as bm-008: a check is about tools" in done.error["message"]
