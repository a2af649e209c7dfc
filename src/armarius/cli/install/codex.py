"""`armarius install codex`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.codex_skill import CodexSkill


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, dry_run: bool, as_json: bool) -> int:
    """Tell Codex what Armarius can do: a skill at `~/.agents/skills/armarius`.

    It answers to "sleep", "dream" and "offline self-improvement". An older prompt for the same word,
    `prompts/sleep.md` in your CODEX_HOME, is moved aside. `armarius uninstall codex` undoes both.
    """
    settings = configuration.load()
    skill = CodexSkill(settings.user_home, settings.codex_home, settings.home, SystemClock())
    report = skill.install(dry_run=dry_run)
    if as_json:
        print_json(report)
        return 0
    if not report.changed:
        say(f"Already installed: {report.path}")
        return 0
    say(f"{'Would install' if report.dry_run else 'Installed'} {report.path}")
    if report.moved:
        say(f"The older prompt {'would become' if report.dry_run else 'is now'} {report.moved}")
    return 0
