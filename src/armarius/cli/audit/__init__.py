"""`armarius audit`: the record of what agents did; one file a command."""

import click

from armarius.cli.group import LazyGroup

COMMANDS = {
    "ingest": "Take in what `codex exec --json` printed.",
    "report": "Say what happened in a run that was taken in.",
    "export": "Hand on runs: JSON lines, Parquet, OpenTelemetry.",
    "verify": "Find whatever was changed since it was recorded.",
    "prune": "Throw away the bytes of old streams, and keep what they were.",
}


@click.group(cls=LazyGroup, package="armarius.cli.audit", commands=COMMANDS)
def command() -> None:
    """The record of what agents did, which can be checked."""
