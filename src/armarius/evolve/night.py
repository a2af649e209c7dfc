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
from typing import NamedTuple

import msgspec

from armarius.budget import NO_BUDGET
from armarius.clock import Clock
from armarius.codex.home import Owner, check_fresh
from armarius.dispatch.runner import Runner
from armarius.errors import HostError
from armarius.evolve import staging
from armarius.evolve.attribution import shares_of
from armarius.evolve.bench import Allowance, Bench, Progress
from armarius.evolve.directly import Directly
from armarius.evolve.held_out import Candidate, try_candidate
from armarius.evolve.memory import barred_by, unwanted
from armarius.evolve.outside import look_from
from armarius.evolve.page import PAGE, page_of
from armarius.evolve.propose import Proposed, Terms, edit_line, propose
from armarius.evolve.records import QUERIES, NightRow, kept_pairs
from armarius.evolve.replay import Lab, Metric, Trial
from armarius.evolve.report import NightReport, PairLine, Retained, Share, render, sent_to
from armarius.evolve.retention import retained_on, suite_for, write_kept
from armarius.evolve.tasks import TaskFile, split_tasks
from armarius.evolve.thinkers import Thinker
from armarius.files import private_folder, write_atomic
from armarius.gate.decision import Answer, Decision
from armarius.identity import hash_bytes, hash_value, new_id
from armarius.skills.capability import new_capabilities
from armarius.skills.document import MEMORY, diff, parse_document
from armarius.skills.edit import Applied
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.thread import Usage

__all__ = ["Night", "NightOrder"]

_MOST_GENERATIONS = 10_000


class NightOrder(msgspec.Struct, frozen=True):
    """What a night is to do. `observed` are training answers known from sessions, by task id.

    With `gate` off the candidate is staged unjudged. `optimizer_model` reflects, `model` replays.
    """

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
    rollouts: int = 1
    preferences: str = ""
    metric: Metric = "mixed"
    gate: bool = True
    optimizer_model: str | None = None


class Outcome(NamedTuple):
    """How a night ends: its state, the gate's answer, and what they rest on."""

    state: str
    answer: str
    reason: str
    decision: Decision | None = None
    retained: Retained = Retained()
    shares: tuple[Share, ...] = ()


