"""What the commands that decide about a run have in common.

Owns their flag, and printing. Does not own what a decision is (`runs.decisions`).
"""

import click

from armarius.cli.output import print_json, say
from armarius.cli.runs.lines import keeper
from armarius.runs.decisions import Decided, decide, whoever
from armarius.runs.records import find_run

__all__ = ["REASON", "decided"]

REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is recorded with the decision.")


def decided(run: str, what: Decided, reason: str, *, as_json: bool) -> int:
    """Record a decision and print it."""
    with keeper() as runs:
        decision = decide(runs.ledger, runs.clock, find_run(runs.ledger, run), what, by=whoever(), reason=reason)
    if as_json:
        print_json(decision)
    else:
        say(f"{decision.run} {decision.decided.replace('_', ' ')} by {decision.by}")
    return 0
