"""`armarius runs accept`."""

import click

from armarius.cli.runs.deciding import REASON, decided
from armarius.cli.runs.lines import AS_JSON


@click.command("accept")
@click.argument("run")
@REASON
@AS_JSON
def command(*, run: str, reason: str, as_json: bool) -> int:
    """Say that a run's work is taken.

    RUN is its id or the beginning of it. The decision is recorded beside the run's receipt, and can be taken back
    by another one; both stay.
    """
    return decided(run, "accepted", reason, as_json=as_json)
