"""`armarius review`: Codex's own review of changes."""

from typing import Any

import click

from armarius.cli.database import named
from armarius.cli.running import do, flags, folder_of, read_prompt, words_of
from armarius.codex.command import Review
from armarius.dispatch.api import open_dispatch

_WAY_OUT = "name --uncommitted, --base REF or --commit SHA, or say what to look at"


@click.command()
@click.argument("prompt", required=False)
@click.option("--uncommitted", is_flag=True, help="Review what is not committed, untracked files included.")
@click.option("--base", metavar="REF", help="Review the changes since this branch or commit.")
@click.option("--commit", metavar="SHA", help="Review the changes of one commit.")
@flags(writes=False, images=False, lane=True)
def command(*, prompt: str | None, uncommitted: bool, base: str | None, commit: str | None, **typed: Any) -> int:
    """Let Codex review changes; it can only read.

    Name what to review with one flag, or say it in your own words as PROMPT; `-` reads that from
    standard input. The findings go to standard output.
    """
    words = words_of(typed)
    target = Review(uncommitted=uncommitted, base=base, commit=commit)
    text = read_prompt(prompt, is_optional=target != Review(), way_out=_WAY_OUT)
    options = words.options()
    with open_dispatch(folder_of(options.cwd), lane=options.lane, database=named()) as dispatch:
        return do(dispatch, dispatch.review_request(target, text, options), words)
