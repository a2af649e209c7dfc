"""A world with a scripted model, and one whose runs are over and recorded, to be tampered with."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.runs.decisions import decide
from armarius.runs.records import QUERIES, RunRow
from armarius.testing.model_server import ModelServer
from support.databases import idle_databases, ledger, new_database, new_place, place, postgres_server
from support.recorded import Recorded
from support.run_world import Gate, World, script
from support.worlds import server, wheel_binary, world

__all__ = [
    "idle_databases",
    "ledger",
    "new_database",
    "new_place",
    "place",
    "postgres_server",
    "server",
    "wheel_binary",
    "world",
]


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory, wheel_binary: Binary) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("recorded")
    with ModelServer() as server:
        world = World(folder, wheel_binary, server).build()
        prompts = (
            ({"sh": "echo hello"}, {"say": "one"}),
            ({"sh": "echo two > made.txt"}, {"say": "two"}),
            ({"fault": "400"},),
        )
        with world.runner() as runner:
            runs = tuple(runner.run(world.request(script(*steps), "workspace-write")) for steps in prompts)
            row = runner.ledger.fetch_one(QUERIES.run_by_id, RunRow, id=runs[1].id)
            assert row is not None
            decide(runner.ledger, SystemClock(), row, "accepted", by="a tester", reason="it does")
        backup = folder / "backup"
        shutil.copytree(world.state, backup / "state", symlinks=True)
        shutil.copytree(world.codex_home, backup / "codex", symlinks=True)
        yield Recorded(world, runs, backup)


@pytest.fixture
def recorded(recorded_once: Recorded) -> Iterator[Recorded]:
    """The same for every test, however the one before has tampered with it."""
    yield recorded_once
    for here, kept in ((recorded_once.world.state, "state"), (recorded_once.world.codex_home, "codex")):
        shutil.rmtree(here)
        shutil.copytree(recorded_once.backup / kept, here, symlinks=True)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.close()
