"""`armarius sleep reject`."""

import click

from armarius import settings as configuration
from armarius.cli.sleep.changes import say_changes
from armarius.cli.sleep.options import AS_JSON
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of
from armarius.evolve import staging
from armarius.evolve.adoption import finish
from armarius.evolve.records import find_proposal


@click.command()
@click.argument("proposal", required=False)
@click.option("--reason", default="", help="Why; it is kept with the record.")
@AS_JSON
def command(*, proposal: str | None, reason: str, as_json: bool) -> int:
    """Set a staged proposal aside; its edits are remembered as unwanted.

    PROPOSAL is the newest one if left out. Nothing live changes.
    """
    settings, clock = configuration.load(), SystemClock()
    with ledger_of(settings) as ledger:
        finish(ledger, clock, settings.home)
        change = staging.reject(ledger, clock, find_proposal(ledger, proposal, "staged"), reason)
    return say_changes((change,), "rejected", as_json=as_json)
