"""Runs as they are printed.

Owns the shapes of the answers and opening the ledger for them. Does not own any command.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from armarius.cli.database import load
from armarius.cli.output import print_json, print_table
from armarius.cli.runs.metering import MeterLine
from armarius.clock import SystemClock, rfc3339
from armarius.codex.orders import Question
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.workbench import ledger_of, site_of
from armarius.errors import DataError
from armarius.runs.approvals import shown, waiting
from armarius.runs.decisions import Decided
from armarius.runs.records import RunRow
from armarius.runs.request import RunResult
from armarius.store.ledger import Event

__all__ = [
    "AS_JSON",
    "EventLine",
    "RunLine",
    "RunList",
    "RunRecord",
    "event_line",
    "keeper",
    "print_runs",
    "questions_of",
    "run_line",
    "shown_state",
]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class RunLine(msgspec.Struct, frozen=True):
    """A run in short; `waiting` is what it needs from a person: `approval` or `input`.

    `retry_at` is when the provider will listen again, for one that met a limit (`error` is `rate-limited`).
    `position` is that of a queued run in its line; the next one has 1. `decided` is what was decided about it last.
    """

    id: str
    role: str
    state: str
    cwd: str
    sandbox: str
    model: str | None
    thread_id: str | None
    created_at: str
    ended_at: str | None
    error: str | None
    waiting: str | None = None
    retry_at: str | None = None
    position: int | None = None
    decided: Decided | None = None


class RunList(msgspec.Struct, frozen=True):
    """Runs, newest first (`armarius.runs.v1`)."""

    runs: tuple[RunLine, ...]
    schema: str = "armarius.runs.v1"


class EventLine(msgspec.Struct, frozen=True):
    """Something that happened to a run."""

    seq: int
    at: str
    kind: str
    body: dict[str, Any]


class RunRecord(msgspec.Struct, frozen=True):
    """Everything known of a run (`armarius.run_record.v1`); `result` is what it ended with, if it has.

    `waiting` is what it asks a person now, `meter` what it has used up and may use up.
    """

    run: RunLine
    result: RunResult | None
    events: tuple[EventLine, ...]
    waiting: tuple[Question, ...] = ()
    meter: MeterLine | None = None
    schema: str = "armarius.run_record.v1"


@contextmanager
def keeper() -> Generator[Keeper]:
    """The runs of this user, with what ended unseen recorded; DataError when nothing was ever run."""
    settings = load()
    if not settings.has_ledger:
        raise DataError(
            "ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "start with `armarius run`"
        )
    with ledger_of(settings) as ledger:
        found = Keeper(ledger, SystemClock(), site_of(settings))
        found.recover()
        yield found


def print_runs(
    runs: list[RunRow], *, as_json: bool, line: Mapping[str, int] = {}, decided: Mapping[str, Decided] = {}
) -> None:
    """Runs as a table or as `armarius.runs.v1`; `line` has the position of each that waits, `decided` decisions."""
    if as_json:
        print_json(RunList(tuple(run_line(run, line.get(run.id), decided.get(run.id)) for run in runs)))
        return
    rows = [
        (r.id, rfc3339(r.created_at_us)[:16].replace("T", " "), r.role, _state(r, line.get(r.id), decided), _why(r))
        for r in runs
    ]
    print_table(("RUN", "CREATED", "ROLE", "STATE", "WHY"), rows)


def _state(run: RunRow, position: int | None, decided: Mapping[str, Decided]) -> str:
    if position is not None:
        return f"queued ({position})"
    said = decided.get(run.id)
    return shown_state(run) if said is None else f"{shown_state(run)}, {said.replace('_', ' ')}"


def run_line(run: RunRow, position: int | None = None, decided: Decided | None = None) -> RunLine:
    """A run in short."""
    return RunLine(
        id=run.id,
        role=run.role,
        state=run.state,
        cwd=run.cwd,
        sandbox=run.sandbox,
        model=run.model,
        thread_id=run.thread_id,
        created_at=rfc3339(run.created_at_us),
        ended_at=None if run.ended_at_us is None else rfc3339(run.ended_at_us),
        error=run.error_code,
        waiting=_need(run),
        retry_at=_retry_at(run),
        position=position,
        decided=decided,
    )


def shown_state(run: RunRow) -> str:
    """The state of a run in a word, for a person: one that met a limit is not simply failed."""
    return "rate_limited" if run.error_code == "rate-limited" else run.state


def _retry_at(run: RunRow) -> str | None:
    problem = run.outcome.problem if run.error_code == "rate-limited" and run.outcome else None
    return None if problem is None or problem.retry_at_us is None else rfc3339(problem.retry_at_us)


def questions_of(run: RunRow) -> tuple[Question, ...]:
    """What a run asks a person now, without secrets."""
    return () if run.ended_at_us is not None else tuple(map(shown, waiting(Path(run.folder))))


def _need(run: RunRow) -> str | None:
    kinds = {question.kind for question in questions_of(run)}
    return None if not kinds else "input" if kinds == {"input"} else "approval"


def _why(run: RunRow) -> str:
    need = _need(run)
    if (at := _retry_at(run)) is not None:
        return f"the provider listens again at {at[:16].replace('T', ' ')}: {run.error_message}"
    return run.error_message or ("" if need is None else f"waiting for {need}: see `runs show`")


def event_line(event: Event) -> EventLine:
    """An event of the ledger, its body as an object."""
    return EventLine(event.seq, rfc3339(event.at_us), event.kind, msgspec.json.decode(event.body))
