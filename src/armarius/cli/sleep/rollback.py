"""`armarius sleep rollback`."""

import click

from armarius import settings as configuration
from armarius.cli.sleep.changes import say_changes
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of
from armarius.evolve import staging
from armarius.evolve.adoption import finish
from armarius.evolve.records import find_proposal


@click.command()
@click.argument("proposal", required=False)
@OF_PROJECT
@AS_JSON
def command(*, proposal: str | None, project: str, as_json: bool) -> int:
    """Put back the exact bytes from before an adoption.

    PROPOSAL is what was adopted last if left out.
    """
    settings, clock = configuration.load(), SystemClock()
    with ledger_of(settings) as ledger:
        finish(ledger, clock, settings.home)
        change = staging.rollback(ledger, clock, find_proposal(ledger, proposal, "adopted", project))
    return say_changes((change,), "rolled back", as_json=as_json)
