"""`armarius proxy`: the recorder between Codex and its model provider; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "serve": "Stand between Codex and its provider, and record.",
    "install": "Give Codex a profile that goes through the recorder.",
    "status": "Say whether the recorder runs, and what it has done.",
    "doctor": "Look at everything that has to fit together.",
    "uninstall": "Take the profile and the skills out again.",
    "sessions": "List what was recorded.",
}


@click.group(cls=LazyGroup, package="armarius.cli.proxy", commands=COMMANDS)
def command() -> None:
    """Record what Codex and its model say to each other, on this machine.

    `armarius proxy install` once, `armarius proxy serve` in the background, then `codex -p armarius`.
    """
