"""One night: replay, reflect, edit, judge at the gate, stage.

Owns the order of the steps, which experiment a night belongs to, and its report. Does not own any
step: propose.py, held_out.py and staging.py do.
Invariant: the reflector sees the training tasks and nothing of the held-out ones; the gate sees ids
and scores and nothing of the texts. Every paid run has a key, every pair is kept before it counts,
so a night that was killed anywhere comes to the same end without repeating a finished run.

A course is everything that evidence depends on but the text of a candidate: target and base, tasks, model, effort,
Codex version. On a course each night proposes one candidate more, beside those that are undecided. Training replays
are paid once until a candidate was judged.
"""

import contextlib
import fcntl
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
from armarius.evolve.bench import Allowance, Bench, Progress
from armarius.evolve.candidates import befallen, carry_over, divide, enter
from armarius.evolve.course import course_of, open_night
from armarius.evolve.directly import Directly
from armarius.evolve.memory import Memory
from armarius.evolve.outside import look_from
from armarius.evolve.page import PAGE, page_of
from armarius.evolve.propose import Proposed, Terms, edit_line, propose
from armarius.evolve.records import QUERIES, CandidateRow, NightRow, RoundRow, kept_pairs
from armarius.evolve.replay import Lab, Metric, Trial, companions_of
from armarius.evolve.report import NightReport, Retained, render, sent_to
from armarius.evolve.retention import suite_for, write_kept
from armarius.evolve.side_by_side import Court, Heard, hear_all, leading, line_of
from armarius.evolve.targets import make_learned, skill_text
from armarius.evolve.tasks import TaskFile, split_tasks
from armarius.evolve.thinkers import Thinker
from armarius.files import private_folder, write_atomic
from armarius.gate.decision import DEFAULT
from armarius.identity import hash_bytes, hash_value
from armarius.skills.capability import new_capabilities
from armarius.skills.document import MEMORY, diff, parse_document
from armarius.skills.edit import Applied
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.thread import Usage

__all__ = ["Night", "NightOrder"]


