"""`armarius sleep run` on other terms: who reflects, what may be spent, what may not be lost, what becomes live."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.testing import benchmarks
from armarius.testing.conversation import Conversation
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Shell
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
TRAIN, HELD_OUT = SEED.training[:2], SEED.training[2:5]
NIGHT = ("sleep", "run", "--tasks-file", "tasks.json", "--target-skill-path", ".agents/skills/writer", "--workers", "2")
CODEX = (*NIGHT, "--backend", "codex", "--json")
Check = Callable[[Any], None]

HEADING = 'Give each answer a section with the heading "Key Risks".'
CLOSING = 'Close each answer with a line that starts with "Confidence: ", then your own estimate.'


@pytest.fixture
def skill(terminal: Terminal, model: ModelServer) -> Path:
    terminal.serve(model)
    terminal.write_tasks(TRAIN, HELD_OUT)
    return terminal.install(SEED.skill)


def edit(text: str, *tasks: str) -> dict[str, Any]:
    return {"op": "add", "anchor": None, "text": text, "why": "they failed", "tasks": list(tasks)}


def test_whoever_answers_the_file_reflects_and_what_was_turned_down_is_remembered(
    terminal: Terminal, skill: Path, check: Check
) -> None:
    night = (*NIGHT, "--backend", "handoff", "--rollouts-k", "2", "--preferences", "Be kind.", "--json")
    done = terminal.type(*night)
    assert (done.code, done.error["code"]) == (6, "handoff-pending")
    [question] = (terminal.state / "handoff").glob("*.prompt.md")
    assert '"tries": 2' in question.read_text()
    assert '"preferences": "Be kind."' in question.read_text()
    assert not any(task.task_id in question.read_text() for task in HELD_OUT)
    ids = [task.task_id for task in TRAIN]
    edits = [edit(HEADING, *ids), edit(CLOSING, *ids), edit("Be nice."), edit(r"Match [Cc]onfidence\s*[:=]", *ids)]
    question.with_name(question.name.replace("prompt.md", "answer.json")).write_text(json.dumps({"edits": edits}))

    report = terminal.type(*night).answer
    check(report)
    assert (report["state"], report["decision"]) == ("staged", "adopt")
    assert report["accepted"] == [f"add {HEADING}", f"add {CLOSING}"]
    refused = sorted(report["rejected"])
    assert refused[0].startswith("add Be nice. (neither a failed check that is exact nor two tasks")
    assert "it repeats a pattern of the judge" in refused[1]
    assert [(share["edit"], share["with_it"]) for share in report["shares"]] == [
        (f"add {HEADING}", 1.0),
        (f"add {CLOSING}", 1.0),
    ]
    assert all(share["without_it"] < 1.0 for share in report["shares"])
    assert {sent["purpose"] for sent in report["sent"]} == {"replay"}
    page = Path(report["page"]).read_text()
    assert "<svg" in page
    assert "Key Risks" in page

    assert terminal.type("sleep", "reject", "--reason", "not our voice").code == 0
    done = terminal.type(*night)
    assert (done.code, done.error["code"]) == (6, "handoff-pending")
    [second] = set((terminal.state / "handoff").glob("*.prompt.md")) - {question}
    told = json.loads(second.read_text().partition("```json\n")[2].partition("\n```")[0])["rejected"]
    assert told == [f"add {HEADING}", f"add {CLOSING}"]
    second.with_name(second.name.replace("prompt.md", "answer.json")).write_text(json.dumps({"edits": edits[:2]}))
    again = terminal.type(*night).answer
    assert (again["state"], again["accepted"]) == ("nothing", [])
    assert all("this very text was judged before" in line for line in again["rejected"])
    assert skill.read_bytes() == SEED.skill


@pytest.mark.long
def test_without_the_gate_a_candidate_is_staged_unjudged_and_says_so(
    terminal: Terminal, skill: Path, check: Check
) -> None:
    done = terminal.type(*CODEX, "--gate", "off", "--auto-adopt")
    assert (done.code, done.error["code"]) == (2, "auto-adopt-ungated")
    report = terminal.type(*CODEX, "--gate", "off").answer
    check(report)
    assert (report["state"], report["decision"], report["pairs"]) == ("staged", "ungated", [])
    assert "Nobody has measured" in Path(report["report"]).read_text()
    [proposal] = terminal.type("sleep", "status", "--json").answer["proposals"]
    assert (proposal["decision"], proposal["e_value"]) == ("ungated", 1.0)
    assert skill.read_bytes() == SEED.skill


class Loop:
    """Threat 32: a model that never comes to an end."""

    def __call__(self, _conversation: Conversation) -> Reply:
        return Reply((Shell("true"),))


@pytest.mark.long
@pytest.mark.parametrize("budget", [("--budget-requests", "6"), ("--budget-tokens", "2000")])
def test_a_model_that_loops_for_ever_is_stopped_at_the_budget(
    terminal: Terminal, skill: Path, budget: tuple[str, str]
) -> None:
    with ModelServer(Loop()) as server:
        terminal.serve(server)
        done = terminal.type(*CODEX, *budget)
        assert (done.code, done.error["code"]) == (6, "night-budget"), done.err
        assert "of the budget" in done.error["message"]
        assert terminal.living() == []
    [night] = terminal.type("sleep", "status", "--json").answer["nights"]
    assert night["state"] == "open"
    assert skill.read_bytes() == SEED.skill


@pytest.mark.usefixtures("skill")
def test_a_night_that_stopped_at_its_budget_goes_on_and_pays_nothing_twice(
    terminal: Terminal, model: ModelServer
) -> None:
    done = terminal.type(*CODEX, "--budget-requests", "9")
    assert (done.code, done.error["code"]) == (6, "night-budget")
    report = terminal.type(*CODEX).answer
    assert (report["number"], report["state"], report["pairs_used"], report["pairs_ignored"]) == (1, "staged", 6, 0)
    runs = terminal.type("runs", "list", "--json", "--limit", "100").answer["runs"]
    assert {run["state"] for run in runs} == {"succeeded"}
    assert model.requests >= report["responses"]


def test_a_candidate_that_loses_what_must_not_be_lost_is_rejected(terminal: Terminal, skill: Path) -> None:
    file = terminal.project / "tasks.json"
    tasks = json.loads(file.read_text())
    never = {"kind": "rule", "checks": [{"op": "not_contains", "arg": "Key Risks"}]}
    tasks["tasks"].append({"task_id": "never", "task": "Say hello to Ada.", "judge": never, "split": "safety"})
    file.write_text(json.dumps(tasks))
    done = terminal.type(*CODEX, "--expect-adopt")
    report = msgspec.json.decode(done.out)
    assert (done.code, done.error["code"]) == (1, "not-adopted")
    assert (report["decision"], report["state"], report["reason"]) == ("reject", "nothing", "it loses never")
    assert report["e_value"] >= 10
    assert report["retained"] == {"tasks": 1, "lost": ["never"], "unknown": []}
    assert terminal.type("sleep", "status", "--json").answer["proposals"] == []
    assert skill.read_bytes() == SEED.skill


def test_what_is_certified_becomes_live_at_once_when_that_was_asked_for(terminal: Terminal, skill: Path) -> None:
    terminal.write_tasks(TRAIN[:1], HELD_OUT[:1])
    done = terminal.type(*CODEX, "--auto-adopt", "--expect-adopt")
    assert (done.code, done.error["code"]) == (6, "undecided")
    assert skill.read_bytes() == SEED.skill
    terminal.write_tasks(TRAIN, HELD_OUT)
    done = terminal.type(*CODEX, "--auto-adopt", "--expect-adopt", "--progress")
    assert (done.code, json.loads(done.out)["decision"]) == (0, "adopt")
    assert "pairs 6/6\n" in done.err
    assert done.err.splitlines()[-1].startswith("adopted prop_")
    assert b"Key Risks" in skill.read_bytes()
    assert terminal.type("sleep", "rollback").code == 0
    assert skill.read_bytes() == SEED.skill


@pytest.mark.long
def test_a_projects_memory_is_judged_as_codex_reads_it_and_nothing_else_is_touched(
    terminal: Terminal, skill: Path
) -> None:
    memory = terminal.project / "AGENTS.md"
    memory.write_bytes(b"Be brief.\r\nNo newline at the end")
    terminal.write_tasks(TRAIN[:1], HELD_OUT[:1])
    words = [str(memory) if word == ".agents/skills/writer" else word for word in CODEX]
    with ModelServer() as server:
        terminal.serve(server)
        report = terminal.type(*words).answer
        asked = [record.body.decode() for record in server.records]
    assert (report["decision"], report["accepted"] != [], report["pairs_used"]) == ("continue", True, 2)
    replays = [text for text in asked if "ARMARIUS REFLECTION" not in text]
    assert all("# AGENTS.md instructions" in text and "Be brief." in text for text in replays)
    learned = [text for text in replays if "## Learned rules" in text]
    assert len(learned) == 2, "the candidate's two replays, and nobody else's"
    assert not any("- writer:" in text for text in replays)
    diff = Path(report["diff"]).read_bytes()
    assert b"-No newline at the end" in diff
    assert b"<!-- armarius:learned start -->\r\n" in diff
    assert memory.read_bytes() == b"Be brief.\r\nNo newline at the end"
    assert skill.read_bytes() == SEED.skill
