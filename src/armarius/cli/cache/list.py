"""`armarius cache list`."""

import click

from armarius.cli.cache.place import AS_JSON, Kept, artefacts_of
from armarius.cli.database import load
from armarius.cli.output import print_json, print_table, say
from armarius.clock import rfc3339


@click.command("list")
@AS_JSON
def command(*, as_json: bool) -> int:
    """List what is kept, the one used last first."""
    found = artefacts_of(load()).all()
    if as_json:
        print_json(Kept(tuple(found), sum(one.size for one in found)))
    elif not found:
        say("Nothing is kept. `armarius cache put` keeps an analysis.")
    else:
        rows = [
            (
                one.key[7:19],
                one.tool,
                rfc3339(one.created_at_us)[:16].replace("T", " "),
                f"{one.size:,}",
                one.repository,
            )
            for one in found
        ]
        print_table(("KEY", "TOOL", "MADE", "BYTES", "REPOSITORY"), rows)
    return 0
