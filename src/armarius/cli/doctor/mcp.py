"""`armarius doctor mcp`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.codex.app_server import environ_for
from armarius.codex.binary import find
from armarius.codex.mcp import McpServer, mcp_servers
from armarius.codex.overrides import check_profile
from armarius.errors import HostError, nearest
from armarius.files import private_folder
from armarius.lanes.billing import admit
from armarius.lanes.lanes import Lanes


class McpReport(msgspec.Struct, frozen=True):
    """What `doctor mcp` answers (`armarius.doctor_mcp.v1`)."""

    lane: str
    profile: str | None
    servers: tuple[McpServer, ...]
    schema: str = "armarius.doctor_mcp.v1"


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--lane", help="Look at this lane. Default: the one that a run would use.")
@click.option("--profile", help="With this profile of Codex.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, names: tuple[str, ...], lane: str | None, profile: str | None, as_json: bool) -> int:
    """Say which MCP servers a run here would really have, and what is wrong with the others.

    Codex starts every server and lists its tools; no model is asked. With NAME only those count. The exit code
    is 4 when one is not visible.
    """
    settings = configuration.load()
    lanes = Lanes(settings)
    name = lane or lanes.default()
    found, home, here = lanes.find(name), lanes.home(name), Path.cwd()
    if profile is not None:
        check_profile(home, profile)
    binary = find(
        setting=settings.codex, search_path=settings.search_path, cache=private_folder(settings.home) / "probes.json"
    )
    admit(settings, home, kind=found.kind if found else None, cwd=here, profile=profile)
    environ = environ_for(home, settings.environ)
    servers = mcp_servers(Path(binary.path), home, environ, here, profile=profile)
    known = {server.name for server in servers}
    missing = tuple(
        McpServer(
            one,
            is_visible=False,
            trouble="; ".join(["not configured", *([nearest(one, sorted(known))] if known else [])]),
        )
        for one in names
        if one not in known
    )
    counted = (*(server for server in servers if not names or server.name in names), *missing)
    if as_json:
        print_json(McpReport(name, profile, counted))
    elif counted:
        rows = [
            (one.name, "visible" if one.is_visible else "missing", one.trouble or ", ".join(one.tools))
            for one in counted
        ]
        print_table(("SERVER", "", "TOOLS"), rows)
    else:
        say(f"Lane {name} has no MCP server here.")
    return 0 if all(one.is_visible for one in counted) else HostError.exit_code
