"""Runs as they are printed.

Owns the shapes of the answers and opening the ledger for them. Does not own any command.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.records import RunRow
from armarius.dispatch.request import RunResult
from armarius.dispatch.workbench import ledger_of
from armarius.errors import DataError
from armarius.store.ledger import Event

__all__ = ["AS_JSON", "EventLine", "RunLine", "RunList", "RunRecord", "event_line", "keeper", "print_runs", "run_line"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class RunLine(msgspec.Struct, frozen=True):
    """A run in short."""

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
    """Everything known of a run (`armarius.run_record.v1`); `result` is what it ended with, if it has."""

    run: RunLine
    result: RunResult | None
    events: tuple[EventLine, ...]
    schema: str = "armarius.run_record.v1"


@contextmanager
def keeper() -> Generator[Keeper]:
    """The runs of this user, with what ended unseen recorded; DataError when nothing was ever run."""
    settings = configuration.load()
    if not settings.ledger.exists():
        raise DataError(
            "ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "start with `armarius run`"
        )
    with ledger_of(settings) as ledger:
        found = Keeper(ledger, SystemClock())
        found.recover()
        yield found


def print_runs(runs: list[RunRow], *, as_json: bool) -> None:
    """Runs as a table or as `armarius.runs.v1`."""
    if as_json:
        print_json(RunList(tuple(map(run_line, runs))))
        return
    rows = [
        (r.id, rfc3339(r.created_at_us)[:16].replace("T", " "), r.role, r.state, r.error_message or "") for r in runs
    ]
    print_table(("RUN", "CREATED", "ROLE", "STATE", "WHY"), rows)


def run_line(run: RunRow) -> RunLine:
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
    )


def event_line(event: Event) -> EventLine:
    """An event of the ledger, its body as an object."""
    return EventLine(event.seq, rfc3339(event.at_us), event.kind, msgspec.json.decode(event.body))
