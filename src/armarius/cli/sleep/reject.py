"""`armarius sleep reject`."""

import click

from armarius import settings as configuration
from armarius.cli.sleep.changes import say_changes
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of
from armarius.evolve import staging
from armarius.evolve.adoption import finish
from armarius.evolve.candidates import turn_down
from armarius.evolve.records import find_candidate, find_proposal


@click.command()
@click.argument("proposal", required=False)
@click.option("--reason", default="", help="Why; it is kept with the record.")
@OF_PROJECT
@AS_JSON
def command(*, proposal: str | None, reason: str, project: str, as_json: bool) -> int:
    """Set a staged proposal or an undecided candidate aside; its edits are remembered as unwanted.

    PROPOSAL is the newest one if left out, or a candidate of `sleep status` (cand_…). Nothing live changes.
    """
    settings, clock = configuration.load(), SystemClock()
    with ledger_of(settings) as ledger:
        finish(ledger, clock, settings.home)
        if proposal is not None and proposal.startswith("cand_"):
            change = turn_down(ledger, clock, find_candidate(ledger, proposal), reason)
        else:
            change = staging.reject(ledger, clock, find_proposal(ledger, proposal, "staged", project), reason)
    return say_changes((change,), "rejected", as_json=as_json)
