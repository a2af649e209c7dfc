"""What can be done with runs that there are already: wait for them, end them, read what they print.

Owns waiting by the ledger and ending through the guard. Does not own starting anything.
Invariant: a run is said to be over only when the ledger has its result, and that is written only when
nothing of its attempt is left alive. Whoever started it records it; when they are gone, we do.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from armarius.codex.events import event_of
from armarius.codex.follow import Follower
from armarius.codex.process import Attempt, Exit
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.workers import living
from armarius.errors import DataError, Failed, HostError, NoAnswer, Refused
from armarius.files import read_bounded
from armarius.runs import receipts
from armarius.runs.queued import cancel_waiting
from armarius.runs.records import QUERIES, AttemptRow, RunRow, close_run
from armarius.runs.request import Problem, RunEvent, RunResult

__all__ = ["cancel", "event_of_run", "events_of_run", "give_up", "stderr_of_run", "wait_for"]

_PAUSE_S = 0.1
_PATIENCE_OF_CANCEL_S = 60.0
_LARGEST_LOG = 256 << 20


def wait_for(keeper: Keeper, names: list[RunRow], timeout_s: float | None) -> list[RunRow]:
    """The runs as they ended, in their order; NoAnswer when some have not within the time."""
    end_us = None if timeout_s is None else keeper.clock.monotonic_us() + int(timeout_s * 1_000_000)
    while True:
        keeper.recover()
        rows = [_row(keeper, run.id) for run in names]
        open_ones = [row.id for row in rows if row.ended_at_us is None]
        if not open_ones:
            return rows
        if end_us is not None and keeper.clock.monotonic_us() >= end_us:
            raise NoAnswer(
                "wait-timeout", f"still not over: {', '.join(open_ones)}", "wait longer, or see `armarius runs logs`"
            )
        time.sleep(_PAUSE_S)


def cancel(keeper: Keeper, run: RunRow) -> RunRow:
    """End a run and everything it started; the run as it ended."""
    if run.ended_at_us is not None:
        raise Failed("run-ended", f"{run.id} is over: {run.state}", "")
    if run.state == "queued":
        is_ours = cancel_waiting(keeper.ledger, keeper.clock, run)
        run = _row(keeper, run.id)
        if is_ours or run.ended_at_us is not None:  # a worker may have ended it in the same moment
            return run
    row = keeper.last_attempt(run)
    if row.host != keeper.me["host"]:
        raise HostError(
            "run-elsewhere",
            f"{run.id} runs on {row.host}",
            "cancel it there; if that host never comes back, add --force to give the run up",
        )
    end_us = keeper.clock.monotonic_us() + int(_PATIENCE_OF_CANCEL_S * 1_000_000)
    _ask_to_end(keeper, run)
    while True:
        keeper.recover()
        now = _row(keeper, run.id)
        if now.state == "queued" and cancel_waiting(keeper.ledger, keeper.clock, now):  # a crash put it back
            now = _row(keeper, run.id)
        if now.ended_at_us is not None:
            return now
        if keeper.clock.monotonic_us() >= end_us:
            raise NoAnswer("cancel-pending", f"{run.id} was asked to end and has not yet", "see `armarius runs show`")
        _ask_to_end(keeper, run)  # it may have been claimed and not started when it was asked first
        time.sleep(_PAUSE_S)


def give_up(keeper: Keeper, run: RunRow) -> RunRow:
    """End a run, in the ledger alone, whose host never comes back; Refused where there is a sign of life of it.

    What it held is free then. Should the host come back all the same, it finds the run over: nothing of it is
    recorded, and a guard that lost its lease ends its Codex.
    """
    row = keeper.last_attempt(run)
    if run.ended_at_us is not None or run.state == "queued" or row.host == keeper.me["host"]:
        return cancel(keeper, run)
    sign = _sign_of_life(keeper, run, row)
    if sign is not None:
        raise Refused("run-alive", f"{run.id} is not given up: {sign}", f"cancel it on {row.host}")
    now_us = keeper.clock.now_us()
    result = RunResult(
        id=run.id,
        state="cancelled",
        role=run.asked.role,
        folder=run.folder,
        problem=Problem("given-up", f"{row.host}, which had it, was given up", "ask for it again", 130),
        sandbox=run.sandbox,
        model=run.model,
        ended_at_us=now_us,
        origin=run.asked.origin,
    )
    end, paper = Exit(outcome="lost"), None
    with keeper.ledger.transaction():
        is_new = close_run(keeper.ledger, number=row.number, result=result, end=end, responses=(), now_us=now_us)
        if is_new:
            keeper.holds.end_within(run.id)
            paper = receipts.seal_unclaimed(keeper.ledger, now_us, result)
    if paper is not None:
        receipts.mark(keeper.ledger, run.folder, paper)
    return _row(keeper, run.id)


def _sign_of_life(keeper: Keeper, run: RunRow, row: AttemptRow) -> str | None:
    """What there is to see from here of an attempt of another host."""
    if Attempt(Path(run.folder) / str(row.number)).liveness() == "alive":
        return f"its guard lives, beside {run.folder}"
    if any(worker.host == row.host for worker in living(keeper.ledger, keeper.clock, host=keeper.me["host"])):
        return f"a worker on {row.host} was heard of just now"
    is_shared = keeper.ledger.server_time_us() is not None  # in a file a lease lasts as long as its run may
    if is_shared and any(seat.state == "held" for seat in keeper.holds.leases.of_run(run.id)):
        return "what it holds was renewed within the last minute"
    return None


def _ask_to_end(keeper: Keeper, run: RunRow) -> None:
    """Ask the attempt that there is by now."""
    keeper.begun(run, keeper.last_attempt(run).number, run.asked).attempt.cancel()


def events_of_run(keeper: Keeper, run: RunRow, *, follow: bool) -> Iterator[tuple[int, int, bytes]]:
    """What the last attempt of a run printed: its number, the line's number, the line."""
    while follow and run.state == "queued":
        time.sleep(_PAUSE_S)
        run = _row(keeper, run.id)
    number, attempt = _last(keeper, run)
    follower = Follower(attempt)
    for line in follower.lines(wait=follow):
        yield number, follower.number, line


def event_of_run(run_id: str, attempt: int, line: int, text: bytes) -> RunEvent:
    """A line that Codex printed, as an event of a run."""
    return RunEvent(run_id, attempt, line, event_of(text))


def stderr_of_run(keeper: Keeper, run: RunRow) -> str:
    """What codex said besides its events, in the last attempt of a run."""
    _, attempt = _last(keeper, run)
    return read_bounded(attempt.stderr, _LARGEST_LOG).decode(errors="replace") if attempt.stderr.exists() else ""


def _last(keeper: Keeper, run: RunRow) -> tuple[int, Attempt]:
    if run.state == "queued":
        raise DataError("run-queued", f"{run.id} waits for a worker and has printed nothing", "add --follow to wait")
    newest = keeper.newest_attempt(run)
    if newest is None:
        raise DataError("run-unstarted", f"{run.id} was never started: {run.error_message}", "")
    number = newest.number
    folder = Path(run.folder) / str(number)
    if not folder.is_dir():
        raise DataError("run-folder", f"{run.id} has no folder {folder}", "it was never started, or was cleared away")
    return number, Attempt(folder)


def _row(keeper: Keeper, run_id: str) -> RunRow:
    row = keeper.ledger.fetch_one(QUERIES.run_by_id, RunRow, id=run_id)
    if row is None:
        raise RuntimeError(f"{run_id} is gone from the ledger, of which nothing is ever deleted")
    return row
