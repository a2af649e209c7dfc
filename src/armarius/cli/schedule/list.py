"""`armarius schedule list`."""

import click

from armarius.cli.database import load
from armarius.cli.output import say
from armarius.cli.schedule.lines import AS_JSON, print_schedules
from armarius.clock import SystemClock
from armarius.dispatch.schedules import Schedule, in_force
from armarius.dispatch.workbench import ledger_of


@click.command("list")
@AS_JSON
def command(*, as_json: bool) -> int:
    """List schedules, oldest first."""
    settings, found = load(), list[Schedule]()
    if settings.has_ledger:
        with ledger_of(settings) as ledger:
            found = in_force(ledger)
    if found or as_json:
        print_schedules(found, SystemClock().now_us(), as_json=as_json)
    else:
        say("No schedules. Add one with `armarius schedule add`.")
    return 0
