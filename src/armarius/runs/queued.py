"""Runs that wait for a worker: handed in, in line, claimed, put back, cancelled.

Owns their rows and who may do one. Does not own doing it (`carrying.py`) nor the engine.
Invariant: a run is accepted when its row is committed, and from then on it is in the ledger until it has
ended. It is claimed by one attempt at a time. No value of a variable is ever in a row.

Where a run is done. It belongs to the seat that handed it in: that host, and that user's ARMARIUS_HOME,
where its folder, its login and its session lie. A run for any host may be done by every seat that has a
folder of its name, a lane of its name, and the variables that its provider needs; one that lacks anything
of these leaves it alone.
"""

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.guard import Identity
from armarius.errors import ArmariusError
from armarius.identity import new_id
from armarius.lanes.lanes import OWN, Lanes
from armarius.runs import receipts, records
from armarius.runs.request import Problem, RunRequest, RunResult, RunState
from armarius.settings import Settings
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.store.queries import load

__all__ = [
    "Place",
    "Waiting",
    "cancel_waiting",
    "claim",
    "end_unclaimed",
    "hand_in",
    "lacks",
    "line",
    "place_in",
    "place_of",
    "problem_of",
    "seat_of",
    "waiting",
]

QUERIES = load(Path(__file__).with_name("queue.sql"))

TRIES = 3
"""A run whose guard was killed is tried again; one that does it to every guard is not tried for ever."""


class Place(msgspec.Struct, frozen=True):
    """Where a run may be done: at one seat, or (None) wherever lane and variables are."""

    seat: str | None
    lane: str
    variables: tuple[str, ...] = ()


class Waiting(msgspec.Struct, frozen=True):
    """A run in line, as a worker weighs it; `variables` is JSON."""

    id: str
    cwd: str
    seat: str | None
    lane: str
    variables: str


class _Row(msgspec.Struct, frozen=True):
    run_id: str
    seat: str | None
    lane: str
    variables: str


def seat_of(settings: Settings) -> str:
    """The name of a host and of one user's home on it."""
    return f"{os.uname().nodename}:{settings.home}"


def place_of(settings: Settings, request: RunRequest, *, any_host: bool) -> Place:
    """Where a request of ours may be done."""
    home = Path(request.codex_home)
    lanes = Lanes(settings)
    lane = next((lane.name for lane in lanes.all() if lanes.home(lane.name) == home), OWN)
    return Place(None if any_host else seat_of(settings), lane, tuple(sorted(request.environ)))


def hand_in(ledger: Database, clock: Clock, runs: Path, request: RunRequest, place: Place) -> str:
    """Accept a run, inside the caller's transaction if there is one; its id."""
    run_id, now_us = new_id("run", clock), clock.now_us()
    stored = msgspec.structs.replace(request, environ={})
    ledger.execute(
        QUERIES.insert_waiting_run,
        id=run_id,
        role=request.role,
        folder=str(runs / run_id),
        cwd=request.cwd,
        sandbox=request.sandbox,
        model=request.model,
        effort=request.effort,
        request=msgspec.json.encode(stored).decode(),
        paid_key=request.paid_key,
        now_us=now_us,
    )
    ledger.execute(
        QUERIES.insert_queued_run,
        run_id=run_id,
        seat=place.seat,
        lane=place.lane,
        variables=msgspec.json.encode(place.variables).decode(),
        tries=TRIES,
        now_us=now_us,
    )
    append_event(ledger, at_us=now_us, subject=run_id, kind="run_queued", body={"seat": place.seat})
    return run_id


def cancel_waiting(ledger: Database, clock: Clock, run: records.RunRow) -> bool:
    """Cancel a run that nobody has claimed; False when it does not wait any more."""
    problem = Problem("cancelled", "the run was cancelled before it was started", "", 130)
    return end_unclaimed(ledger, run, "cancelled", problem, clock.now_us())


def waiting(ledger: Database, seat: str, most: int) -> list[Waiting]:
    """The oldest runs that this seat may have to do."""
    return ledger.fetch(QUERIES.waiting, Waiting, seat=seat, most=most)


def line(ledger: Database) -> dict[str, int]:
    """Every run that waits, with its position; the next one has 1."""
    return {row["id"]: number for number, row in enumerate(ledger.fetch(QUERIES.line), 1)}


def lacks(run: Waiting, settings: Settings, lanes: Collection[str]) -> str | None:
    """What this seat has not, and the run needs; None when it may be claimed here.

    Of a run that is this seat's alone only variables count: what else is missing is a reason to fail.
    """
    missing = [name for name in msgspec.json.decode(run.variables, type=list[str]) if name not in settings.environ]
    if missing:
        return f"the variable {missing[0]}"
    if run.seat is None and run.lane != OWN and run.lane not in lanes:
        return f"the lane {run.lane}"
    if run.seat is None and not Path(run.cwd).is_dir():
        return f"the folder {run.cwd}"
    return None


def place_in(ledger: Database, run_id: str) -> Place | None:
    """What was said about the place of a run; None for one that was never in the queue."""
    row = ledger.fetch_one(QUERIES.queued_run, run_id=run_id)
    if row is None:
        return None
    said = msgspec.convert(row, _Row)
    return Place(said.seat, said.lane, tuple(msgspec.json.decode(said.variables, type=list[str])))


def claim(ledger: Database, run_id: str, *, folder: Path, codex_version: str, me: Identity, now_us: int) -> int | None:
    """Claim a run that waits, inside the caller's transaction: the attempt's number, None when it does not wait."""
    changed = ledger.execute(QUERIES.claim_queued, id=run_id, folder=str(folder), codex_version=codex_version)
    if not changed:
        return None
    last = ledger.fetch_one(records.QUERIES.last_attempt, records.AttemptRow, run_id=run_id)
    number = 1 if last is None else last.number + 1
    return records.open_attempt(ledger, run_id=run_id, number=number, me=me, now_us=now_us)


def end_unclaimed(ledger: Database, run: records.RunRow, state: RunState, problem: Problem, now_us: int) -> bool:
    """End a run that waits without an attempt; False when it does not wait any more."""
    result = RunResult(
        id=run.id,
        state=state,
        role=run.asked.role,
        folder=run.folder,
        problem=problem,
        sandbox=run.sandbox,
        model=run.model,
        ended_at_us=now_us,
        origin=run.asked.origin,
    )
    row = None
    with ledger.transaction():
        changed = ledger.execute(
            QUERIES.end_queued,
            id=run.id,
            state=state,
            result=msgspec.json.encode(result).decode(),
            error_code=problem.code,
            error_message=problem.message,
            now_us=now_us,
        )
        if changed:
            append_event(ledger, at_us=now_us, subject=run.id, kind="run_ended", body={"state": state, "attempt": 0})
            row = receipts.seal_unclaimed(ledger, now_us, result)
    if row is not None:
        receipts.mark(ledger, run.folder, row)
    return changed == 1


def problem_of(error: ArmariusError) -> Problem:
    """An error as the reason of a run."""
    return Problem(error.code, error.message.replace("\0", ""), error.hint, error.exit_code)
