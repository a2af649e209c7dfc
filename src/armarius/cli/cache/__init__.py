"""`armarius cache`: analyses that need not be made twice; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "get": "Give back an analysis of exactly this state.",
    "put": "Keep an analysis of this state.",
    "list": "List what is kept, the one used last first.",
    "prune": "Take away what was used longest ago.",
}


@click.group(cls=LazyGroup, package="armarius.cli.cache", commands=COMMANDS)
def command() -> None:
    """Analyses by what they were made of: the repository's state, a tool, and its parameters."""
