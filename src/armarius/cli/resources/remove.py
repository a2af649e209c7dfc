"""`armarius resources remove`."""

import click

from armarius.cli.database import load
from armarius.cli.output import print_json, say
from armarius.cli.resources.opened import obtaining
from armarius.resources.catalogue import withdraw
from armarius.resources.report import ResourceChange


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str, as_json: bool) -> int:
    """Take such a declaration back.

    NAME was declared with `armarius resources add` and is not held by anybody.
    """
    settings = load()
    with obtaining(settings) as desk:
        withdraw(desk.ledger, desk.leases, name, settings.resources)
    if as_json:
        print_json(ResourceChange(name, "removed"))
    else:
        say(f"removed {name}")
    return 0
