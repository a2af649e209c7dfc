"""`armarius lanes login`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.codex.binary import locate
from armarius.codex.login import make_login
from armarius.errors import UsageError
from armarius.lanes.billing import admit
from armarius.lanes.lanes import OWN, Lanes
from armarius.lanes.status import row_of


@click.command()
@click.argument("name")
@click.option("--device-auth", is_flag=True, help="Log in on another device, with a code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def command(*, name: str, device_auth: bool, as_json: bool) -> int:
    """Run `codex login` in the lane NAME; it has your terminal.

    In a lane of kind api it reads the key from standard input. The exit code is 4 or 5 when the
    login is not one of the lane's kind.
    """
    settings = configuration.load()
    lanes = Lanes(settings)
    lane = lanes.find(name)
    if lane is None:
        raise UsageError("lane-name", f"`{OWN}` is your CODEX_HOME and no lane", "run `codex login` yourself")
    if device_auth and lane.kind == "api":
        raise UsageError("lane-login", "a key is not got from a device", "leave out --device-auth")
    program, _ = locate(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home)
    make_login(program, lanes.home(name), settings.environ, device_auth=device_auth, api_key=lane.kind == "api")
    admit(settings, lanes.home(name), kind=lane.kind, program=program)
    row = row_of(lanes, name)
    if as_json:
        print_json(row)
    else:
        say(f"Lane {name} has its login.")
    return 0
