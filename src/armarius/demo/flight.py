"""One demonstration: a day of work, a night on what it left, and the score before and after.

Owns the private world it happens in and the report. Does not own the steps.
Invariant: what the night works on is found in the session files that the day left on disk; the
held-out tasks are scored by runs that happened for nothing else, on the skill file as it then lay
on disk. Nothing outside its own folder is read or written.
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import tomli_w

from armarius.clock import Clock
from armarius.codex.binary import Binary
from armarius.codex.home import read_owner
from armarius.demo.day import Day, read_day
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.evolve import staging
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.records import find_proposal
from armarius.evolve.replay import Lab, request_for, trial_of
from armarius.evolve.report import NightReport
from armarius.evolve.tasks import TaskFile, join_rows, render_tasks, split_tasks
from armarius.files import private_folder, write_atomic
from armarius.identity import new_id
from armarius.runs.request import RunRequest, RunResult
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.testing.benchmarks import Seed
from armarius.testing.model_server import ModelServer
from armarius.thread import Sandbox, Usage

__all__ = ["Flight", "FlightReport", "fly"]

Progress = Callable[[str, int, int], None]

_STEPS = {
    "reflect": "reflection",
    "pairs": "held-out pairs",
    "train": "training replays",
    "attribute": "edits left out in turn",
    "retain": "tasks that may not be lost",
    "rate": "ratings",
}
_DEADLINE_S = 120.0
_REPLICATES = 2
"""Fresh runs of each held-out task before and after; a single one could be luck."""


class FlightReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one demonstration measured (`armarius.demo.v1`); scores are shares of held-out runs that pass."""

    seed: str
    passed: bool
    reason: str
    before: float
    after: float
    e_value: float
    pairs_used: int
    decision: str
    sessions: int
    turns: int
    commands: int
    runs: int
    model_calls: int
    usage: Usage
    seconds: float
    codex_version: str
    report: str
    diff: str
    folder: str
    schema: str = "armarius.demo.v1"


class Flight(msgspec.Struct, frozen=True):
    """Where a demonstration happens and with what."""

    folder: Path
    seed: Seed
    server: ModelServer
    binary: Binary
    clock: Clock
    search_path: str
    workers: int = 4

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def codex_home(self) -> Path:
        return self.home / ".codex"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def skill(self) -> Path:
        return self.project / ".agents" / "skills" / self.seed.name / "SKILL.md"

    @property
    def state(self) -> Path:
        return self.folder / "armarius"


def fly(flight: Flight, progress: Progress) -> FlightReport:
    """The whole loop for one seed."""
    began, calls = flight.clock.monotonic_us(), flight.server.requests
    _build_world(flight)
    with closing(open_ledger(flight.state / "ledger.sqlite", flight.clock)) as ledger:
        pilot = _Pilot(flight, ledger, progress)
        pilot.work_a_day()
        day = read_day(flight.codex_home, flight.seed.training)
        report = pilot.sleep(day)
        before = pilot.score("before")
        if report.proposal is not None:
            # The tool of a lesson is the demonstration's own, so its owner says yes to it.
            staging.adopt(ledger, flight.clock, find_proposal(ledger, report.proposal, "staged"), {"command"})
        after = pilot.score("after")
    return FlightReport(
        seed=flight.seed.name,
        passed=(before, after) == (0.0, 1.0) and report.decision == "adopt",
        reason=_reason(before, after, report),
        before=before,
        after=after,
        e_value=report.e_value,
        pairs_used=report.pairs_used,
        decision=report.decision,
        sessions=day.sessions,
        turns=day.turns,
        commands=day.commands,
        runs=len(pilot.results) + report.runs,
        model_calls=flight.server.requests - calls,
        usage=sum((result.usage for result in pilot.results), report.usage),
        seconds=(flight.clock.monotonic_us() - began) / 1_000_000,
        codex_version=flight.binary.version,
        report=report.report,
        diff=report.diff,
        folder=str(flight.folder),
    )


def clear(flight: Flight) -> None:
    """Remove the world and keep what a reader may want: the night's report, its diff, the skill."""
    for folder in (flight.home, flight.state / "runs", flight.state / "replays"):
        shutil.rmtree(folder, ignore_errors=True)


