"""`armarius schedule remove`."""

import click

from armarius.cli.database import load
from armarius.cli.output import say
from armarius.cli.schedule.lines import AS_JSON, print_schedules
from armarius.clock import SystemClock
from armarius.dispatch.schedules import find, remove
from armarius.dispatch.workbench import ledger_of


@click.command()
@click.argument("schedule")
@AS_JSON
def command(*, schedule: str, as_json: bool) -> int:
    """End a schedule; what it has started goes on.

    SCHEDULE is its id or the beginning of it.
    """
    clock = SystemClock()
    with ledger_of(load()) as ledger:
        found = find(ledger, schedule)
        remove(ledger, clock, found)
    if as_json:
        print_schedules([found], clock.now_us(), as_json=True)
    else:
        say(f"{found.id} is over")
    return 0
