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

from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.binary import Binary
from armarius.codex.command import ExecRequest, Resume, argv_of, environ_of
from armarius.codex.events import stops_of
from armarius.codex.process import Attempt, Launch
from armarius.dispatch import records, workspace
from armarius.dispatch.keeper import BEFORE, Begun, Keeper, folders_of, note_past
from armarius.dispatch.records import QUERIES, RunRow
from armarius.dispatch.request import RunRequest, RunResult
from armarius.errors import HostError
from armarius.files import private_folder, write_atomic
from armarius.identity import new_id
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.thread import Sandbox

__all__ = ["Runner"]

_SCHEMA = "schema.json"
_TEMPORARY = "tmp"
_UNFINISHED = frozenset({"cancelled", "crashed", "interrupted"})
"""Ends that say nothing of the work: it was stopped, not done."""


class Runner(Keeper):
    """A keeper that also starts what is asked for."""

    def __init__(self, ledger: Database, clock: Clock, runs: Path, binary: Binary, environ: dict[str, str]) -> None:
        super().__init__(ledger, clock)
        self._runs = runs
        self._binary = binary
        self._environ = environ

    def run(self, request: RunRequest) -> RunResult:
        """Do one piece of work, from claim to record."""
        begun = self.begin(request)
        return begun.done or self.finish(begun, begun.attempt.wait())

    def begin(self, request: RunRequest) -> Begun:
        """Claim and start the work, or take up what there already is of its paid unit."""
        run_id = new_id("run", self.clock)
        folder = self._runs / run_id
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
        if known is None:
            return self._start(run_id, folder, 1, request)
        if known.state == "succeeded":
            return self._finished(known, request)
        return self._take_up(known, request)

    def _known(self, request: RunRequest) -> RunRow | None:
        if request.paid_key is None:
            return None
        return self.ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=request.paid_key)

    def _finished(self, run: RunRow, request: RunRequest) -> Begun:
        begun = self.begun(run, self.last_attempt(run).number, request)
        return msgspec.structs.replace(begun, done=run.outcome)

    def _take_up(self, run: RunRow, request: RunRequest) -> Begun:
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
                return self.begin(request)  # somebody was faster: look again
            if begun.attempt.liveness() == "alive":
                return begun
            result = self.finish(begun, begun.attempt.wait())  # nobody was there to record it
            if result.state not in _UNFINISHED:
                return msgspec.structs.replace(begun, done=result)
        with self.ledger.transaction():
            newest = self.last_attempt(run)
            is_ours = newest.number == row.number and newest.outcome != "succeeded"
            if is_ours:
                self.ledger.execute(QUERIES.reclaim_run, id=run.id)
                records.open_attempt(
                    self.ledger, run_id=run.id, number=row.number + 1, me=self.me, now_us=self.clock.now_us()
                )
        return self._start(run.id, Path(run.folder), row.number + 1, request) if is_ours else self.begin(request)

    def _start(self, run_id: str, folder: Path, number: int, request: RunRequest) -> Begun:
        attempt = Attempt(private_folder(private_folder(folder) / str(number)))
        begun = Begun(run_id, number, request, attempt, self._binary.version)
        guard = attempt.start(self._launch(attempt.folder, request), request.prompt.encode())
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

    def _launch(self, folder: Path, request: RunRequest) -> Launch:
        if request.schema is not None:
            write_atomic(folder / _SCHEMA, msgspec.json.encode(request.schema))
        if request.sandbox != Sandbox.READ_ONLY.flag:
            write_atomic(folder / BEFORE, workspace.encode(workspace.snapshot(*folders_of(request))))
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
        )
        return Launch(
            argv=argv_of(command, self._binary),
            environ=environ_of(command, self._environ, private_folder(folder / _TEMPORARY)),
            cwd=request.cwd,
            deadline_s=request.deadline_s,
            witness=request.witness,
            stops=stops_of(resumed),
        )