class _Pilot:
    """The steps of one flight, on one ledger; `results` are its runs outside the night."""

    def __init__(self, flight: Flight, ledger: Database, progress: Progress) -> None:
        self._flight = flight
        self._ledger = ledger
        self._progress = progress
        self._owner = read_owner(flight.codex_home)
        self._runner = Runner(ledger, flight.clock, flight.state / "runs", flight.binary, {})
        self.results = list[RunResult]()

    def work_a_day(self) -> None:
        """Real Codex on each training task, in the project, with the skill as it is installed there."""
        flight = self._flight
        requests = [
            RunRequest(
                role="worker",
                prompt=task.task,
                cwd=str(flight.project),
                sandbox=Sandbox.READ_ONLY.flag,
                home=str(flight.home),
                codex_home=str(flight.codex_home),
                tools_path=flight.search_path,
                deadline_s=_DEADLINE_S,
                lean=True,
            )
            for task in flight.seed.training
        ]
        self._run("a day of work", requests)

    def sleep(self, day: Day) -> NightReport:
        """A night on what the sessions showed."""
        flight = self._flight
        order = NightOrder(
            project=flight.project,
            target=flight.skill.resolve(),
            tasks=self._tasks(day),
            owner=self._owner,
            search_path=flight.search_path,
            codex_version=flight.binary.version,
            observed=day.trials,
            workers=flight.workers,
            deadline_s=_DEADLINE_S,
        )
        night = Night(
            order,
            runner=self._runner,
            ledger=self._ledger,
            clock=flight.clock,
            home=flight.state,
            progress=lambda step, done, of: self._progress(_STEPS[step], done, of),
        )
        return night.run()

    def score(self, when: str) -> float:
        """The share of fresh held-out runs that pass, with the skill file as it lies on disk now."""
        flight = self._flight
        lab = Lab(
            experiment=new_id("score", flight.clock),
            folder=private_folder(flight.state / "replays"),
            skill_folder=flight.skill.parent,
            owner=self._owner,
            search_path=flight.search_path,
            codex_version=flight.binary.version,
            environ={},
            model=self._owner.model,
            deadline_s=_DEADLINE_S,
        )
        skill = flight.skill.read_bytes()
        jobs = [(task, n) for n in range(1, _REPLICATES + 1) for task in flight.seed.held_out]
        requests = [request_for(lab, task, skill, arm=when, replicate=n) for task, n in jobs]
        trials = [
            trial_of(task, result)
            for (task, _), result in zip(jobs, self._run(f"held-out {when}", requests), strict=True)
        ]
        return sum(trial.score is not None and trial.score.hard for trial in trials) / len(trials)

    def _tasks(self, day: Day) -> TaskFile:
        """The task file of the night: what the sessions showed, with the checks that belong to it."""
        train, held_out = split_tasks([task for task in self._flight.seed.training if task.task_id in day.trials])
        tasks = join_rows(train, held_out, reviewed=True)
        write_atomic(self._flight.state / "tasks.json", render_tasks(tasks))
        return tasks

    def _run(self, step: str, requests: list[RunRequest]) -> list[RunResult]:
        results = list[RunResult]()
        with closing(in_order(self._runner, requests, self._flight.workers)) as coming:
            for result in coming:
                results.append(result)
                self._progress(step, len(results), len(requests))
        self.results += results
        return results


def _build_world(flight: Flight) -> None:
    for folder in (flight.folder, flight.home, flight.codex_home, flight.project, flight.state, flight.skill.parent):
        private_folder(folder)
    write_atomic(flight.skill, flight.seed.skill)
    provider = {
        "name": "Scripted model on this machine",
        "base_url": flight.server.base_url,
        "wire_api": "responses",
        "request_max_retries": 1,
        "stream_max_retries": 1,
    }
    config = {"model": "gpt-5.5", "model_provider": "scripted", "model_providers": {"scripted": provider}}
    write_atomic(flight.codex_home / "config.toml", tomli_w.dumps(config).encode())


def _reason(before: float, after: float, report: NightReport) -> str:
    if report.decision != "adopt":
        return f"the gate did not certify the candidate: {report.decision} ({report.reason})"
    if (before, after) != (0.0, 1.0):
        return f"held-out tasks went from {before:.2f} to {after:.2f}, not from 0.00 to 1.00"
    return "held-out tasks went from 0.00 to 1.00"
