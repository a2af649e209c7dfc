"""Flags about trees, scopes and needs, and what is said while a run waits for them."""

import click

from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import say
from armarius.sharing.site import Waiting

__all__ = ["NEEDING", "SHARING", "waiting_of"]

SHARING = (
    click.option("--checkout", is_flag=True, help="Work in a checkout of its own; see `armarius runs merge`."),
    click.option("--from", "base", metavar="REF", help="The commit that the checkout begins with."),
    click.option("--with-uncommitted", is_flag=True, help="Begin with what is not committed, untracked files too."),
    click.option("--allow-commit", is_flag=True, help="Let the agent write to the checkout's .git."),
    click.option(
        "--scope", metavar="GLOB", multiple=True, help="Paths that may change, e.g. 'src/**'; others fail it."
    ),
    click.option("--after", metavar="THREAD", help="Follow this session of somebody's, whose work must be over."),
    click.option("--reviewed", metavar="RUN|NAME", help="With --after: the review of that work, or who looked at it."),
)
NEEDING = (
    click.option(
        "--needs",
        metavar="NEED",
        multiple=True,
        help="What it holds while it runs: gpu:1, port:8080, mcp:NAME, NAME:2.",
    ),
    click.option("--wait", type=Within(0, MOST_S), metavar="SECONDS", help="Wait at most so long for what it holds."),
)


def waiting_of(seconds: float | None) -> Waiting:
    """How to wait; why is said on standard error, whenever it changes."""
    most_us = None if seconds is None else int(seconds * 1_000_000)
    return Waiting(most_us, lambda why: say(f"waiting: {why}", err=True))
