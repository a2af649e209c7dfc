"""Nights in this process: a skill, tasks, somebody who answers by the text alone, and an optimizer who says its lines.

Owns the set-up and the two players. Does not own the night: it is the real one, on a real ledger.
Invariant: an answer follows from the text and the task; what was answered is counted, and asked for once.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import msgspec

from armarius.codex.binary import Binary
from armarius.codex.home import Login, Owner
from armarius.dispatch.runner import Runner
from armarius.evolve.directly import Question, Reply
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.report import NightReport, Sent
from armarius.evolve.tasks import parse_tasks
from armarius.files import write_atomic
from armarius.store.ledger import open_ledger
from armarius.testing.clock import FakeClock
from armarius.thread import Usage

__all__ = ["Evenings", "add", "answers_well", "replace"]

SKILL = "---\nname: x\ndescription: Answers.\n---\n# X\n"


def add(text: str) -> dict[str, Any]:
    return {"op": "add", "anchor": None, "text": text, "why": "it failed", "tasks": ["train-0", "train-1"]}


def replace(anchor: str, text: str) -> dict[str, Any]:
    return add(text) | {"op": "replace", "anchor": anchor}


def answers_well(*tasks: str) -> str:
    """A rule with which these tasks are answered as they should be."""
    return f"Answer well in {' and '.join(tasks)}."


class _Lines:
    """The optimizer: says one line a night, whatever it is told; `heard` is what it was told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.line: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        assert schema
        block = re.search(r"^```json\n(.*?)\n```", prompt, re.DOTALL | re.MULTILINE)
        assert block
        self.heard.append(json.loads(block[1]))
        return {"edits": self.line}


class _ByRule:
    """Answers `good` where the text says so, and not at all to a text of which `fails` holds.

    After `patience` answers it falls silent once, as a killed process.
    """

    name = "by rule"
    model: str | None = "rules"

    def __init__(self) -> None:
        self.answers = Counter[str]()
        self.patience: int | None = None
        self.fails: Callable[[str], bool] = lambda _text: False

    def put(self, folder: Path, question: Question) -> None:
        write_atomic(folder / "question.json", msgspec.json.encode(question))

    def answer(self, folder: Path) -> Reply:
        if self.patience == 0:
            self.patience = None
            raise KeyboardInterrupt
        if self.patience is not None:
            self.patience -= 1
        self.answers[folder.name] += 1
        question = msgspec.json.decode((folder / "question.json").read_bytes(), type=Question)
        if self.fails(question.text):
            return Reply(why="the provider is busy")
        task = question.task.split()[-1]
        is_good = any(task in rule.split() for rule in re.findall(r"Answer well in (.*)\.", question.text))
        return Reply("good" if is_good else "bad", Usage(input=1, output=1), 1)


class Evenings:
    """Night after night on one skill."""

    def __init__(self, folder: Path, *, held_out: int) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.ledger = open_ledger(folder / "ledger.sqlite", self.clock)
        self.skill = folder / "skills" / "x" / "SKILL.md"
        self.skill.parent.mkdir(parents=True)
        self.skill.write_text(SKILL)
        self.optimizer, self.target = _Lines(), _ByRule()
        self.splits: dict[str, str] = dict.fromkeys(("train-0", "train-1"), "train")
        self.splits |= {f"judge-{n}": "held_out" for n in range(held_out)}
        self.checks = [{"op": "exact", "arg": "good"}]

    def night(self, *line: dict[str, Any], gate: bool = True, edit_budget: int = 4) -> NightReport:
        """One night, in which the optimizer says `line`."""
        self.clock.advance(60_000_000)
        self.optimizer.line = list(line)
        order = NightOrder(
            project=self.folder,
            target=self.skill,
            tasks=parse_tasks(self._rows()),
            owner=Owner(self.folder, Login("none")),
            search_path="",
            codex_version="",
            workers=1,
            gate=gate,
            edit_budget=edit_budget,
        )
        runner = Runner(self.ledger, self.clock, self.folder / "runs", Binary("", "", "", frozenset()), {})
        return Night(
            order,
            runner=runner,
            ledger=self.ledger,
            clock=self.clock,
            home=self.folder,
            think=self.optimizer,
            directly=self.target,
        ).run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with closing(self.ledger):
            pass

    def _rows(self) -> bytes:
        judge = {"kind": "rule", "checks": self.checks}
        rows = [
            {"task_id": name, "task": f"{_unlike(name)} {name}", "judge": judge, "split": split}
            for name, split in self.splits.items()
        ]
        return json.dumps({"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows}).encode()


def _unlike(name: str) -> str:
    """Words that no other task has."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return " ".join(digest[place : place + 8] for place in range(0, 64, 8))
