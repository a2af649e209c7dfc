"""`armarius cache prune`."""

import click

from armarius.cli.cache.place import AS_JSON, Kept, artefacts_of
from armarius.cli.database import load
from armarius.cli.output import print_json, say


@click.command()
@click.option("--most", type=click.IntRange(0), default=0, show_default=True, help="Bytes that may stay.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and take nothing away.")
@AS_JSON
def command(*, most: int, dry_run: bool, as_json: bool) -> int:
    """Take away what was used longest ago."""
    gone = artefacts_of(load()).prune(most=most, dry_run=dry_run)
    size = sum(one.size for one in gone)
    if as_json:
        print_json(Kept(tuple(gone), size, dry_run=dry_run))
    else:
        say(f"{len(gone)} analyses, {size:,} bytes" + (" would go" if dry_run else " are gone"))
    return 0
