"""`armarius template`: workflows as files, to be read and changed; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List the templates and the hand-offs that come along.",
    "copy": "Copy a template to a file of yours.",
}


@click.group(cls=LazyGroup, package="armarius.cli.template", commands=COMMANDS)
def command() -> None:
    """Workflows as files, to be read and changed."""
