"""`armarius runs`: what was run, and how it ended; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List runs, newest first.",
    "show": "Show one run.",
    "logs": "Show what Codex printed in a run, also while it runs.",
    "wait": "Wait until runs are over.",
    "cancel": "End a run and everything it started.",
    "retry": "Ask once more what an earlier run was asked.",
}


@click.group(cls=LazyGroup, package="armarius.cli.runs", commands=COMMANDS)
def command() -> None:
    """What was run, and how it ended."""
