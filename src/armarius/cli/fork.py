"""`armarius fork`: a new thread with the history of another one."""

from typing import Any

import click

from armarius.cli.database import named
from armarius.cli.running import do, flags, read_prompt, words_of
from armarius.dispatch.api import open_dispatch


@click.command()
@click.argument("name", metavar="RUN|THREAD")
@click.argument("prompt", required=False)
@flags()
def command(*, name: str, prompt: str | None, **typed: Any) -> int:
    """Begin a new thread with the history of an earlier one, which stays as it is.

    RUN|THREAD is named as for `armarius resume`; it may be at work. Without a PROMPT the new thread is
    only made, and its id printed; `-` reads it from standard input.
    """
    words = words_of(typed)
    text = read_prompt(prompt, is_optional=True)
    options = words.options()
    with open_dispatch(database=named()) as dispatch:
        return do(dispatch, dispatch.fork_request(name, text, options), words)
