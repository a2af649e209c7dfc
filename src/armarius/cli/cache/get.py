"""`armarius cache get`."""

from pathlib import Path

import click

from armarius.artefacts.inventory import TOOL as INVENTORY
from armarius.artefacts.inventory import inventory_of
from armarius.artefacts.state import repository_of, state_of
from armarius.cli.cache.place import AS_JSON, FOLDER, PARAMETERS, TOOL, Kept, artefacts_of, parameters_of
from armarius.cli.database import load
from armarius.cli.output import print_json, say
from armarius.cli.running import folder_of


@click.command()
@TOOL
@PARAMETERS
@FOLDER
@AS_JSON
def command(*, tool: str, parameters: tuple[str, ...], folder: Path | None, as_json: bool) -> int:
    """Give back an analysis of exactly this state.

    The state is the commit and everything that differs from it and is not ignored. The exit code is 6
    when there is none. The tool `inventory` is our own, and made when it is missing.
    """
    settings, where = load(), folder_of(folder)
    artefacts, named = artefacts_of(settings), parameters_of(parameters)
    if tool == INVENTORY and not named:
        text, _ = inventory_of(settings, artefacts, where)
        found = artefacts.all()[:1]
    else:
        entry, text = artefacts.get(tool, named, state_of(settings, repository_of(settings, where)))
        found = [entry]
    if as_json:
        print_json(Kept(tuple(found), sum(one.size for one in found), text))
    else:
        say(text.removesuffix("\n"))
    return 0
