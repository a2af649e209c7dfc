"""`armarius policy`: rules about commands, one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "init": "Write rules to begin with, once Codex has taken them.",
    "check": "Say what speaks against rules; change nothing.",
    "test": "Have Codex decide every example of the rules.",
    "explain": "Say what the rules say of a command, and what that means.",
}


@click.group(cls=LazyGroup, package="armarius.cli.policy", commands=COMMANDS)
def command() -> None:
    """Rules that tell Codex which commands to forbid, to ask about, or to let out of its sandbox.

    Codex reads them from CODEX_HOME/rules and, in a trusted project, from .codex/rules. What `armarius run` starts
    ignores them, because an allowed command leaves the sandbox; they hold for sessions of your own.
    """
