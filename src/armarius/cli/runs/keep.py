"""`armarius runs keep`."""

import click

from armarius.cli.runs.lines import AS_JSON, keeper
from armarius.cli.runs.works import print_work
from armarius.dispatch.works import keep_work
from armarius.runs.records import find_run


@click.command()
@click.argument("run")
@click.option("--branch", metavar="NAME", help="Make a branch of it, too.")
@AS_JSON
def command(*, run: str, branch: str | None, as_json: bool) -> int:
    """Give up a run's checkout and keep its work at refs/armarius/runs/RUN.

    RUN is its id or the beginning of it.
    """
    with keeper() as runs:
        work = keep_work(find_run(runs.ledger, run), runs.clock, branch=branch)
    print_work(work, as_json=as_json)
    return 0
