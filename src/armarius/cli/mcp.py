"""`armarius mcp`."""

from importlib.util import find_spec
from pathlib import Path

import click

from armarius.cli.database import load
from armarius.cli.schema import schema_named
from armarius.errors import HostError


@click.command()
@click.option("--allow", "allowed", metavar="TOOL", multiple=True, help="Open a tool that changes something.")
@click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(),
    help="Where commands work, and what writes may not leave; default: here.",
)  # fmt: skip
def command(*, allowed: tuple[str, ...], root: Path) -> int:
    """Be a server for other agents, on standard input and output (Model Context Protocol).

    A client starts this; see docs/mcp.md. Tools that change something are off, unless your own
    config.toml names them (`mcp = ["run_writing"]`) or --allow does. It ends when its client goes.
    """
    if find_spec("mcp") is None:
        raise HostError("mcp-missing", "the library of the protocol is missing", "pip install 'armarius[mcp]'")
    from armarius.mcp_server.server import serve

    settings = load()
    serve(settings, root.resolve(), (*settings.mcp, *allowed), schema_named)
    return 0
