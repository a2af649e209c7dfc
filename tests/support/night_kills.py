"""A night that is killed when the model gets its n-th request, and goes on."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from armarius.testing import benchmarks
from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.night_world import SEED, World
from support.prefork import Forked

__all__ = ["comes_to_the_same_end", "undisturbed"]


class Sniper:
    """A model that answers as the scripted one does, and kills a process when a given request arrives."""

    def __init__(self) -> None:
        self._model = ScriptedModel()
        self._lock = threading.Lock()
        self._count = 0
        self.victim: Forked | None = None
        self.at: int | None = None

    def __call__(self, conversation: Conversation) -> Reply:
        with self._lock:
            self._count += 1
            if self._count == self.at and self.victim is not None:
                os.kill(self.victim.pid, signal.SIGKILL)
        return self._model(conversation)


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on a kill. Ids, folders and the order of tasks belong to one world alone."""
    own = {"id", "experiment", "folder", "report", "page", "diff", "proposal", "target"}
    spent = {"duration_us", "runs", "responses", "usage", "sent"}
    rest = {key: value for key, value in report.items() if key not in own | spent}
    heard = [{**one, "id": "", "pairs": scores(one)} for one in report["candidates"]]
    return rest | {"pairs": scores(report), "candidates": heard}


def scores(told: dict[str, Any]) -> list[tuple[float | None, float | None]]:
    return [(pair["baseline"], pair["candidate"]) for pair in told["pairs"]]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    home = {name: str(folder / name) for name in ("HOME", "CODEX_HOME", "ARMARIUS_HOME", "XDG_CACHE_HOME")}
    Path(home["CODEX_HOME"]).mkdir()
    with ModelServer() as server:
        return comparable(World(folder, home, server).night())


def comes_to_the_same_end(request_number: int, folder: Path, home: dict[str, str], expected: dict[str, Any]) -> None:
    """The night ends as an undisturbed one did, and repeats no finished run."""
    sniper = Sniper()
    with ModelServer(sniper) as server:
        world = World(folder, home, server)
        with world.start() as victim:
            sniper.victim, sniper.at = victim, request_number
            victim.communicate(timeout=120)
        assert victim.returncode == -signal.SIGKILL
        report = world.night()
        spent = server.requests
        assert world.night() == report
        assert server.requests == spent, "what is staged is not worked out again"
        runs, attempts = world.rows()

    assert comparable(report) == expected
    assert report["decision"] == "adopt"
    succeeded = [attempt["run_id"] for attempt in attempts if attempt["outcome"] == "succeeded"]
    assert sorted(succeeded) == [run.id for run in runs]
    # What the model was asked for is what the ledger's runs used: nothing was paid twice or lost.
    assert server.requests == sum(run.outcome.responses for run in runs if run.outcome)
    assert report["responses"] == server.requests, "the report counts what was spent before the kill, too"
    assert sum(report["usage"][name] for name in ("input", "output")) == sum(one.total for one in server.usage.values())
    assert world.skill.read_bytes() == benchmarks.load(SEED).skill
