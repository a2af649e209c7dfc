"""Runs, attempts and usage, as rows of the ledger.

Owns every statement of dispatch. Does not own a process or a file.
Invariant: each function is one transaction or is called inside one; the ledger's own constraints
refuse a second living attempt of a run and a second run of a paid unit.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from armarius.budget import Spent
from armarius.clock import Clock
from armarius.codex.guard import Identity
from armarius.codex.process import Exit
from armarius.errors import DataError
from armarius.runs.request import RunRequest, RunResult
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.store.queries import load
from armarius.thread import ResponseUsage, StreamSpot

__all__ = [
    "POT",
    "AttemptRow",
    "RunRow",
    "ask_instead",
    "close_attempt",
    "close_run",
    "find_run",
    "latest_runs",
    "open_attempt",
    "open_run",
    "record_usage",
    "spent_in_pot",
    "spent_since",
]

_WEEK_US = 7 * 86_400_000_000
"""A run that ended today was claimed at most so long ago."""

POT = "run_joined"
"""The event by which a run joins a pot; its subject is the pot."""

QUERIES = load(Path(__file__).with_name("queries.sql"))


class RunRow(msgspec.Struct, frozen=True):
    """A run as the ledger has it; `request` and `result` are JSON."""

    id: str
    role: str
    state: str
    folder: str
    cwd: str
    sandbox: str
    request: str
    created_at_us: int
    model: str | None = None
    codex_version: str | None = None
    paid_key: str | None = None
    thread_id: str | None = None
    result: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    started_at_us: int | None = None
    ended_at_us: int | None = None

    @property
    def outcome(self) -> RunResult | None:
        return None if self.result is None else msgspec.json.decode(self.result, type=RunResult)

    @property
    def asked(self) -> RunRequest:
        """What was asked for; DataError when that cannot be read any more."""
        try:
            return msgspec.json.decode(self.request, type=RunRequest)
        except msgspec.DecodeError as error:
            what = f"what {self.id} was asked for cannot be read: {error}"
            raise DataError(
                "run-unreadable", what, "a newer Armarius may have written it; others are not touched"
            ) from error


class AttemptRow(msgspec.Struct, frozen=True):
    """One try of a run: who claimed it and how it ended."""

    run_id: str
    number: int
    host: str
    boot_id: str
    owner_pid: int
    owner_start: int
    claimed_at_us: int = 0
    ended_at_us: int | None = None
    outcome: str | None = None

    @property
    def owner(self) -> Identity:
        return {"host": self.host, "boot_id": self.boot_id, "pid": self.owner_pid, "start": self.owner_start}


def open_run(
    ledger: Database,
    *,
    run_id: str,
    folder: str,
    request: RunRequest,
    codex_version: str,
    me: Identity,
    now_us: int,
) -> int:
    """Insert a run with its first attempt, claimed by us; the attempt's number."""
    stored = msgspec.structs.replace(request, environ={})
    ledger.execute(
        QUERIES.insert_run,
        id=run_id,
        role=request.role,
        folder=folder,
        cwd=request.cwd,
        sandbox=request.sandbox,
        model=request.model,
        effort=request.effort,
        codex_version=codex_version,
        request=msgspec.json.encode(stored).decode(),
        paid_key=request.paid_key,
        now_us=now_us,
    )
    if request.pot is not None:
        append_event(ledger, at_us=now_us, subject=request.pot.name, kind=POT, body={"run": run_id})
    return open_attempt(ledger, run_id=run_id, number=1, me=me, now_us=now_us)


def open_attempt(ledger: Database, *, run_id: str, number: int, me: Identity, now_us: int) -> int:
    """Claim the next attempt of a run; its number."""
    ledger.execute(
        QUERIES.insert_attempt,
        run_id=run_id,
        number=number,
        host=me["host"],
        boot_id=me["boot_id"],
        owner_pid=me["pid"],
        owner_start=me["start"],
        now_us=now_us,
    )
    append_event(ledger, at_us=now_us, subject=run_id, kind="run_claimed", body={"attempt": number})
    return number


