"""`armarius runs list`."""

import click

from armarius.cli.database import load
from armarius.cli.output import say
from armarius.cli.runs.lines import AS_JSON, print_runs
from armarius.clock import SystemClock
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.workbench import ledger_of
from armarius.runs.decisions import Decided, decisions_of
from armarius.runs.queued import line
from armarius.runs.records import RunRow, latest_runs

ROLES = ("worker", "replay", "reflection", "reviewer")


@click.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--role", type=click.Choice(ROLES), help="Only runs of this role.")
@AS_JSON
def command(*, limit: int, role: str | None, as_json: bool) -> int:
    """List runs, newest first."""
    settings = load()
    runs, waiting = list[RunRow](), dict[str, int]()
    decided = dict[str, Decided]()
    if settings.has_ledger:
        with ledger_of(settings) as ledger:
            Keeper(ledger, SystemClock()).recover()
            runs = latest_runs(ledger, most=limit, role=role)
            waiting = line(ledger)
            decided = decisions_of(ledger, [run.id for run in runs])
    if runs or as_json:
        print_runs(runs, as_json=as_json, line=waiting, decided=decided)
    else:
        say("No runs yet. Start one with `armarius run`.")
    return 0
