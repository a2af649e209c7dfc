"""`armarius runs`: what was run, and how it ended; one file a command."""

import click

from armarius.cli.database import OPTION
from armarius.cli.group import LazyGroup

COMMANDS = {
    "list": "List runs, newest first.",
    "show": "Show one run.",
    "logs": "Show what Codex printed in a run, also while it runs.",
    "wait": "Wait until runs are over.",
    "cancel": "End a run and everything it started.",
    "retry": "Ask once more what an earlier run was asked.",
    "merge": "Bring a run's work in its own checkout into a branch.",
    "keep": "Give up a run's checkout and keep its work.",
    "drop": "Give up a run's checkout and its work.",
    "accept": "Say that a run's work is taken.",
    "reject": "Say that a run's work is not taken.",
    "needs-review": "Say that somebody has to look at a run's work.",
    "approve": "Allow the one thing that a run waits for.",
    "deny": "Refuse the one thing that a run waits for.",
    "answer": "Answer what a run wants to know.",
    "steer": "Say something to a run while its turn goes on.",
}


@click.group(cls=LazyGroup, package="armarius.cli.runs", commands=COMMANDS, common=(OPTION,))
def command() -> None:
    """What was run, and how it ended."""
