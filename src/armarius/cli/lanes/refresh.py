"""`armarius lanes refresh`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.codex.app_server import environ_for
from armarius.codex.binary import locate
from armarius.codex.login import refresh_login
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import row_of


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str | None, as_json: bool) -> int:
    """Let Codex refresh the login of NAME if it ends within the time of a run (`timeout`).

    Without a NAME it is the default lane. However many ask, one process refreshes.
    """
    settings = configuration.load()
    lanes = Lanes(settings)
    name = name or lanes.default()
    lanes.find(name)
    home = lanes.home(name)
    program, _ = locate(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home)
    until_us = SystemClock().now_us() + int(settings.timeout * 1_000_000)
    refresh_login(program, home, environ_for(home, settings.environ), settings.locks, until_us)
    row = row_of(lanes, name)
    if as_json:
        print_json(row)
    else:
        say(f"The login of {name} outlasts a run.")
    return 0
