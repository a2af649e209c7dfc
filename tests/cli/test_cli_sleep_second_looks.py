"""What a night looks at besides the scores of the gate: the hidden judge, and what judged earlier adoptions."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.evolve.tasks import Task
from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
NIGHT = ("sleep", "run", "--tasks-file", "tasks.json", "--target-skill-path", ".agents/skills/writer")
CODEX = (*NIGHT, "--backend", "codex", "--workers", "2", "--json")


def row(task: Task, split: str, **more: Any) -> dict[str, Any]:
    return msgspec.to_builtins(task) | {"split": split} | more


def rule(op: str, arg: str) -> dict[str, Any]:
    return {"kind": "rule", "checks": [{"op": op, "arg": arg}]}


def write_tasks(terminal: Terminal, *rows: dict[str, Any]) -> None:
    tasks = {"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows}
    (terminal.project / "tasks.json").write_text(json.dumps(tasks))


@pytest.fixture
def skill(terminal: Terminal, model: ModelServer) -> Path:
    terminal.serve(model)
    return terminal.install(SEED.skill)


@pytest.mark.usefixtures("skill")
def test_who_pleases_the_first_judge_alone_wins_nothing_and_never_hears_of_the_hidden_one(
    terminal: Terminal, model: ModelServer
) -> None:
    train, found_out, pleased = SEED.training[:3]
    write_tasks(
        terminal,
        row(train, "train"),
        row(found_out, "held_out", hidden_judge=rule("contains", "a named owner")),
        row(pleased, "held_out", hidden_judge=rule("contains", "Risks")),
    )
    report = terminal.type(*CODEX).answer
    scores: dict[str, list[tuple[float, float]]] = {found_out.task_id: [], pleased.task_id: []}
    for pair in report["pairs"]:
        scores[pair["task"]].append((pair["baseline"], pair["candidate"]))
    assert scores == {found_out.task_id: [(0.0, 0.0)] * 2, pleased.task_id: [(0.0, 1.0)] * 2}
    assert not any(b"a named owner" in record.body for record in model.records)


@pytest.mark.long
def test_a_candidate_that_loses_what_an_earlier_adoption_was_judged_by_is_rejected(
    terminal: Terminal, skill: Path
) -> None:
    train, judged, *others = SEED.training[:6]
    short, headed, bare = rule("contains", "in short"), rule("section_present", "Key Risks"), rule("not_contains", "##")
    write_tasks(terminal, row(train, "train", judge=short), row(judged, "held_out", judge=bare))
    assert terminal.type(*CODEX, "--gate", "off").answer["state"] == "staged"
    assert terminal.type("sleep", "adopt").code == 0
    learned = skill.read_bytes()
    assert b"in short" in learned

    write_tasks(terminal, *(row(one, "held_out" if n else "train", judge=headed) for n, one in enumerate(others)))
    report = terminal.type(*CODEX).answer
    assert report["e_value"] >= 10
    assert report["retained"] == {"tasks": 1, "lost": [judged.task_id], "unknown": []}
    assert (report["decision"], report["state"], report["reason"]) == (
        "reject",
        "nothing",
        f"it loses {judged.task_id}",
    )
    assert terminal.type("sleep", "status", "--json").answer["proposals"][0]["state"] == "adopted"
    assert skill.read_bytes() == learned
