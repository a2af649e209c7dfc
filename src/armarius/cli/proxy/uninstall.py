"""`armarius proxy uninstall`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.install.profile import Profile


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, dry_run: bool, as_json: bool) -> int:
    """Take the profile out of CODEX_HOME, and put back what was there before.

    What was recorded stays; a running recorder runs on.
    """
    settings = configuration.load()
    report = Profile(settings.codex_home, settings.recorder).uninstall(dry_run=dry_run)
    if as_json:
        print_json(report)
    elif not report.changed:
        say(f"No profile of ours in {report.codex_home}; nothing changed.")
    else:
        say(report.diff)
        say("\nNothing was changed (--dry-run)." if dry_run else f"\nTaken out of {report.codex_home}.")
    return 0
