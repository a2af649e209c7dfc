"""A thousand runs of real Codex with workers killed -9 at random, and a server that is restarted under load."""

import contextlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from support.databases import running_postgres
from support.queue_world import QueueWorld
from support.run_world import World

RUNS = int(os.environ.get("ARMARIUS_LONG_RUNS", "1000"))
ROUND = 100


@pytest.fixture(params=["sqlite", "postgres"])
def queue(request: pytest.FixtureRequest, world: World) -> Iterator[QueueWorld]:
    give: Callable[[], str] | None = None
    if request.param == "postgres":
        give = request.getfixturevalue("new_database")
    with contextlib.closing(QueueWorld(world, give() if give else None)) as queue:
        yield queue


def test_nothing_is_lost_repeated_or_doubled(queue: QueueWorld) -> None:
    """Half of all on each database, in rounds whose seeds differ; every round is added to those before."""
    runs, killed = list[str](), 0
    for number in range(max(1, RUNS // 2 // ROUND)):
        runs += queue.hand_in(min(ROUND, RUNS // 2), first=len(runs))
        with queue.ledger() as ledger:
            killed += queue.kill_at_random(ledger, seed=100 + number, kills=20, workers=3)
    assert killed >= 20
    queue.check_all_done_once(runs)


def pg_ctl(folder: Path, *words: str) -> None:
    """Steer the server in a folder, as the user who owns it."""
    [program] = {*folder.glob("site/*/pginstall*/bin/pg_ctl")} or {Path("pg_ctl")}
    owner = (folder / "data").stat().st_uid
    subprocess.run(
        [program, "-D", folder / "data", "-w", *words], check=True, user=owner, cwd=folder, stdout=subprocess.DEVNULL
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="the server's programs are found where root's copy lies")
def test_a_server_that_is_restarted_under_load_costs_no_run(world: World) -> None:
    chance = random.Random(5)
    with running_postgres() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        place = f"postgresql://postgres@/shared?host={name}"
        with psycopg.connect(f"postgresql://postgres@/postgres?host={name}", autocommit=True) as server:
            server.execute("CREATE DATABASE shared")
        stack.callback(pg_ctl, folder, "-m", "immediate", "stop")
        queue = stack.enter_context(contextlib.closing(QueueWorld(world, place)))
        runs = queue.hand_in(60)
        workers = [queue.worker("--jobs", "4") for _ in range(2)]
        for worker in workers:
            worker.ready()
        for _ in range(4):
            wanted = len(world.server.records) + chance.randint(3, 9)
            while len(world.server.records) < min(wanted, len(runs)):
                assert [worker.process.poll() for worker in workers] == [None, None]
            pg_ctl(folder, "-m", chance.choice(["fast", "immediate"]), "restart")
        with queue.ledger() as ledger:
            for _ in queue.events(ledger):
                pass
        assert [worker.process.poll() for worker in workers] == [None, None]
        queue.check_all_done_once(runs)
