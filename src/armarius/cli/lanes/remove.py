"""`armarius lanes remove`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import row_of


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Lose the login in it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str, yes: bool, as_json: bool) -> int:
    """Forget the lane NAME and delete its home, sessions included.

    The account does not hear of it: to end the login there too, run `codex logout` first.
    """
    lanes = Lanes(configuration.load())
    row = row_of(lanes, name)
    lanes.remove(name, with_login=yes)
    if as_json:
        print_json(row)
    else:
        say(f"Removed {row.home}.")
    return 0
