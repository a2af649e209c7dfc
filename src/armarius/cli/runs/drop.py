"""`armarius runs drop`."""

import click

from armarius.cli.runs.lines import AS_JSON, keeper
from armarius.cli.runs.works import print_work
from armarius.dispatch.works import drop_work
from armarius.runs.records import find_run


@click.command()
@click.argument("run")
@AS_JSON
def command(*, run: str, as_json: bool) -> int:
    """Give up a run's checkout and its work; what was merged stays.

    RUN is its id or the beginning of it.
    """
    with keeper() as runs:
        work = drop_work(find_run(runs.ledger, run), runs.clock)
    print_work(work, as_json=as_json)
    return 0
