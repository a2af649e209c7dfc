"""`armarius lanes`: isolated logins; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "add": "Make a lane, still without a login.",
    "list": "List lanes and their logins.",
    "status": "Show what each lane may still do.",
    "login": "Log in, in a lane.",
    "refresh": "Let Codex refresh a login before it expires.",
    "use": "Make a lane the default of later runs.",
    "remove": "Forget a lane and its login.",
}


@click.group(cls=LazyGroup, package="armarius.cli.lanes", commands=COMMANDS)
def command() -> None:
    """Keep logins apart, each in a Codex home of its own.

    `own` is your CODEX_HOME. No run ever goes from a ChatGPT plan to an API key by itself.
    """
