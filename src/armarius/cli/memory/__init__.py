"""`armarius memory`: what is worth knowing next time; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "add": "Remember a note, or a document in pieces.",
    "search": "Find notes by their words.",
    "list": "List the notes that count, newest first.",
    "distill": "Propose notes from what a session shows.",
    "forget": "Delete a note or a document, for good.",
}


@click.group(cls=LazyGroup, package="armarius.cli.memory", commands=COMMANDS)
def command() -> None:
    """What is worth knowing next time; nothing of it reaches a model unasked."""
