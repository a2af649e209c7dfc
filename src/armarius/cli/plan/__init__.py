"""`armarius plan`: plans that an agent follows for hours; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "init": "Bring plans into a repository; nothing that is there is overwritten.",
    "new": "Make a plan.",
    "check": "Hold plans to their rules.",
    "list": "List plans, and how they stand.",
    "show": "Show one plan: its sections, its progress, what breaks a rule.",
    "resume": "Say what is needed to go on with a plan, or go on with it.",
    "close": "Note that a plan is done, or was given up.",
}


@click.group(cls=LazyGroup, package="armarius.cli.plan", commands=COMMANDS)
def command() -> None:
    """Plans that an agent carries out for hours, and that anybody can take up again."""
