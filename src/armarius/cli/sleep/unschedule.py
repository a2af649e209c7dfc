"""`armarius sleep unschedule`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.options import AS_JSON, PROJECT
from armarius.clock import SystemClock
from armarius.install.nightly import Method
from armarius.install.scheduling import Notes, Scheduler, clocks_with, method_here


@click.command()
@click.option(
    "--method", type=click.Choice(["systemd", "launchd", "cron"]), help="Only this clock.  [default: wherever it is]"
)
@PROJECT
@AS_JSON
def command(*, method: Method | None, project: Path, as_json: bool) -> int:
    """No more nights by the clock for this project."""
    settings = configuration.load(project)
    root = str(configuration.project_root(project).resolve())
    places = (settings.user_home, settings.home, settings.environ)
    chosen = (method,) if method else clocks_with(root, *places) or (method_here(settings.search_path),)
    reports = [Scheduler(one, *places).take_off(root) for one in chosen]
    report = reports[0]
    Notes(settings.home, SystemClock()).forget(root)
    if as_json:
        print_json(report)
    else:
        say(f"{report.name} is off the clock" if report.changed else f"No night of {root} was on the clock.")
    return 0
