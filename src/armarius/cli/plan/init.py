"""`armarius plan init`."""

from pathlib import Path

import click

from armarius.cli.output import print_json, print_table, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of
from armarius.plans.setup import init


@click.command()
@FOLDER
@click.option("--dry-run", is_flag=True, help="Show what would be made, and make nothing.")
@AS_JSON
def command(*, folder: Path | None, dry_run: bool, as_json: bool) -> int:
    """Bring plans into a repository; nothing that is there is overwritten.

    Makes `.agent/PLANS.md` and `execplans/`, and adds a block to `AGENTS.md`. What is there already
    stays as it is, so it can be run again at any time.
    """
    report = init(root_of(folder), dry_run=dry_run)
    if as_json:
        print_json(report)
        return 0
    print_table(("PATH", "WHAT"), [(made.path, made.action) for made in report.files])
    if dry_run:
        say("Nothing was changed (--dry-run).")
    return 0
