"""`armarius proxy uninstall`."""

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.install.profile import Profile
from armarius.recorder.pull import synced_skills


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, dry_run: bool, as_json: bool) -> int:
    """Take the profile and the team's skills out of CODEX_HOME, and put back what was there before.

    What was recorded stays. A recorder that runs goes on: end it first, or it fetches new skills again.
    """
    settings = configuration.load()
    report = Profile(settings.codex_home, settings.recorder).uninstall(dry_run=dry_run)
    skills = synced_skills(settings.codex_home, settings.recorder).withdraw(dry_run=dry_run)
    changed = report.changed or skills.changed
    report = msgspec.structs.replace(report, changed=changed, skills=skills.removed, kept=report.kept + skills.kept)
    if as_json:
        print_json(report)
        return 0
    if report.diff:
        say(report.diff + "\n")
    if report.skills:
        say(f"Skills of the team in {settings.codex_home / 'skills'}: {', '.join(report.skills)}\n")
    for kept in report.kept:
        say(f"Left alone: {kept}\n")
    if not changed:
        say(f"Nothing of ours in {report.codex_home}; nothing changed.")
    else:
        say("Nothing was changed (--dry-run)." if dry_run else f"Taken out of {report.codex_home}.")
    return 0
