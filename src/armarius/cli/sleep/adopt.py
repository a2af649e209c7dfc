"""`armarius sleep adopt`."""

import click

from armarius import settings as configuration
from armarius.cli.sleep.changes import say_changes
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of
from armarius.errors import UsageError
from armarius.evolve.adoption import adopt_together, choose, finish
from armarius.skills.capability import KINDS, Kind


@click.command()
@click.argument("proposals", nargs=-1, metavar="[PROPOSAL]...")
@click.option("--skill", "skills", multiple=True, help="The newest proposal for the skill of this name.")
@click.option("--all", "every", is_flag=True, help="Everything that is staged.")
@click.option(
    "--allow",
    type=click.Choice(KINDS),
    multiple=True,
    help="Say yes to what the proposal lets an agent do anew; it names what it needs.",
)
@OF_PROJECT
@AS_JSON
def command(
    *,
    proposals: tuple[str, ...],
    skills: tuple[str, ...],
    every: bool,
    allow: tuple[Kind, ...],
    project: str,
    as_json: bool,
) -> int:
    """Make staged proposals live: all that are named, or none of them.

    Without a name it is the newest proposal. Each file must be as it was when the evidence was gathered; the
    bytes from before are kept, and `armarius sleep rollback` puts them back.
    """
    if every and (proposals or skills):
        raise UsageError("adopt-all", "--all is everything, and the names are less", "leave one of them out")
    settings, clock = configuration.load(), SystemClock()
    with ledger_of(settings) as ledger:
        finish(ledger, clock, settings.home)
        chosen = choose(ledger, proposals, skills, every=every, project=project)
        changes = adopt_together(ledger, clock, chosen, settings.home, frozenset(allow))
    return say_changes(changes, "adopted", as_json=as_json)
