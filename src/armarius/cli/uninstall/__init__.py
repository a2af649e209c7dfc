"""`armarius uninstall`: take parts of Armarius out of other programs; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "hooks": "Take our hooks out of Codex; both files are as before.",
    "codex": "Take the skill for Codex away.",
}


@click.group(cls=LazyGroup, package="armarius.cli.uninstall", commands=COMMANDS)
def command() -> None:
    """Take out what `armarius install` put in."""
