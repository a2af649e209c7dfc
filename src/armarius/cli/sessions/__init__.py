"""`armarius sessions`: the threads that Codex wrote down on this machine; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List sessions, those that need a person first.",
    "show": "Show one session.",
}


@click.group(cls=LazyGroup, package="armarius.cli.sessions", commands=COMMANDS)
def command() -> None:
    """What happened in every Codex session on this machine."""
