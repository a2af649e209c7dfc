"""What is printed when a person said something to a run."""

import click

from armarius.cli.output import print_json, say
from armarius.cli.runs.asking import Spoken
from armarius.codex.orders import Question
from armarius.runs.approvals import shown

__all__ = ["AS_JSON", "print_spoken"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def print_spoken(run_id: str, said: str, question: Question | None, *, as_json: bool) -> None:
    """One line, or `armarius.spoken.v1`."""
    safe = None if question is None else shown(question)
    if as_json:
        print_json(Spoken(run_id, said, safe))
        return
    about = "" if safe is None else f" {safe.id}: {safe.command or safe.reason or safe.method}"
    say(f"{run_id} {said}{about}")
