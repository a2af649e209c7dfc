"""`armarius schedule show-next`."""

import click

from armarius.cli.database import load
from armarius.cli.output import print_json, say
from armarius.cli.schedule.lines import AS_JSON, ScheduleTimes
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.schedules import find
from armarius.dispatch.workbench import ledger_of


@click.command("show-next")
@click.argument("schedule")
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="How many moments.")
@AS_JSON
def command(*, schedule: str, count: int, as_json: bool) -> int:
    """Show when a schedule comes next, in UTC.

    SCHEDULE is its id or the beginning of it.
    """
    with ledger_of(load()) as ledger:
        found = find(ledger, schedule)
    times = tuple(map(rfc3339, found.next_us(SystemClock().now_us(), count)))
    if as_json:
        print_json(ScheduleTimes(found.id, times))
    else:
        say("\n".join(times))
    return 0
