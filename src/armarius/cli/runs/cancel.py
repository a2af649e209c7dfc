"""`armarius runs cancel`."""

import click

from armarius.cli.runs.lines import AS_JSON, keeper, print_runs
from armarius.dispatch.afterwards import cancel, give_up
from armarius.runs.records import find_run


@click.command()
@click.argument("run")
@click.option("--force", is_flag=True, help="Give up a run of a host that never comes back.")
@AS_JSON
def command(*, run: str, force: bool, as_json: bool) -> int:
    """End a run and everything it started.

    RUN is its id or the beginning of it. When this returns 0, nothing of the run is left alive and it
    is recorded as cancelled; it is 1 when the run ended in another way meanwhile. A run of another host is
    ended there; with --force it is given up here, unless there is a sign of life of it.
    """
    with keeper() as runs:
        ended = (give_up if force else cancel)(runs, find_run(runs.ledger, run))
    print_runs([ended], as_json=as_json)
    return 0 if ended.state == "cancelled" else 1
