"""Two hosts whose workers share one PostgreSQL over a network, and of which one loses its power again and again.

Each host is a network, pid and host-name namespace of its own with an ARMARIUS_HOME of its own. It needs root
and `ip`; run with `pytest tests/long/worker_hosts.py`.
"""

import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest

from armarius.clock import SystemClock
from armarius.runs import queued
from armarius.runs.queued import Place
from armarius.runs.records import AttemptRow, RunRow
from armarius.store.queries import Query
from support.databases import running_postgres
from support.hosts import NETWORK, Host, two_hosts
from support.queue_world import RUNS, QueueWorld, WorkerProcess
from support.run_world import World, script

MANY, CUTS = 40, 6
FORWARD = Path(__file__).parents[1] / "support" / "forward.py"
ATTEMPTS = Query("attempts", "Every attempt.", "SELECT * FROM attempt ORDER BY run_id, number")


@contextlib.contextmanager
def forwarded(address: str, port: int, to: str, *through: str) -> Generator[None]:
    """A port at one address that leads to the same port at another one, for the length of a block."""
    argv = [*through, sys.executable, str(FORWARD), address, str(port), to, str(port)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield
        process.kill()


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts("scriptorium-c", "scriptorium-d") as two:
        yield two


def seat(world: World, host: Host, port: int, folder: Path) -> QueueWorld:
    """A home on a host: its own state and login; the project is at the same path on each."""
    own = World(folder, world.binary, world.server).build()
    return QueueWorld(own, f"postgresql://postgres@{host.address}:{port}/shared")


def test_two_hosts_share_the_line_and_one_that_loses_its_power_loses_no_run(
    hosts: tuple[Host, Host], world: World, tmp_path: Path
) -> None:
    chance, port = random.Random(11), 41_000 + os.getpid() % 10_000
    addresses = [host.address for host in hosts]
    model_port = int(world.server.base_url.rsplit(":", 1)[1].split("/")[0])
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(running_postgres(",".join(addresses), NETWORK, port))
        with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}&port={port}", autocommit=True) as server:
            server.execute("CREATE DATABASE shared")
        for host in hosts:  # the model speaks to loopback alone
            stack.enter_context(forwarded(host.address, model_port, "127.0.0.1"))
            stack.enter_context(forwarded("127.0.0.1", model_port, host.address, *host.on_its_network))
        here = QueueWorld(world, f"postgresql://postgres@/shared?host={folder}&port={port}")
        seats = [seat(world, host, port, tmp_path / host.name) for host in hosts]

        def begin(number: int) -> WorkerProcess:
            worker = WorkerProcess(seats[number].environ, "--jobs", "3", through=hosts[number].through)
            stack.callback(lambda: worker.process.poll() is None and worker.kill())
            worker.ready()
            return worker

        settings = here.settings
        with here.ledger() as ledger:
            for number in range(MANY):
                request = world.request(script({"say": f"word {number};"}))
                queued.hand_in(ledger, SystemClock(), settings.runs, request, Place(None, "own"))
            bound = queued.hand_in(
                ledger, SystemClock(), settings.runs, world.request(script({"say": "at home"})),
                Place(f"{hosts[1].name}:{seats[1].world.state}", "own"),
            )  # fmt: skip
            live = [begin(0), begin(1)]
            moments = sorted(chance.sample(range(MANY, 3 * MANY), CUTS))
            for passed, _ in enumerate(here.events(ledger), 1):
                while moments and passed >= moments[0]:
                    moments.pop(0)
                    victim = chance.randrange(2)
                    live[victim].kill()
                    live[victim] = begin(victim)
            rows = ledger.fetch(RUNS, RunRow)
            attempts = ledger.fetch(ATTEMPTS, AttemptRow)
    assert {row.error_message for row in rows} == {None}
    assert Counter(row.state for row in rows) == {"succeeded": MANY + 1}
    done = Counter(row.run_id for row in attempts if row.outcome == "succeeded")
    assert set(done.values()) == {1}
    assert {row.host for row in attempts if row.outcome == "succeeded"} == {host.name for host in hosts}
    assert {row.host for row in attempts if row.run_id == bound} == {hosts[1].name}
    answered = len(world.server.records)
    cut = sum(row.outcome == "crashed" for row in attempts)
    assert MANY + 1 <= answered <= MANY + 1 + cut
