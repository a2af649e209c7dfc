"""Runs that wait, and workers that are killed: what both the default and the long tests play with.

Owns handing in many runs at once, workers as processes of their own, and what is true of all of it afterwards.
Does not own the model nor the databases.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from armarius import settings as configuration
from armarius.clock import SystemClock
from armarius.codex.guard import identity_of
from armarius.runs import queued
from armarius.runs.queued import Place
from armarius.runs.records import RunRow
from armarius.settings import Settings
from armarius.store.database import Database
from armarius.store.ledger import Event, events_after, open_ledger
from armarius.store.queries import Query
from support import prefork
from support.prefork import Forked
from support.run_world import World, script
from support.terminal import ARMARIUS

__all__ = ["QueueWorld", "WorkerProcess"]

RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY id")
OPEN = Query("open_runs", "How many are not over.", "SELECT COUNT(*) AS n FROM run WHERE ended_at_us IS NULL")
_PAUSE_S = 0.02


class WorkerProcess:
    """`armarius worker`, and who it said it was."""

    def __init__(self, environ: dict[str, str], *words: str, through: Sequence[str] = ()) -> None:
        self.process: subprocess.Popen[bytes] | Forked
        words = ("worker", "--json", *words)
        if through:
            self.process = subprocess.Popen(
                [*through, *ARMARIUS, *words],
                env=environ,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        else:
            self.process = prefork.ARMARIUS.start(words, Path("/"), environ, leads=True)

    def ready(self) -> dict[str, Any]:
        """What it says once it works."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """The worker alone, as an accident does; guards and their codex live on."""
        self.process.kill()
        self.close()

    def close(self) -> int:
        with self.process:
            return self.process.wait(60)


class QueueWorld:
    """A world whose runs are done by workers. `place` is the ledger: a file of its own, or a server."""

    def __init__(self, world: World, place: str | None = None) -> None:
        self.world = world
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(world.home),
            "CODEX_HOME": str(world.codex_home),
            "ARMARIUS_HOME": str(world.state),
            "ARMARIUS_CODEX": world.binary.path,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if place is not None:
            self.environ["ARMARIUS_DATABASE"] = place
        self._started = list[WorkerProcess]()

    @property
    def settings(self) -> Settings:
        return configuration.load(None, self.environ)

    @contextlib.contextmanager
    def ledger(self) -> Generator[Database]:
        place = self.settings.database or self.settings.ledger
        with contextlib.closing(open_ledger(place, SystemClock())) as ledger:
            yield ledger

    def hand_in(self, count: int, *steps: dict[str, Any], first: int = 0, **changes: Any) -> list[str]:
        """So many runs that each say a word of their own."""
        settings = self.settings
        made = list[str]()
        with self.ledger() as ledger:
            for number in range(first, first + count):
                request = self.world.request(script(*steps, {"say": f"word {number};"}), **changes)
                place = Place(queued.seat_of(settings), "own")
                with ledger.transaction():
                    made.append(queued.hand_in(ledger, SystemClock(), settings.runs, request, place))
        return made

    def worker(self, *words: str) -> WorkerProcess:
        """Start one; at the end of the test none is left."""
        self._started.append(WorkerProcess(self.environ, *words))
        return self._started[-1]

    def close(self) -> None:
        for worker in self._started:
            if worker.process.poll() is None:
                worker.kill()

    def events(self, ledger: Database) -> Iterator[Event]:
        """What is written into the ledger, as it comes, until nothing is open any more."""
        seen = 0
        while True:
            fresh = events_after(ledger, seen, 1000)
            yield from fresh
            if fresh:
                seen = fresh[-1].seq
                continue
            [row] = ledger.fetch(OPEN)
            if not row["n"]:
                return
            time.sleep(_PAUSE_S)  # between two looks at a ledger of others

    def kill_at_random(self, ledger: Database, seed: int, kills: int, *, workers: int = 2, jobs: int = 4) -> int:
        """Let workers do what waits, one after the other killed at chosen moments; how many were killed."""
        chance = random.Random(seed)
        words = ("--jobs", str(jobs), "--until-idle")
        live = [self.worker(*words) for _ in range(workers)]
        [row] = ledger.fetch(OPEN)
        waiting, killed = row["n"], 0
        moments = sorted(chance.sample(range(waiting, 4 * waiting - 4 * jobs), kills))
        for passed, _ in enumerate(self.events(ledger), 1):
            while moments and passed >= moments[0]:
                moments.pop(0)
                victim = chance.randrange(workers)
                live[victim].kill()
                killed += 1
                live[victim] = self.worker(*words)
        for worker in live:
            assert worker.close() == 0
        return killed

    def check_all_done_once(self, runs: list[str]) -> None:
        """Nothing lost, nothing done twice, no attempt begun while an earlier one lived."""
        with self.ledger() as ledger:
            rows = {row.id: row for row in ledger.fetch(RUNS, RunRow)}
        assert sorted(rows) == sorted(runs)
        assert Counter(row.state for row in rows.values()) == {"succeeded": len(runs)}
        asked = Counter(prompt for prompt in self.world.prompts())
        assert sorted(asked.values()) == [1] * len(runs)
        for row in rows.values():
            self._check_attempts(row)

    def _check_attempts(self, row: RunRow) -> None:
        ended_us = 0
        for folder in sorted(Path(row.folder).iterdir(), key=lambda path: path.name):
            if not folder.name.isdigit():
                continue
            end = folder / "exit.json"
            assert not (folder / "guard.json").exists() or end.exists()
            if end.exists():
                said = msgspec.json.decode(end.read_bytes())
                assert said["started_at_us"] >= ended_us
                ended_us = said["ended_at_us"]
                guard = msgspec.json.decode((folder / "guard.json").read_bytes())
                assert identity_of(guard["pid"]) != {k: guard[k] for k in ("host", "boot_id", "pid", "start")}