_LONGEST_REFUSED = 2_000
"""Characters of a refused edit that a report shows: more than fit into a rule."""


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
    """How a night ends: its state, the gate's answer, all who were heard, whom it is about, and that one's text."""

    state: str
    answer: str
    reason: str
    heard: tuple[Heard, ...] = ()
    lead: Heard | None = None
    applied: Applied | None = None


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
        self._base = skill_text(order.target)
        self._document = parse_document(self._base, str(order.target))
        self._train, sealed = split_tasks(order.tasks.tasks[: order.max_tasks])
        self._held_out = tuple(task for task in sealed if task.why_uncertifiable is None)
        self._began = clock.monotonic_us()

    def run(self) -> NightReport:
        """Do the night, or what is left of it; its report."""
        order = self._order
        check_fresh(order.owner, self._clock.now_us() + int(order.deadline_s * 1_000_000))
        locks = private_folder(self._home / "locks")
        with _alone(locks, order.target, "skill"), _alone(locks, order.project, "project"):
            make_learned(order.target)  # now that nothing refuses the night any more
            staged = self._staged_before()
            if staged is not None:
                return staged
            night, memory = self._open()
            # Tried anew once a candidate was judged: else who reads the same answers has the same ideas.
            tries = hash_value({"course": night.experiment, "judged": len(memory.barred)})
            lab = self._lab(tries, private_folder(self._home / "replays"))
            if order.gate:
                sides = {"train": self._train, "held_out": self._held_out}
                carry_over(self._ledger, self._clock, night, self._document, **sides)
            proposed = propose(
                self._bench,
                lab,
                self._document,
                self._train,
                observed=order.observed,
                terms=self._terms(memory),
                think=self._think,
                optimizer=self._optimizer(lab),
            )
            return self._close(night, self._judge(night, lab, proposed), proposed)

    def _judge(self, night: NightRow, lab: Lab, proposed: Proposed) -> Outcome:
        """What the gate makes of the new candidate and of those that are undecided."""
        order, ledger, clock = self._order, self._ledger, self._clock
        new = proposed.applied if proposed.why_nothing is None else None
        if new is not None:
            enter(ledger, clock, night, applied=new, train=self._train, gated=order.gate)
            if not order.gate:
                return Outcome("staged", "ungated", "the gate was off: nothing was judged", applied=new)
        court = Court(
            bench=self._bench,
            lab=lab,
            ledger=ledger,
            clock=clock,
            document=self._document,
            held_out=self._held_out,
            shown=frozenset(task.task_id for task in self._train),
            metric=order.metric,
            suite=suite_for(ledger, order.target, order.tasks.tasks, self._held_out),
        )
        heard = tuple(hear_all(court, night, divide(ledger, clock, night))) if order.gate else ()
        lead = leading(heard)
        if lead is None:
            return Outcome("nothing", "none", proposed.why_nothing or "nobody was left to be heard")
        state = "staged" if lead.answer == "adopt" else "nothing"
        return Outcome(state, lead.answer, lead.reason, heard, lead, lead.applied)

    def _terms(self, memory: Memory) -> Terms:
        """What edits are asked for; the memory is that of the night's beginning, so that it is asked once."""
        order = self._order
        return Terms(
            budget=order.edit_budget,
            rollouts=order.rollouts,
            preferences=order.preferences,
            told=memory.told,
            on_trial=memory.on_trial,
            barred=frozenset(memory.barred),
            sealed=self._held_out,
        )

    # Which night this is.

    def _staged_before(self) -> NightReport | None:
        """The report of the night whose proposal for this very file still waits."""
        row = self._ledger.fetch_one(
            QUERIES.night_of_staged, NightRow, target_path=str(self._order.target), base_hash=hash_bytes(self._base)
        )
        return None if row is None else row.outcome

    def _open(self) -> tuple[NightRow, Memory]:
        """The open night of this course, or the next one."""
        order, base_hash = self._order, hash_bytes(self._base)
        facts = {
            "target": str(order.target),
            "model": order.model or order.owner.model,
            "effort": order.effort or order.owner.effort,
            "provider": hash_value(order.owner.provider),
            "codex": order.codex_version,
            "metric": order.metric,
            "optimizer": order.optimizer_model,
        }
        if (directly := self._directly) is not None:
            facts |= {"answered": directly.name, "model": directly.model, "effort": None, "provider": "", "codex": ""}
        elif companions := self._companions():
            facts["companions"] = companions
        return open_night(
            self._ledger,
            self._clock,
            course=course_of(base_hash, self._train, self._held_out, **facts),
            project=order.project,
            target=order.target,
            base_hash=base_hash,
            edit_budget=order.edit_budget,
            max_tasks=order.max_tasks,
            gated=order.gate,
        )

    def _companions(self) -> str:
        """The files beside the skill that a replay gets; a model without tools and a project's memory have none."""
        order = self._order
        return "" if self._directly or order.target.name == MEMORY else companions_of(order.target.parent)

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
            companions=self._companions(),
        )
        return msgspec.structs.replace(lab, look=look_from(self._bench, self._optimizer(lab), self._binary))

    def _optimizer(self, lab: Lab) -> Lab:
        """Where reflections and ratings are made: by Codex, whoever replays."""
        return msgspec.structs.replace(lab, model=self._order.optimizer_model or lab.model)

    # What is left of it.

    def _close(self, night: NightRow, outcome: Outcome, proposed: Proposed) -> NightReport:
        """Stage what may be adopted, write the report, close the night."""
        folder = private_folder(self._home / "nights" / night.id)
        after = self._document if outcome.applied is None else outcome.applied.document
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
            self._settle(night, outcome, now_us)
            text = msgspec.json.encode(report).decode()
            self._ledger.execute(QUERIES.end_night, id=night.id, state=outcome.state, report=text, now_us=now_us)
            append_event(
                self._ledger, at_us=now_us, subject=night.id, kind="night_ended", body={"state": outcome.state}
            )
        return report

    def _settle(self, night: NightRow, outcome: Outcome, now_us: int) -> None:
        """Write down what became of those who were heard; whoever got no score has this round still before them."""
        states = {"adopt": "certified", "reject": "rejected"}
        heard = {one.row.id: one for one in outcome.heard}
        had_one = {name for name, one in heard.items() if self._has_scores(one)}
        for name, one in heard.items():
            if one.answer in states:
                state = states[one.answer]
                self._ledger.execute(QUERIES.end_candidate, id=name, state=state, reason=one.reason, now_us=now_us)
        for one in self._ledger.fetch(QUERIES.rounds_of_night, RoundRow, night_id=night.id):
            if one.candidate_id not in had_one:
                told = {"candidate_id": one.candidate_id, "course": night.experiment, "night": night.number}
                self._ledger.execute(QUERIES.forget_pairs, **told)
                self._ledger.execute(QUERIES.forget_round, night_id=night.id, candidate_id=one.candidate_id)

    def _has_scores(self, one: Heard) -> bool:
        """Whether a round is one: some pair of it got a score, or its candidate was decided on before."""
        rows = kept_pairs(self._ledger, one.row.id)
        return one.answer == "adopt" or any(row.has_score for row in rows if row.night == one.round)

    def _waiting(self, night: NightRow, outcome: Outcome) -> tuple[str, ...]:
        """The undecided candidates of this course that were not heard tonight."""
        rows = self._ledger.fetch(QUERIES.candidates_of_course, CandidateRow, course=night.experiment)
        heard = {one.row.id for one in outcome.heard}
        return tuple(row.id for row in rows if row.state == "open" and row.id not in heard)

    def _report(self, night: NightRow, folder: Path, outcome: Outcome, proposed: Proposed) -> NightReport:
        # A run that was tried again is among the results twice.
        applied, spent = outcome.applied, list({run.id: run for run in self._bench.results}.values())
        lines = {one.row.id: line_of(self._ledger, night, one) for one in outcome.heard}
        lead = lines[outcome.lead.row.id] if outcome.lead else None
        refused = proposed.applied.rejected if proposed.applied else ()
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
            e_value=lead.e_value if lead else 1.0,
            pairs_used=lead.pairs_used if lead else 0,
            pairs_ignored=lead.pairs_ignored if lead else 0,
            nights=lead.nights if lead else DEFAULT.nights,
            worth=lead.worth if lead else float(DEFAULT.worth),
            train_tasks=len(self._train),
            held_out_tasks=len(self._held_out),
            shape_only=all(task.judge.shape_only for task in self._held_out),
            accepted=tuple(map(edit_line, applied.accepted)) if applied else (),
            rejected=tuple(f"{edit_line(one.edit)[:_LONGEST_REFUSED]} ({one.reason})" for one in refused),
            pairs=lead.pairs if lead else (),
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
            shares=outcome.lead.shares if outcome.lead else (),
            retained=outcome.lead.retained if outcome.lead else Retained(),
            sent=(*sent_to(self._order.owner, spent, without_codex), *(self._think.sent if self._think else ())),
            without_codex=without_codex,
            round=lead.round if lead else 0,
            candidates=tuple(lines.values()),
            waiting=self._waiting(night, outcome),
            notes=befallen(self._ledger, night.id),
            nothing_new=proposed.why_nothing or "" if outcome.heard else "",
        )


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
