"""`armarius exec`: a codex command line of your own, in a lane."""

import click

from armarius import settings as configuration
from armarius.dispatch.passthrough import pass_through


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--lane", help="The login to use: one of `armarius lanes`, or `own`.")
@click.argument("words", metavar="-- codex …", nargs=-1, type=click.UNPROCESSED)
def command(*, lane: str | None, words: tuple[str, ...]) -> int:
    """Run a codex command line of your own with the login of a lane.

    It has the terminal, your signals, and an environment without keys; its exit code is handed on. Flags that
    would change who is billed, the login, or take the sandbox away are refused. Nothing of it is recorded but
    that it was started and how it ended.
    """
    return pass_through(configuration.load(), lane, words)