class Night:
    """The work of one order, on one ledger; at the expense of `allowance`, and of none when there is no limit."""

    def __init__(
        self,
        order: NightOrder,
        *,
        runner: Runner,
        ledger: Database,
        clock: Clock,
        home: Path,
        think: Thinker | None = None,
        allowance: Allowance | None = None,
        directly: Directly | None = None,
        progress: Progress = lambda _step, _done, _of: None,
    ) -> None:
        self._order = order
        self._bench = Bench(runner, order.workers, progress, allowance or Allowance(NO_BUDGET, "", clock), directly)
        self._binary = runner.binary
        self._think = think
        self._directly = directly
        self._ledger = ledger
        self._clock = clock
        self._home = home
        self._base = order.target.read_bytes()
        self._document = parse_document(self._base, str(order.target))
        self._train, sealed = split_tasks(order.tasks.tasks[: order.max_tasks])
        self._held_out = tuple(task for task in sealed if task.why_uncertifiable is None)
        self._began = clock.monotonic_us()

    def run(self) -> NightReport:
        """Do the night, or what is left of it; its report."""
        check_fresh(self._order.owner, self._clock.now_us() + int(self._order.deadline_s * 1_000_000))
        locks = private_folder(self._home / "locks")
        with _alone(locks, self._order.target, "skill"), _alone(locks, self._order.project, "project"):
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
                terms=self._terms(night),
                think=self._think,
                optimizer=self._optimizer(lab),
            )
            if proposed.applied is None or proposed.why_nothing is not None:
                return self._close(night, Outcome("nothing", "none", proposed.why_nothing or ""), proposed)
            return self._close(night, self._judge(night, lab, proposed.applied), proposed)

    def _judge(self, night: NightRow, lab: Lab, applied: Applied) -> Outcome:
        """What the gate makes of a candidate, and then the tasks that it must not lose."""
        if not self._order.gate:
            return Outcome("staged", "ungated", "the gate was off: nothing was judged")
        candidate = Candidate(
            base=self._base,
            proposed=applied.document.render(),
            held_out={task.task_id: task for task in self._held_out},
            shown=frozenset(task.task_id for task in self._train),
            metric=self._order.metric,
        )
        decision = try_candidate(
            candidate, bench=self._bench, lab=lab, ledger=self._ledger, clock=self._clock, night=night
        )
        if decision.answer is not Answer.ADOPT:
            return Outcome("nothing", decision.answer.value, decision.reason, decision)
        suite = suite_for(self._ledger, self._order.target, self._order.tasks.tasks, self._held_out)
        retained = retained_on(self._bench, lab, suite, self._base, candidate.proposed)
        if retained.lost:
            return Outcome("nothing", "reject", f"it loses {', '.join(retained.lost)}", decision, retained)
        evidence = kept_pairs(self._ledger, night.experiment)
        shares = shares_of(
            self._bench, lab, self._document, edits=applied.accepted, candidate=candidate, evidence=evidence
        )
        return Outcome("staged", "adopt", decision.reason, decision, retained, shares)

    def _terms(self, night: NightRow) -> Terms:
        """What edits are asked for; the memory is that of the experiment's beginning, so that it is asked once."""
        order = self._order
        known: dict[str, list[str]] = json.loads(night.settings)
        return Terms(
            budget=order.edit_budget,
            rollouts=order.rollouts,
            preferences=order.preferences,
            told=tuple(known.get("told", ())),
            barred=frozenset(known.get("barred", ())),
            sealed=self._held_out,
        )

    # Which night this is.

    def _staged_before(self) -> NightReport | None:
        """The report of the night whose proposal for this very file still waits."""
        row = self._ledger.fetch_one(
            QUERIES.night_of_staged, NightRow, target_path=str(self._order.target), base_hash=hash_bytes(self._base)
        )
        return None if row is None else row.outcome

    def _open(self) -> NightRow:
        """The open night of this experiment, or the next one."""
        experiment, nights, before = self._experiment()
        if nights and nights[-1].ended_at_us is None:
            return nights[-1]
        night_id, now_us = new_id("night", self._clock), self._clock.now_us()
        settings = nights[0].settings if nights else self._settings(before)
        with self._ledger.transaction():
            self._ledger.execute(
                QUERIES.insert_night,
                id=night_id,
                experiment=experiment,
                number=len(nights) + 1,
                project=str(self._order.project),
                target_path=str(self._order.target),
                base_hash=hash_bytes(self._base),
                settings=settings,
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

    def _settings(self, before: list[NightRow]) -> str:
        """What is written down of a night at its beginning."""
        order = self._order
        memory = {"told": unwanted(self._ledger, order.target), "barred": sorted(barred_by(before))}
        return json.dumps({"edit_budget": order.edit_budget, "max_tasks": order.max_tasks, **memory})

    def _experiment(self) -> tuple[str, list[NightRow], list[NightRow]]:
        """The first experiment on this base whose candidate is not yet decided on, its nights, and those before."""
        order = self._order
        same = {
            "target": str(order.target),
            "base": hash_bytes(self._base),
            "tasks": hash_value([[task.facts for task in side] for side in (self._train, self._held_out)]),
            "model": order.model or order.owner.model,
            "effort": order.effort or order.owner.effort,
            "provider": hash_value(order.owner.provider),
            "codex": order.codex_version,
            "edit_budget": order.edit_budget,
            "rollouts": order.rollouts,
            "metric": order.metric,
            "preferences": order.preferences,
            "optimizer": order.optimizer_model,
        }
        if (directly := self._directly) is not None:
            same |= {"answered": directly.name, "model": directly.model, "effort": None, "provider": "", "codex": ""}
        before = list[NightRow]()
        for generation in range(_MOST_GENERATIONS):
            experiment = hash_value(same | {"generation": generation})
            nights = self._ledger.fetch(QUERIES.nights_of, NightRow, experiment=experiment)
            if not any(_is_final(night) for night in nights):
                return experiment, nights, before
            before += nights
        raise RuntimeError("ten thousand candidates were rejected on one base")

    def _lab(self, experiment: str, folder: Path) -> Lab:
        order = self._order
        lab = Lab(
            experiment=experiment,
            folder=folder,
            skill_folder=order.target.parent,
            is_memory=order.target.name == MEMORY,
            owner=order.owner,
            search_path=order.search_path,
            codex_version=order.codex_version,
            environ=order.environ,
            model=order.model or order.owner.model,
            effort=order.effort or order.owner.effort,
            deadline_s=order.deadline_s,
            directly=self._directly,
        )
        return msgspec.structs.replace(lab, look=look_from(self._bench, self._optimizer(lab), self._binary))

    def _optimizer(self, lab: Lab) -> Lab:
        """Where reflections and ratings are made: by Codex, whoever replays."""
        return msgspec.structs.replace(lab, model=self._order.optimizer_model or lab.model)

    # What is left of it.

    def _close(self, night: NightRow, outcome: Outcome, proposed: Proposed) -> NightReport:
        """Stage what may be adopted, write the report, close the night."""
        folder = private_folder(self._home / "nights" / night.id)
        after = self._document if proposed.applied is None else proposed.applied.document
        changes = diff(self._document, after, self._order.target.name)
        report = self._report(night, folder, outcome, proposed)
        if outcome.state == "staged":
            write_kept(folder, self._held_out)
            row = staging.stage(
                self._ledger,
                self._clock,
                night_id=night.id,
                folder=folder,
                target=self._order.target,
                base=self._base,
                proposed=after.render(),
                diff=changes,
                decision=report.decision,
                e_value=report.e_value,
            )
            report = msgspec.structs.replace(report, proposal=row.id)
        write_atomic(folder / staging.DIFF, changes.encode())
        write_atomic(folder / staging.REPORT, render(report, changes).encode())
        write_atomic(folder / PAGE, page_of(report, changes).encode())
        now_us = self._clock.now_us()
        with self._ledger.transaction():
            text = msgspec.json.encode(report).decode()
            self._ledger.execute(QUERIES.end_night, id=night.id, state=outcome.state, report=text, now_us=now_us)
            append_event(
                self._ledger, at_us=now_us, subject=night.id, kind="night_ended", body={"state": outcome.state}
            )
        return report

    def _report(self, night: NightRow, folder: Path, outcome: Outcome, proposed: Proposed) -> NightReport:
        applied, spent, decision = proposed.applied, self._bench.results, outcome.decision
        after = self._document if applied is None else applied.document
        without_codex = self._directly.name if self._directly else ""
        return NightReport(
            id=night.id,
            experiment=night.experiment,
            number=night.number,
            state=outcome.state,
            target=str(self._order.target),
            base_hash=hash_bytes(self._base),
            candidate_hash=hash_bytes(after.render()),
            decision=outcome.answer,
            reason=outcome.reason,
            e_value=decision.e_value if decision else 1.0,
            pairs_used=decision.pairs_used if decision else 0,
            pairs_ignored=decision.pairs_ignored if decision else 0,
            train_tasks=len(self._train),
            held_out_tasks=len(self._held_out),
            shape_only=all(task.judge.shape_only for task in self._held_out),
            accepted=tuple(map(edit_line, applied.accepted)) if applied else (),
            rejected=tuple(f"{edit_line(one.edit)} ({one.reason})" for one in applied.rejected) if applied else (),
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
            page=str(folder / PAGE),
            metric=self._order.metric,
            capabilities=new_capabilities(self._document.text, after.text),
            shares=outcome.shares,
            retained=outcome.retained,
            sent=(*sent_to(self._order.owner, spent, without_codex), *(self._think.sent if self._think else ())),
            without_codex=without_codex,
        )


def _is_final(night: NightRow) -> bool:
    """Whether a night ended its experiment: its candidate was staged or rejected."""
    report = night.outcome
    return report is not None and report.decision in ("adopt", "reject", "ungated")


@contextlib.contextmanager
def _alone(locks: Path, subject: Path, kind: str) -> Generator[None]:
    """One night at a time for a skill and for a project; the lock says who has it and goes with its process."""
    descriptor = os.open(locks / hash_value(str(subject))[7:23], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            raise HostError(
                "night-running",
                f"a night on this {kind} is already running ({holder})",
                "wait for it, or end it",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
