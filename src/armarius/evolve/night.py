"""One night: replay, reflect, edit, judge at the gate, stage.

Owns the order of the steps, which experiment a night belongs to, and its report. Does not own any
step: propose.py, held_out.py and staging.py do.
Invariant: the reflector sees the training tasks and nothing of the held-out ones; the gate sees ids
and scores and nothing of the texts. Every paid run has a key, every pair is kept before it counts,
so a night that was killed anywhere comes to the same end without repeating a finished run.

An experiment is everything its evidence depends on: target and base, tasks, model, effort, Codex
version, and how many candidates were rejected on this base before. Its candidate lives for up to
three nights; within one experiment the training replays and the reflection are paid once.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.home import Owner, check_fresh
from armarius.dispatch.runner import Runner
from armarius.errors import HostError
from armarius.evolve import staging
from armarius.evolve.bench import Bench, Progress
from armarius.evolve.held_out import Candidate, try_candidate
from armarius.evolve.propose import Proposed, propose
from armarius.evolve.records import QUERIES, NightRow, kept_pairs
from armarius.evolve.replay import Lab, Trial
from armarius.evolve.report import NightReport, PairLine, render
from armarius.evolve.tasks import TaskFile, split_tasks
from armarius.files import private_folder, write_atomic
from armarius.gate.decision import Answer, Decision
from armarius.identity import hash_bytes, hash_value, new_id
from armarius.skills.document import diff, parse_document
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.thread import Usage

__all__ = ["Night", "NightOrder"]

_MOST_GENERATIONS = 10_000


class NightOrder(msgspec.Struct, frozen=True):
    """What a night is to do. `observed` are training answers known from sessions, by task id."""

    project: Path
    target: Path
    tasks: TaskFile
    owner: Owner
    search_path: str
    codex_version: str
    environ: dict[str, str] = {}
    observed: dict[str, Trial] = {}
    model: str | None = None
    effort: str | None = None
    edit_budget: int = 4
    workers: int = 4
    max_tasks: int = 40
    deadline_s: float = 600.0


class Night:
    """The work of one order, on one ledger."""

    def __init__(
        self,
        order: NightOrder,
        *,
        runner: Runner,
        ledger: Database,
        clock: Clock,
        home: Path,
        progress: Progress = lambda _step, _done, _of: None,
    ) -> None:
        self._order = order
        self._bench = Bench(runner, order.workers, progress)
        self._ledger = ledger
        self._clock = clock
        self._home = home
        self._base = order.target.read_bytes()
        self._document = parse_document(self._base, str(order.target))
        self._train, self._held_out = split_tasks(order.tasks.tasks[: order.max_tasks])
        self._began = clock.monotonic_us()

    def run(self) -> NightReport:
        """Do the night, or what is left of it; its report."""
        check_fresh(self._order.owner, self._clock.now_us() + int(self._order.deadline_s * 1_000_000))
        with _alone(private_folder(self._home / "locks") / hash_value(str(self._order.target))[7:23]):
            staged = self._staged_before()
            if staged is not None:
                return staged
            night = self._open()
            lab = self._lab(night.experiment, private_folder(self._home / "replays"))
            proposed = propose(
                self._bench,
                lab,
                self._document,
                self._train,
                observed=self._order.observed,
                budget=self._order.edit_budget,
            )
            if proposed.applied is None or proposed.why_nothing is not None:
                return self._close(night, state="nothing", reason=proposed.why_nothing or "", proposed=proposed)
            candidate = Candidate(
                base=self._base,
                proposed=proposed.applied.document.render(),
                held_out={task.task_id: task for task in self._held_out},
                shown=frozenset(task.task_id for task in self._train),
            )
            decision = try_candidate(
                candidate, bench=self._bench, lab=lab, ledger=self._ledger, clock=self._clock, night=night
            )
            state = "staged" if decision.answer is Answer.ADOPT else "nothing"
            return self._close(night, state=state, reason=decision.reason, proposed=proposed, decision=decision)

    # Which night this is.

    def _staged_before(self) -> NightReport | None:
        """The report of the night whose proposal for this very file still waits."""
        row = self._ledger.fetch_one(
            QUERIES.night_of_staged, NightRow, target_path=str(self._order.target), base_hash=hash_bytes(self._base)
        )
        return None if row is None else row.outcome

    def _open(self) -> NightRow:
        """The open night of this experiment, or the next one."""
        experiment, nights = self._experiment()
        if nights and nights[-1].ended_at_us is None:
            return nights[-1]
        night_id, now_us = new_id("night", self._clock), self._clock.now_us()
        with self._ledger.transaction():
            self._ledger.execute(
                QUERIES.insert_night,
                id=night_id,
                experiment=experiment,
                number=len(nights) + 1,
                project=str(self._order.project),
                target_path=str(self._order.target),
                base_hash=hash_bytes(self._base),
                settings=json.dumps({"edit_budget": self._order.edit_budget, "max_tasks": self._order.max_tasks}),
                now_us=now_us,
            )
            append_event(
                self._ledger,
                at_us=now_us,
                subject=night_id,
                kind="night_opened",
                body={"number": len(nights) + 1},
            )
        return self._ledger.fetch(QUERIES.nights_of, NightRow, experiment=experiment)[-1]

    def _experiment(self) -> tuple[str, list[NightRow]]:
        """The first experiment on this base whose candidate is not yet decided on, and its nights."""
        order = self._order
        same = {
            "target": str(order.target),
            "base": hash_bytes(self._base),
            "tasks": hash_value(msgspec.to_builtins((self._train, self._held_out))),
            "model": order.model or order.owner.model,
            "effort": order.effort or order.owner.effort,
            "provider": hash_value(order.owner.provider),
            "codex": order.codex_version,
            "edit_budget": order.edit_budget,
        }
        for generation in range(_MOST_GENERATIONS):
            experiment = hash_value(same | {"generation": generation})
            nights = self._ledger.fetch(QUERIES.nights_of, NightRow, experiment=experiment)
            if not any(_is_final(night) for night in nights):
                return experiment, nights
        raise RuntimeError("ten thousand candidates were rejected on one base")

    def _lab(self, experiment: str, folder: Path) -> Lab:
        order = self._order
        return Lab(
            experiment=experiment,
            folder=folder,
            skill_folder=order.target.parent,
            owner=order.owner,
            search_path=order.search_path,
            codex_version=order.codex_version,
            environ=order.environ,
            model=order.model or order.owner.model,
            effort=order.effort or order.owner.effort,
            deadline_s=order.deadline_s,
        )

    # What is left of it.

    def _close(
        self, night: NightRow, *, state: str, reason: str, proposed: Proposed, decision: Decision | None = None
    ) -> NightReport:
        """Stage what was certified, write the report, close the night."""
        folder = private_folder(self._home / "nights" / night.id)
        after = self._document if proposed.applied is None else proposed.applied.document
        changes = diff(self._document, after, self._order.target.name)
        report = self._report(night, folder, state=state, reason=reason, proposed=proposed, decision=decision)
        if state == "staged" and decision is not None:
            row = staging.stage(
                self._ledger,
                self._clock,
                night_id=night.id,
                folder=folder,
                target=self._order.target,
                base=self._base,
                proposed=after.render(),
                diff=changes,
                decision=decision.answer.value,
                e_value=decision.e_value,
            )
            report = msgspec.structs.replace(report, proposal=row.id)
        write_atomic(folder / staging.DIFF, changes.encode())
        write_atomic(folder / staging.REPORT, render(report, changes).encode())
        now_us = self._clock.now_us()
        with self._ledger.transaction():
            text = msgspec.json.encode(report).decode()
            self._ledger.execute(QUERIES.end_night, id=night.id, state=state, report=text, now_us=now_us)
            append_event(self._ledger, at_us=now_us, subject=night.id, kind="night_ended", body={"state": state})
        return report

    def _report(
        self, night: NightRow, folder: Path, *, state: str, reason: str, proposed: Proposed, decision: Decision | None
    ) -> NightReport:
        applied, spent = proposed.applied, self._bench.results
        after = self._document if applied is None else applied.document
        return NightReport(
            id=night.id,
            experiment=night.experiment,
            number=night.number,
            state=state,
            target=str(self._order.target),
            base_hash=hash_bytes(self._base),
            candidate_hash=hash_bytes(after.render()),
            decision=decision.answer.value if decision else "none",
            reason=reason,
            e_value=decision.e_value if decision else 1.0,
            pairs_used=decision.pairs_used if decision else 0,
            pairs_ignored=decision.pairs_ignored if decision else 0,
            train_tasks=len(self._train),
            held_out_tasks=len(self._held_out),
            shape_only=all(task.judge.shape_only for task in self._held_out),
            accepted=tuple(map(_edit_line, applied.accepted)) if applied else (),
            rejected=tuple(f"{_edit_line(one.edit)} ({one.reason})" for one in applied.rejected) if applied else (),
            pairs=tuple(
                PairLine(row.night, row.task, row.baseline, row.candidate)
                for row in kept_pairs(self._ledger, night.experiment)
            ),
            runs=len(spent),
            responses=sum(run.responses for run in spent),
            usage=sum((run.usage for run in spent), Usage()),
            duration_us=self._clock.monotonic_us() - self._began,
            folder=str(folder),
            report=str(folder / staging.REPORT),
            diff=str(folder / staging.DIFF),
        )


def _is_final(night: NightRow) -> bool:
    """Whether a night ended its experiment: its candidate was staged or rejected."""
    report = night.outcome
    return report is not None and report.decision in ("adopt", "reject")


def _edit_line(edit: object) -> str:
    fields = msgspec.to_builtins(edit)
    return " ".join(str(fields[name]) for name in ("op", "anchor", "text") if fields.get(name))


@contextlib.contextmanager
def _alone(lock: Path) -> Generator[None]:
    """One night at a time for a target; the lock says who has it and goes with its process."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            raise HostError(
                "night-running",
                f"a night on this skill is already running ({holder})",
                "wait for it, or end it",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
