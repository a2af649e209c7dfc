"""`armarius sleep`: nights, what they propose, and what becomes of it; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "harvest": "Find the work that recurs in your sessions; send nothing.",
    "dry-run": "Say what a night would do, send, cost and detect; do nothing.",
    "run": "Replay, reflect, edit and judge; stage what the gate certifies.",
    "history": "List the nights there were and what came of each.",
    "explain": "Say why a night ended as it did.",
    "status": "Say what the last nights found and what waits to be adopted.",
    "adopt": "Make staged proposals live.",
    "reject": "Set a staged proposal aside.",
    "rollback": "Put back the exact bytes from before an adoption.",
    "schedule": "Have a night every day.",
    "unschedule": "No more nights by the clock.",
}


@click.group(cls=LazyGroup, package="armarius.cli.sleep", commands=COMMANDS)
def command() -> None:
    """Let skills get better overnight, behind a held-out gate."""
