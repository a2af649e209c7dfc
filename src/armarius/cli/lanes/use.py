"""`armarius lanes use`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import row_of


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str, as_json: bool) -> int:
    """Make the lane NAME the default of later runs; `own` goes back to your CODEX_HOME."""
    lanes = Lanes(configuration.load())
    preferred = lanes.use(name)
    if as_json:
        print_json(row_of(lanes, name))
    else:
        say(f"Later runs use {name}.")
    if preferred is not None:
        say(f"armarius: note: your setting `lane` names {preferred!r}, and a setting comes first", err=True)
    return 0
