"""`armarius sleep rollback`."""

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
@AS_JSON
def command(*, proposal: str | None, as_json: bool) -> int:
    """Put back the exact bytes from before an adoption.

    PROPOSAL is the newest one if left out.
    """
    settings, clock = configuration.load(), SystemClock()
    with ledger_of(settings) as ledger:
        finish(ledger, clock, settings.home)
        change = staging.rollback(ledger, clock, find_proposal(ledger, proposal, "adopted"))
    return say_changes((change,), "rolled back", as_json=as_json)
