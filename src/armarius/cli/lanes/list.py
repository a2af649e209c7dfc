"""`armarius lanes list`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import LaneRow, list_lanes


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """List lanes and their logins. `*` marks the default of runs."""
    answer = list_lanes(Lanes(configuration.load()))
    if as_json:
        print_json(answer)
    else:
        print_table(("", "LANE", "KIND", "LOGIN", "HOME"), [_cells(row) for row in answer.lanes])
    return 0


def _cells(row: LaneRow) -> tuple[str, ...]:
    budget = "" if row.tokens_per_day is None else f" ({row.tokens_per_day:,} tokens a day)"
    return ("*" if row.is_default else "", row.name, f"{row.kind or ''}{budget}", row.login.replace("_", " "), row.home)
