"""`armarius workflow`: several runs with a plan between them; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List the workflows that come along.",
    "run": "Do a workflow, or go on with one.",
}


@click.group(cls=LazyGroup, package="armarius.cli.workflow", commands=COMMANDS)
def command() -> None:
    """Who plans, who works, who looks at it, and how often."""
