"""`armarius uninstall hooks`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.hooks import Hooks


@click.command()
@click.option(
    "--codex-home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take them out there; default: your CODEX_HOME.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, codex_home: Path | None, dry_run: bool, as_json: bool) -> int:
    """Take our hooks and their trust out of Codex.

    `hooks.json` and `config.toml` are as they were before, byte for byte; what was edited since stays.
    """
    settings = configuration.load()
    report = Hooks(codex_home or settings.codex_home, settings.home, settings.environ, SystemClock()).uninstall(
        dry_run=dry_run
    )
    if as_json:
        print_json(report)
    elif not report.changed:
        say(f"No hooks of ours in {report.codex_home}; nothing changed.")
    else:
        say(report.diff)
        say("\nNothing was changed (--dry-run)." if report.dry_run else f"\nTaken out of {report.codex_home}.")
    return 0
