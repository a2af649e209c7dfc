"""`armarius install hooks`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.codex.binary import find
from armarius.files import private_folder
from armarius.install.hooks import Hooks, HooksReport


@click.command()
@click.option(
    "--codex-home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Install there; default: your CODEX_HOME.",
)
@click.option("--plans", is_flag=True, help="Also check ExecPlans when a turn has written to one.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, codex_home: Path | None, plans: bool, dry_run: bool, as_json: bool) -> int:
    """Let Codex report when a session starts, waits for a person, stops or ends.

    Adds entries to `hooks.json` and has Codex trust those, and no others. Each adds one line to a file
    of Armarius, without anything that was said. Sessions that run already know of it when they are
    started again. `armarius uninstall hooks` restores both files. With --plans, a turn that leaves a plan
    in `execplans/` that breaks its rules is told so, once, and goes on to correct it.
    """
    settings = configuration.load()
    cache = private_folder(settings.home) / "probes.json"
    binary = find(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home, cache=cache)
    hooks = Hooks(codex_home or settings.codex_home, settings.home, settings.environ, SystemClock())
    report = hooks.install(binary.path, plans=plans, dry_run=dry_run)
    print_json(report) if as_json else _say(report)
    return 0


def _say(report: HooksReport) -> None:
    if not report.changed:
        say(f"Already installed in {report.codex_home}; nothing changed.")
        return
    say(report.diff)
    say("\nTrusted in config.toml:")
    for key, value in report.trust.items():
        say(f"  {key}  {value}")
    done = (
        "Nothing was changed (--dry-run)." if report.dry_run else f"Installed. Sessions report to {report.events_file}"
    )
    say(f"\n{done}")
