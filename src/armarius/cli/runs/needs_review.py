"""`armarius runs needs-review`."""

import click

from armarius.cli.runs.deciding import REASON, decided
from armarius.cli.runs.lines import AS_JSON


@click.command("needs-review")
@click.argument("run")
@REASON
@AS_JSON
def command(*, run: str, reason: str, as_json: bool) -> int:
    """Say that somebody has to look at a run's work.

    RUN is its id or the beginning of it. The decision is recorded beside the run's receipt, and can be taken back
    by another one; both stay.
    """
    return decided(run, "needs_review", reason, as_json=as_json)
