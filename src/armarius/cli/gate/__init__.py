"""`armarius gate`: the held-out gate by itself; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "plan": "Say what a number of held-out tasks can detect, and what it costs.",
    "replay": "Decide recorded pairs with the code that decides at night.",
}


@click.group(cls=LazyGroup, package="armarius.cli.gate", commands=COMMANDS)
def command() -> None:
    """The test that a candidate must pass; nothing is run or sent."""
