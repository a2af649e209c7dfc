"""`armarius runs`: what was run, and how it ended."""

from typing import Any

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.workbench import ledger_of
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.records import RunRow, find_run, latest_runs
from armarius.dispatch.request import RunResult
from armarius.errors import DataError
from armarius.store.ledger import Event, events_of

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
ROLES = ("worker", "replay", "reflection")


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


@click.group()
def command() -> None:
    """What was run, and how it ended."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--role", type=click.Choice(ROLES), help="Only runs of this role.")
@AS_JSON
def list_command(*, limit: int, role: str | None, as_json: bool) -> int:
    """List runs, newest first."""
    settings = configuration.load()
    runs = list[RunRow]()
    if settings.ledger.exists():
        with ledger_of(settings) as ledger:
            Keeper(ledger, SystemClock()).recover()
            runs = latest_runs(ledger, most=limit, role=role)
    if as_json:
        print_json(RunList(tuple(map(_line, runs))))
        return 0
    if not runs:
        say("No runs yet. Start one with `armarius run`.")
        return 0
    rows = [
        (r.id, rfc3339(r.created_at_us)[:16].replace("T", " "), r.role, r.state, r.error_message or "") for r in runs
    ]
    print_table(("RUN", "CREATED", "ROLE", "STATE", "WHY"), rows)
    return 0


@command.command()
@click.argument("run")
@AS_JSON
def show(*, run: str, as_json: bool) -> int:
    """Show one run.

    RUN is its id or the beginning of it.
    """
    settings = configuration.load()
    if not settings.ledger.exists():
        raise DataError(
            "ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "start with `armarius run`"
        )
    with ledger_of(settings) as ledger:
        Keeper(ledger, SystemClock()).recover()
        row = find_run(ledger, run)
        events = events_of(ledger, row.id)
    if as_json:
        print_json(RunRecord(_line(row), row.outcome, tuple(map(_event, events))))
        return 0
    say(f"{row.id}  {row.state}  {row.role}")
    say(f"in {row.cwd} · sandbox {row.sandbox} · codex {row.codex_version or '?'}")
    for event in events:
        say(f"  {rfc3339(event.at_us)}  {event.kind} {event.body}")
    result = row.outcome
    if result is not None:
        usage = result.usage
        say(f"thread {result.thread_id or 'none'} · {usage.input:,} tokens in, {usage.output:,} out")
        say(f"folder {result.folder}")
        if result.files_changed:
            say("changed " + ", ".join(result.files_changed))
        if result.answer is not None:
            say("\n" + result.answer)
    if row.error_message:
        say(f"{row.error_code}: {row.error_message}")
    return 0


def _line(run: RunRow) -> RunLine:
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


def _event(event: Event) -> EventLine:
    return EventLine(event.seq, rfc3339(event.at_us), event.kind, msgspec.json.decode(event.body))
