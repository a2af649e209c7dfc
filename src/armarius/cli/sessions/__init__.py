"""`armarius sessions`: the threads that Codex wrote down on this machine; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "sync": "Read what is new in the session files.",
    "search": "Find words in what was said and run.",
    "list": "List sessions, those that need a person first.",
    "show": "Show one session.",
    "tail": "Print the last things that happened in a session, and the next.",
    "export": "Write one session as one file, with secrets replaced.",
    "make-visible": "Let editors list a thread that codex exec began.",
    "stats": "Sum up turns, tokens, cost, success and waiting.",
}


@click.group(cls=LazyGroup, package="armarius.cli.sessions", commands=COMMANDS)
def command() -> None:
    """What happened in every Codex session on this machine."""
