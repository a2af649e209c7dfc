"""`armarius lanes add`."""

import click

from armarius import settings as configuration
from armarius.cli.numbers import COUNT
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.codex.billing import Kind
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import row_of


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["chatgpt", "api"]), default="chatgpt", help="Who pays. Default: chatgpt.")
@click.option("--tokens-per-day", type=COUNT, help="The budget of a lane of kind api, which has to have one: 200k, 2M.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str, kind: Kind, tokens_per_day: int | None, as_json: bool) -> int:
    """Make the lane NAME: a Codex home of its own, readable by you alone.

    A day of a budget begins at midnight UTC.
    """
    lanes = Lanes(configuration.load())
    lanes.add(name, kind, SystemClock().now_us(), tokens_per_day)
    row = row_of(lanes, name)
    if as_json:
        print_json(row)
    else:
        say(f"Made {row.home}. Log in with `armarius lanes login {name}`.")
    return 0
