"""`armarius runs retry`."""

import click

from armarius.cli.database import named
from armarius.cli.running import AS_JSON, Flags, do
from armarius.dispatch.api import open_dispatch


@click.command()
@click.argument("run")
@click.option("--force", is_flag=True, help="Also when it has succeeded.")
@click.option("--detach", is_flag=True, help="Return at once; a worker does the run.")
@AS_JSON
def command(*, run: str, force: bool, detach: bool, as_json: bool) -> int:
    """Ask once more what an earlier run was asked, in the same folder and with the same limits.

    RUN is its id or the beginning of it. It is a new run, unless the earlier one names a paid unit: then
    that unit is tried again, and never when it is done.
    """
    with open_dispatch(database=named()) as dispatch:
        request = dispatch.retry_request(run, force=force)
        return do(dispatch, request, Flags(as_json=as_json, detach=detach))