def close_run(
    ledger: Database,
    *,
    number: int,
    result: RunResult,
    end: Exit,
    responses: tuple[ResponseUsage, ...],
    now_us: int,
) -> bool:
    """Write what came of a run, once: its attempt, its usage, its result and the event; whether it was open."""
    if not close_attempt(ledger, number=number, result=result, responses=responses, now_us=now_us):
        return False
    problem = result.problem
    if result.state == "crashed" and ledger.execute(QUERIES.requeue_run, id=result.id):
        why = problem.message if problem else ""
        append_event(ledger, at_us=now_us, subject=result.id, kind="run_queued", body={"attempt": number, "why": why})
        return True
    ledger.execute(
        QUERIES.end_run,
        id=result.id,
        state=result.state,
        thread_id=result.thread_id,
        exit_status=msgspec.json.encode(end).decode(),
        result=_text(msgspec.json.encode(result)),
        error_code=problem.code if problem else None,
        error_message=problem.message.replace("\0", "") if problem else None,
        now_us=now_us,
    )
    body: dict[str, Any] = {"state": result.state, "attempt": number}
    append_event(ledger, at_us=now_us, subject=result.id, kind="run_ended", body=body)
    return True


def close_attempt(
    ledger: Database, *, number: int, result: RunResult, responses: Iterable[ResponseUsage], now_us: int
) -> bool:
    """Write what came of an attempt, and leave its run open; False when that was written before."""
    if not ledger.execute(QUERIES.end_attempt, run_id=result.id, number=number, outcome=result.state, now_us=now_us):
        return False
    record_usage(ledger, result.id, responses)
    problem = result.problem
    if problem is not None and problem.code == "rate-limited":
        limited = {"attempt": number, "retry_at_us": problem.retry_at_us}
        append_event(ledger, at_us=now_us, subject=result.id, kind="run_rate_limited", body=limited)
    return True


def ask_instead(ledger: Database, *, run_id: str, request: RunRequest) -> None:
    """From its next attempt on, a run asks for something a little different."""
    stored = msgspec.structs.replace(request, environ={})
    ledger.execute(QUERIES.change_request, id=run_id, request=msgspec.json.encode(stored).decode())


def record_usage(ledger: Database, run_id: str, responses: Iterable[ResponseUsage]) -> None:
    """Note what responses cost; one that was noted before is not counted again."""
    for response in responses:
        ledger.execute(
            QUERIES.record_usage,
            run_id=run_id,
            response_id=response.response_id,
            turn_id=response.turn_id,
            input=response.usage.input,
            cached_input=response.usage.cached_input,
            cache_write=response.usage.cache_write,
            output=response.usage.output,
            reasoning=response.usage.reasoning,
            source="stream" if isinstance(response.spot, StreamSpot) else "rollout",
        )


class _Sum(msgspec.Struct, frozen=True):
    tokens: int
    requests: int
    turns: int
    agents: int
    wall_us: int

    @property
    def spent(self) -> Spent:
        return Spent(self.tokens, self.requests, self.turns, self.wall_us / 60_000_000, self.agents)


def spent_in_pot(ledger: Database, name: str, clock: Clock) -> Spent:
    """What all runs of a pot have used up, those that live included."""
    [row] = ledger.fetch(QUERIES.spent_in_pot, _Sum, pot=name, kind=POT, now_us=clock.now_us())
    return row.spent


def spent_since(ledger: Database, since_us: int, clock: Clock) -> Spent:
    """What all runs have used up that live or ended since; of a run that began before, everything counts but time."""
    values = {"since_us": since_us, "oldest_us": since_us - _WEEK_US, "now_us": clock.now_us()}
    [row] = ledger.fetch(QUERIES.spent_since, _Sum, **values)
    return row.spent


def find_run(ledger: Database, name: str) -> RunRow:
    """The run that `name` names: an id or a unique prefix of one, with or without `run_`."""
    prefix = name if name.startswith("run_") else f"run_{name}"
    rows = ledger.fetch(QUERIES.runs_by_prefix, RunRow, prefix=prefix)
    if not rows:
        raise DataError("run-unknown", f"no run {name!r} in the ledger", "see `armarius runs list`")
    if len(rows) > 1:
        raise DataError("run-ambiguous", f"{name!r} begins more than one run", "write more of its id")
    return rows[0]


def latest_runs(ledger: Database, *, most: int, role: str | None = None) -> list[RunRow]:
    """The newest runs, newest first."""
    if role is None:
        return ledger.fetch(QUERIES.latest_runs, RunRow, most=most)
    return ledger.fetch(QUERIES.latest_runs_of_role, RunRow, role=role, most=most)


def _text(encoded: bytes) -> str:
    r"""JSON for a column: no database keeps the escape of NUL as text, so it becomes U+FFFD."""
    return encoded.decode().replace("\\u0000", "\\ufffd")
