"""A user with one skill and real Codex on a scripted model, for one contestant.

Owns the folders, the configuration, the ledger and what is read from the model's side. Does not own what is
done in it.
Invariant: contestants share nothing: each has its own home, CODEX_HOME, ledger and model.
"""

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import tomli_w
from scripted import Contest

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.codex.home import Owner, read_owner
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.tasks import Task
from armarius.files import private_folder, write_atomic
from armarius.identity import new_id
from armarius.runs.request import RunRequest, RunResult
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.testing.model_server import ModelServer

__all__ = ["DEADLINE_S", "Machine", "World", "world"]

DEADLINE_S = 120.0


class Machine(msgspec.Struct, frozen=True):
    """What all contestants have in common."""

    binary: Binary
    search_path: str
    workers: int
    clock: SystemClock = SystemClock()


class World(msgspec.Struct, frozen=True):
    """One contestant's."""

    folder: Path
    machine: Machine
    server: ModelServer
    contest: Contest
    ledger: Database
    runner: Runner
    owner: Owner

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def skill(self) -> Path:
        return _skill_in(self.folder)

    @property
    def state(self) -> Path:
        return self.folder / "armarius"

    @property
    def tokens(self) -> int:
        """What the model told Codex that everything so far cost."""
        return sum(usage.total for usage in self.server.usage.values())

    def lab(self, name: str) -> Lab:
        """Where replays of this contestant are made."""
        return Lab(
            experiment=new_id(name, self.machine.clock),
            folder=private_folder(self.state / "replays"),
            skill_folder=self.skill.parent,
            owner=self.owner,
            search_path=self.machine.search_path,
            codex_version=self.machine.binary.version,
            environ={},
            model=self.owner.model,
            deadline_s=DEADLINE_S,
        )

    def run(self, requests: Sequence[RunRequest]) -> list[RunResult]:
        with closing(in_order(self.runner, requests, self.machine.workers)) as coming:
            return list(coming)

    def replayed(self, lab: Lab, tasks: Sequence[Task], arm: str) -> list[Trial]:
        """Each task once, with the skill file as it lies there."""
        skill = self.skill.read_bytes()
        results = self.run([request_for(lab, task, skill, arm=arm, replicate=1) for task in tasks])
        return [trial_of(task, result) for task, result in zip(tasks, results, strict=True)]


@contextmanager
def world(folder: Path, machine: Machine, contest: Contest, skill: str) -> Generator[World]:
    """A world with this skill installed, for the length of a block."""
    home, codex_home, path = folder / "home", folder / "home" / ".codex", _skill_in(folder)
    for one in (folder, home, codex_home, path.parent, folder / "armarius"):
        private_folder(one)
    write_atomic(path, skill.encode())
    with ModelServer(contest) as server:
        provider = {"name": "Scripted", "base_url": server.base_url, "wire_api": "responses"}
        provider |= {"request_max_retries": 1, "stream_max_retries": 1}
        config = {"model": "gpt-5.5", "model_provider": "scripted", "model_providers": {"scripted": provider}}
        write_atomic(codex_home / "config.toml", tomli_w.dumps(config).encode())
        with closing(open_ledger(folder / "armarius" / "ledger.sqlite", machine.clock)) as ledger:
            runner = Runner(ledger, machine.clock, folder / "armarius" / "runs", machine.binary, {})
            yield World(folder, machine, server, contest, ledger, runner, read_owner(codex_home))


def _skill_in(folder: Path) -> Path:
    return folder / "project" / ".agents" / "skills" / "writer" / "SKILL.md"
