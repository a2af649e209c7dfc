"""`armarius resume`: a further turn of an earlier thread."""

from typing import Any

import click

from armarius.cli.running import do, flags, folder_of, read_prompt, words_of
from armarius.dispatch.api import open_dispatch
from armarius.errors import UsageError


@click.command()
@click.argument("name", metavar="[RUN|THREAD]", required=False)
@click.argument("prompt", required=False)
@click.option("--last", is_flag=True, help="The session of this folder that was written to last.")
@click.option("--all", "everywhere", is_flag=True, help="With --last: of any folder.")
@flags()
def command(*, name: str | None, prompt: str | None, last: bool, everywhere: bool, **typed: Any) -> int:
    """Go on in the thread of an earlier run, or in a session of your own.

    RUN|THREAD is a run's id, a session's id, its name, its file, or the beginning of an id. PROMPT is
    what is to be done next; `-` reads it from standard input. Where you say nothing, sandbox, folder,
    model and effort are those of the earlier turn and never wider. A session that is open elsewhere is
    left alone.
    """
    if everywhere and not last:
        raise UsageError("resume-all", "--all goes with --last", "name a session, or add --last")
    if last:
        if prompt is not None:
            raise UsageError("resume-last", "--last names the session already", "give the PROMPT alone")
        name, prompt = None, name
    elif name is None:
        raise UsageError("resume-name", "no run or session is named", "name one, or add --last")
    words = words_of(typed)
    text = read_prompt(prompt)
    options = words.options()
    with open_dispatch() as dispatch:
        named = dispatch.last(None if everywhere else folder_of(options.cwd)) if name is None else name
        return do(dispatch, dispatch.resume_request(named, text, options), words)
