"""`armarius proxy install`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.detour import detour
from armarius.install.profile import Profile, client_token, serve_command
from armarius.recorder.access import DEFAULT_LISTEN, parse_listen


@click.command()
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="Where the recorder will listen.")
@click.option("--remove-skillclaw", is_flag=True, help="Take out what SkillClaw left in this CODEX_HOME, too.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, listen: str, remove_skillclaw: bool, dry_run: bool, as_json: bool) -> int:
    """Write `armarius.config.toml` into CODEX_HOME: `codex -p armarius` then goes through the recorder.

    Plain `codex` stays as it is. `config.toml` keeps every byte, except for tables and lines of an earlier
    way of ours; they are shown, copied first, and put back by `armarius proxy uninstall`.
    """
    settings = configuration.load()
    profile = Profile(settings.codex_home, settings.recorder)
    token, address = client_token(settings.recorder, SystemClock()), parse_listen(listen)
    report = profile.install(address, token, remove_legacy=remove_skillclaw, dry_run=dry_run)
    if (name := detour(settings.environ, address.host)) is not None:
        say(
            f"{name} is set: with it codex sends its requests for the recorder, and your login in them, to a proxy. "
            f"Put {address.host} into NO_PROXY where codex is started.",
            err=True,
        )
    if as_json:
        print_json(report)
        return 0
    if report.changed:
        say(report.diff)
    if report.legacy and not remove_skillclaw:
        say(f"\nSkillClaw left something in {', '.join(report.legacy)}; --remove-skillclaw takes it out.")
    if not report.changed:
        say(f"The profile is in {report.codex_home} already; nothing changed.")
    elif dry_run:
        say("\nNothing was changed (--dry-run).")
    else:
        say(f"\nInstalled. Start `{serve_command(address.url)}`, then use `codex -p armarius`.")
    return 0
