"""`armarius runs wait`."""

import click

from armarius.cli.database import load
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.runs.lines import AS_JSON, keeper, print_runs
from armarius.dispatch.afterwards import wait_for
from armarius.dispatch.detached import see_to_worker
from armarius.runs.records import find_run


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--timeout", type=Within(0, MOST_S), help="Seconds to wait at most; then the exit code is 6.")
@AS_JSON
def command(*, runs: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Wait until runs are over.

    RUN is an id or the beginning of one. The exit code is 0 only when all have succeeded.
    """
    with keeper() as kept:
        named = [find_run(kept.ledger, name) for name in runs]
        see_to_worker(load(), kept.ledger, kept.clock, named)
        ended = wait_for(kept, named, timeout)
    print_runs(ended, as_json=as_json)
    return 0 if all(run.state == "succeeded" for run in ended) else 1
