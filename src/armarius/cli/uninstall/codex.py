"""`armarius uninstall codex`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.codex_skill import CodexSkill


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, dry_run: bool, as_json: bool) -> int:
    """Take the skill away again, and put an older prompt back where it was."""
    settings = configuration.load()
    skill = CodexSkill(settings.user_home, settings.codex_home, settings.home, SystemClock())
    report = skill.uninstall(dry_run=dry_run)
    if as_json:
        print_json(report)
        return 0
    if not report.changed:
        say("Not installed; nothing changed.")
        return 0
    say(f"{'Would remove' if report.dry_run else 'Removed'} {report.path}")
    if report.moved:
        say(f"The older prompt is back at {report.moved}")
    return 0
