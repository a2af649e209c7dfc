"""`armarius runs merge`."""

from typing import get_args

import click

from armarius.checkout.merge import Strategy
from armarius.cli.runs.lines import AS_JSON, keeper
from armarius.cli.runs.works import print_work
from armarius.dispatch.works import merge_work
from armarius.runs.records import find_run


@click.command()
@click.argument("run")
@click.option("--into", metavar="BRANCH", help="The branch to merge into; default: the one that is checked out.")
@click.option("--strategy", type=click.Choice(get_args(Strategy)), default="auto", help="Forward if possible, or only that, or always a merge.")  # fmt: skip  # noqa: E501  # one option, one line
@AS_JSON
def command(*, run: str, into: str | None, strategy: Strategy, as_json: bool) -> int:
    """Bring a run's work in its own checkout into a branch.

    RUN is its id or the beginning of it. A conflict, changes that are not committed, files in the way, or a writer
    that is at work there are refused and nothing is changed. Your hooks are not run. The work stays at its private
    reference until `armarius runs drop`.
    """
    with keeper() as runs:
        work = merge_work(runs, find_run(runs.ledger, run), into=into, strategy=strategy)
    print_work(work, as_json=as_json)
    return 0
