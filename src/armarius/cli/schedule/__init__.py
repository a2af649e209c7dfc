"""`armarius schedule`: runs that come by the clock; one file a command."""

import click

from armarius.cli.database import OPTION
from armarius.cli.group import LazyGroup

COMMANDS = {
    "add": "Have a run done by the clock.",
    "list": "List schedules.",
    "show-next": "Show when a schedule comes next.",
    "remove": "End a schedule.",
}


@click.group(cls=LazyGroup, package="armarius.cli.schedule", commands=COMMANDS, common=(OPTION,))
def command() -> None:
    """Runs that come by the clock; a worker starts them, and makes up once for what it missed."""
