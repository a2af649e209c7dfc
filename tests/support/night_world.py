"""A user's project with a deficient skill and a task file, and the night that works on it.

Owns the set-up for tests of whole nights, which run in a process of their own on real Codex. Does
not own the model that answers.
"""

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import SystemClock
from armarius.runs.records import RunRow
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query
from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from support import prefork
from support.codex_config import codex_config
from support.prefork import Forked

SEED = "seed-missing-structure"
ALL_RUNS = Query("all_runs", "Every run.", "SELECT * FROM run ORDER BY id")
ALL_ATTEMPTS = Query(
    "all_attempts", "Every attempt.", "SELECT run_id, number, outcome FROM attempt ORDER BY run_id, number"
)


class World:
    """A project with a deficient skill and a task file, and the environment of a user."""

    def __init__(
        self, folder: Path, home: dict[str, str], server: ModelServer, *, train: int = 2, held_out: int = 4
    ) -> None:
        self.home = home | {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
        self.server = server
        self.project = folder / "project"
        self.skill = self.project / ".agents" / "skills" / "writer" / "SKILL.md"
        self.skill.parent.mkdir(parents=True)
        seed = benchmarks.load(SEED)
        self.skill.write_bytes(seed.skill)
        rows = [
            msgspec.to_builtins(task) | {"split": "train" if n < train else "held_out"}
            for n, task in enumerate(seed.training[: train + held_out])
        ]
        self.tasks = self.project / "tasks.json"
        self.tasks.write_text(json.dumps({"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows}))
        Path(home["CODEX_HOME"], "config.toml").write_text(codex_config(server.base_url))

    def start(self) -> Forked:
        words = ["sleep", "run", "--backend", "codex", "--tasks-file", "tasks.json", "--json"]
        words += ["--target-skill-path", str(self.skill), "--workers", "2"]
        return prefork.ARMARIUS.start(words, self.project, self.home)

    def night(self) -> dict[str, Any]:
        with self.start() as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    def rows(self) -> tuple[list[RunRow], list[dict[str, Any]]]:
        with closing(open_ledger(Path(self.home["ARMARIUS_HOME"]) / "ledger.sqlite", SystemClock())) as ledger:
            return ledger.fetch(ALL_RUNS, RunRow), ledger.fetch(ALL_ATTEMPTS)
