"""Claim and start; and carry on what a crash left.

Owns the order of these steps. Does not own what follows a start (keeper.py) or the rows (records.py).
Invariant: the claim is committed before the guard exists. A kill between any two steps leaves a run
that `begin` or `recover` carries on: nothing that Codex finished is asked for again, and no attempt
starts while an earlier one lives.

    claimed, never started   its lock is free and `launch.json` is missing: another attempt
    started, still alive     its guard holds the lock: wait for it
    ended, not recorded      `exit.json` is there: settle it
    its guard was killed     its orphans are ended first, then another attempt
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.binary import Binary
from armarius.codex.command import ExecRequest, Resume, environ_of
from armarius.codex.dotenv import names_in
from armarius.codex.driver import driver_of
from armarius.codex.events import END_OF_TURN, stops_of
from armarius.codex.process import Attempt, Exit, Launch
from armarius.codex.project_trust import undecided
from armarius.dispatch.keeper import BEFORE, Begun, Judged, Keeper, folders_of, note_past
from armarius.dispatch.proving import proven
from armarius.errors import ArmariusError, HostError
from armarius.files import private_folder, write_atomic
from armarius.identity import new_id
from armarius.resources.leases import Held
from armarius.runs import queued, records, workspace
from armarius.runs.limits import NO_STANDING, Limit, Standing, check_budget
from armarius.runs.receipts import note_pins
from armarius.runs.records import QUERIES, RunRow, spent_in_pot
from armarius.runs.request import Problem, RunRequest, RunResult
from armarius.sharing import checkouts
from armarius.sharing.holding import NOTHING, tools_environ
from armarius.sharing.servers import check_servers
from armarius.sharing.site import NOW, NOWHERE, WAIT, Site, Waiting
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.thread import Sandbox

__all__ = ["Runner"]

_SCHEMA = "schema.json"
_TEMPORARY = "tmp"
_SHORTEST_S = 0.1
_AT_WORK = frozenset({"claimed", "running"})
_UNFINISHED = frozenset({"cancelled", "crashed", "interrupted"})
"""Ends that say nothing of the work: it was stopped, not done."""


class Runner(Keeper):
    """A keeper that also starts what is asked for."""

    def __init__(
        self,
        ledger: Database,
        clock: Clock,
        runs: Path,
        binary: Binary,
        environ: dict[str, str],
        *,
        standing: Standing = NO_STANDING,
        site: Site = NOWHERE,
    ) -> None:
        super().__init__(ledger, clock, site)
        self.standing = standing
        self._runs = runs
        self._binary = binary
        self._environ = environ

    @property
    def binary(self) -> Binary:
        """The codex that does the work."""
        return self._binary

    def folder_of(self, run_id: str) -> Path:
        """Where a run's files are kept."""
        return self._runs / run_id

    def run(self, request: RunRequest) -> RunResult:
        """Do one piece of work, from claim to record."""
        begun = self.begin(request, self.obtain(request))
        return begun.done or self.record(begun, self.prove(begun, self.judge(begun, begun.attempt.wait())))

    def prove(self, begun: Begun, judged: Judged, ends: Callable[[Attempt], object] | None = None) -> Judged:
        """The same, once the run's required commands have run, in the tree that it still holds."""
        return self.proof(begun, judged, ends)()

    def proof(
        self, begun: Begun, judged: Judged, ends: Callable[[Attempt], object] | None = None
    ) -> Callable[[], Judged]:
        """What `prove` does, without the ledger: for another thread."""
        request = checkouts.placed(begun.request, begun.attempt.folder.parent)
        if not (request.required or request.evidence):
            return lambda: judged
        held = Held(tuple(seat.lease for seat in self.holds.leases.of_run(begun.run_id)), 0)
        leased = tools_environ(held)

        def prove() -> Judged:
            result = proven(request, begun.attempt, judged.result, self._environ, leased, ends=ends)
            return msgspec.structs.replace(judged, result=result)

        return prove

    def obtain(self, request: RunRequest, waiting: Waiting = WAIT) -> Held:
        """What the run is to hold, for `begin`; NoAnswer when it is not free in time. Nothing is claimed by then.

        A run that is at work already holds it itself.
        """
        known = self._known(request)
        is_at_work = known is not None and known.state in _AT_WORK
        return NOTHING if is_at_work else self._get(request, waiting)

    def _get(self, request: RunRequest, waiting: Waiting) -> Held:
        held = self.holds.obtain(request, waiting)
        try:
            check_servers(request, Path(self._binary.path), self._environ)
        except BaseException:
            self.holds.give_back_unused(held)
            raise
        return held

    def begin(self, request: RunRequest, held: Held | None = None) -> Begun:
        """Claim and start the work, or take up what there already is of its paid unit.

        Without `held`, NoAnswer unless everything that it is to hold is free now.
        """
        held = self.obtain(request, NOW) if held is None else held
        with self.given_back_unless_used(held):
            return self._begin(request, held)

    def _begin(self, request: RunRequest, held: Held) -> Begun:
        run_id = new_id("run", self.clock)
        folder = self.folder_of(run_id)
        if self._known(request) is None:
            check_budget(request, self.limits(request))
        with self.ledger.transaction():  # looking and claiming are one: nobody comes in between
            known = self._known(request)
            if known is None:
                records.open_run(
                    self.ledger,
                    run_id=run_id,
                    folder=str(folder),
                    request=request,
                    codex_version=self._binary.version,
                    me=self.me,
                    now_us=self.clock.now_us(),
                )
                held = self.holds.give(held, self.holds.leases.me, run_id)
        if known is None:
            return self._start(run_id, folder, 1, request, held)
        if known.state == "succeeded":
            return self._finished(known, request)
        return self._take_up(known, request, held)

    @contextmanager
    def given_back_unless_used(self, held: Held) -> Generator[None]:
        """A lease that no run was made the holder of by the end of the block goes back at once."""
        try:
            yield
        finally:
            self.holds.give_back_unused(held)

    def limits(self, request: RunRequest) -> tuple[Limit, ...]:
        """What limits a run besides its own budget."""
        pot = request.pot
        if pot is None:
            return self.standing.limits(request)
        shared = Limit(pot.name, pot.budget, lambda: spent_in_pot(self.ledger, pot.name, self.clock))
        return (shared, *self.standing.limits(request))

    def begin_queued(self, run_id: str, request: RunRequest, held: Held | None = None) -> Begun | None:
        """Claim and start a run of the queue, or take up its attempt; None when somebody else has it, or it is over.

        Without `held`, NoAnswer unless everything that it is to hold is free now, or it is at work already.
        """
        if held is None:
            held = NOTHING if self.row(run_id).state in _AT_WORK else self._get(request, NOW)
        with self.given_back_unless_used(held):
            return self._begin_queued(run_id, request, held)

    def _begin_queued(self, run_id: str, request: RunRequest, held: Held) -> Begun | None:
        folder = self.folder_of(run_id)
        with self.ledger.transaction():
            number = queued.claim(
                self.ledger,
                run_id,
                folder=folder,
                codex_version=self._binary.version,
                me=self.me,
                now_us=self.clock.now_us(),
            )
            if number is not None:
                records.ask_instead(self.ledger, run_id=run_id, request=request)  # with what is this seat's
                held = self.holds.give(held, self.holds.leases.me, run_id)
        if number is not None:
            return self._start(run_id, folder, number, request, held)
        run = self.row(run_id)
        if run.ended_at_us is not None:
            return None
        row = self.last_attempt(run)
        is_free = row.ended_at_us is None and not self.is_anothers(row) and self.take_over(row)
        if not is_free:
            return None
        begun = self.begun(run, row.number, request)
        self.holds.take_up(run_id, begun.attempt.folder)
        return begun

    def _known(self, request: RunRequest) -> RunRow | None:
        if request.paid_key is None:
            return None
        return self.ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=request.paid_key)

    def _finished(self, run: RunRow, request: RunRequest) -> Begun:
        begun = self.begun(run, self.last_attempt(run).number, request)
        return msgspec.structs.replace(begun, done=run.outcome)

    def _take_up(self, run: RunRow, request: RunRequest, held: Held) -> Begun:
        """Carry on with a run that was begun before: adopt its attempt, or try once more."""
        row = self.last_attempt(run)
        begun = self.begun(run, row.number, request)
        if row.ended_at_us is None:
            if self.is_anothers(row):
                raise HostError(
                    "run-owned",
                    f"{run.id} is being run by process {row.owner_pid} on {row.host}",
                    "wait for it, or stop that process",
                )
            if not self.take_over(row):
                return self._begin(request, held)  # somebody was faster: look again
            if begun.attempt.liveness() == "alive":
                self.holds.take_up(run.id, begun.attempt.folder)
                return begun
            result = self.finish(begun, begun.attempt.wait())  # nobody was there to record it
            if result.state not in _UNFINISHED:
                return msgspec.structs.replace(begun, done=result)
        held = held if held.leases else self._get(request, NOW)  # it may have been at work when that was asked
        with self.given_back_unless_used(held):
            return self._once_more(run, row.number, request, held)

    def _once_more(self, run: RunRow, number: int, request: RunRequest, held: Held) -> Begun:
        check_budget(request, self.limits(request))
        with self.ledger.transaction():
            newest = self.last_attempt(run)
            is_ours = newest.number == number and newest.outcome != "succeeded"
            if is_ours:
                self.ledger.execute(QUERIES.reclaim_run, id=run.id)
                records.open_attempt(
                    self.ledger, run_id=run.id, number=number + 1, me=self.me, now_us=self.clock.now_us()
                )
                held = self.holds.give(held, self.holds.leases.me, run.id)
        if not is_ours:
            return self._begin(request, held)
        return self._start(run.id, Path(run.folder), number + 1, request, held)

    def again(self, begun: Begun, judged: Judged, request: RunRequest, why: str) -> Begun:
        """Another attempt of a run whose last one is over and not recorded: both in one step, so that it stays open."""
        number = begun.number + 1
        held = self.holds.going_on(begun.run_id)
        with self.ledger.transaction():
            now_us = self.clock.now_us()
            self.note_agents(begun.run_id, judged.agents)
            records.close_attempt(
                self.ledger, number=begun.number, result=judged.result, responses=judged.responses, now_us=now_us
            )
            problem = judged.result.problem
            said = {"code": problem.code, "message": problem.message.replace("\0", "")} if problem else {}
            failed = {"attempt": begun.number} | said
            append_event(self.ledger, at_us=now_us, subject=begun.run_id, kind="attempt_failed", body=failed)
            records.ask_instead(self.ledger, run_id=begun.run_id, request=request)
            body = {"attempt": number, "home": request.codex_home}
            append_event(self.ledger, at_us=now_us, subject=begun.run_id, kind=why, body=body)
            records.open_attempt(self.ledger, run_id=begun.run_id, number=number, me=self.me, now_us=now_us)
        used_s = _allowed_s(begun.request) - self.left_s(begun)
        return self._start(begun.run_id, begun.attempt.folder.parent, number, request, held, used_s=used_s)

    def left_s(self, begun: Begun) -> float:
        """How long the run may still take, of what its deadline and its budget allow."""
        started_us = self.row(begun.run_id).started_at_us
        used_s = 0.0 if started_us is None else (self.clock.now_us() - started_us) / 1_000_000
        used_s = max(0.0, used_s)  # a clock that was put back gives no time away
        return _allowed_s(begun.request) - used_s

    def _start(
        self, run_id: str, folder: Path, number: int, request: RunRequest, held: Held, *, used_s: float = 0.0
    ) -> Begun:
        attempt = Attempt(private_folder(private_folder(folder) / str(number)))
        begun = Begun(run_id, number, request, attempt, self._binary.version)
        try:
            checkouts.make_checkout(request, folder, run_id, self.clock)
        except ArmariusError as error:
            return self._not_started(begun, error)
        launch = self._launch(attempt.folder, checkouts.placed(request, folder), held, used_s)
        guard = attempt.start(launch, request.prompt.encode())
        self.holds.keep(run_id, held, attempt.folder)
        with self.ledger.transaction():
            now_us = self.clock.now_us()
            self.ledger.execute(
                QUERIES.record_guard,
                run_id=run_id,
                number=number,
                guard_pid=guard["pid"],
                guard_start=guard["start"],
            )
            self.ledger.execute(QUERIES.mark_running, id=run_id, now_us=now_us)
            append_event(self.ledger, at_us=now_us, subject=run_id, kind="run_started", body={"attempt": number})
        return begun

    def _not_started(self, begun: Begun, error: ArmariusError) -> Begun:
        """A run that has no tree to work in is over before anything was paid for."""
        judged = self.judge(begun, Exit(outcome="not_started", error=error.message))
        problem = Problem(error.code, error.message, error.hint, error.exit_code)
        done = msgspec.structs.replace(judged.result, problem=problem)
        self.record(begun, msgspec.structs.replace(judged, result=done))
        return msgspec.structs.replace(begun, done=done)

    def _launch(self, folder: Path, request: RunRequest, held: Held, used_s: float) -> Launch:
        if request.schema is not None:
            write_atomic(folder / _SCHEMA, msgspec.json.encode(request.schema))
        if request.sandbox != Sandbox.READ_ONLY.flag or request.approval != "never":
            write_atomic(folder / BEFORE, workspace.encode(workspace.snapshot(*folders_of(request))))
        if (folder / BEFORE).exists() or request.required:
            note_pins(folder, request)
        resumed = request.origin.thread_id if isinstance(request.origin, Resume) else None
        if resumed is not None:
            note_past(folder, request, resumed)
        command = ExecRequest(
            prompt=request.prompt,
            cwd=request.cwd,
            sandbox=Sandbox.from_flag(request.sandbox),
            tools_path=request.tools_path,
            model=request.model,
            effort=request.effort,
            schema_file=str(folder / _SCHEMA) if request.schema is not None else None,
            lean=request.lean,
            thread_source=f"armarius-{request.role}" + (f"-replicate-{request.replicate}" if request.replicate else ""),
            extra_environ=request.environ | {"HOME": request.home, "CODEX_HOME": request.codex_home},
            ephemeral=request.ephemeral,
            origin=request.origin,
            service_tier=request.service_tier,
            profile=request.profile,
            images=request.images,
            add_dirs=request.add_dirs,
            config=request.config,
            approval=request.approval,
            untrusted=undecided(Path(request.codex_home), Path(request.cwd), request.profile),
            tools_environ=request.environment | tools_environ(held),
            network=request.network,
            hidden=names_in(Path(request.codex_home)),
        )
        return Launch(
            argv=driver_of(command).argv(command, self._binary, folder),
            environ=environ_of(command, self._environ, private_folder(folder / _TEMPORARY)),
            cwd=request.cwd,
            deadline_s=max(_allowed_s(request) - used_s, _SHORTEST_S),
            witness=request.witness,
            stops=stops_of(resumed),
            fence=self.holds.fence(held, folder),
            last=END_OF_TURN,
        )


def _allowed_s(request: RunRequest) -> float:
    return min(request.deadline_s, 60 * (request.budget.minutes or math.inf))
