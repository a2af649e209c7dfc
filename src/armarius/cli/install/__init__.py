"""`armarius install`: put parts of Armarius into other programs; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "hooks": "Let Codex report what its sessions do, instead of being asked.",
    "codex": "Tell Codex what Armarius can do, as a skill.",
}


@click.group(cls=LazyGroup, package="armarius.cli.install", commands=COMMANDS)
def command() -> None:
    """Put parts of Armarius into other programs; `armarius uninstall` takes them out again."""
