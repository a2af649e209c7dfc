"""`armarius resources`: what is scarce, who has it, and using it alone; one file a command."""

import click

from armarius.cli.database import OPTION
from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List resources: who holds each, and what was last seen.",
    "add": "Declare a resource for all who share the ledger.",
    "remove": "Take such a declaration back.",
    "probe": "Look whether something is free, now.",
    "lease": "Run a command while nobody else has what it needs.",
}


@click.group(cls=LazyGroup, package="armarius.cli.resources", commands=COMMANDS, common=(OPTION,))
def command() -> None:
    """What is scarce, who has it, and using it alone."""
