"""`armarius resume`: a further turn of an earlier thread."""

from typing import Any

import click

from armarius.cli.database import named as database_named
from armarius.cli.queued import print_queued
from armarius.cli.running import do, flags, folder_of, read_prompt, words_of
from armarius.dispatch.api import open_dispatch
from armarius.errors import UsageError


@click.command()
@click.argument("name", metavar="[RUN|THREAD]", required=False)
@click.argument("prompt", required=False)
@click.option("--last", is_flag=True, help="The session of this folder that was written to last.")
@click.option("--queue", is_flag=True, help="Of a session that is open elsewhere: leave it there, to run next.")
@click.option("--all", "everywhere", is_flag=True, help="With --last: of any folder.")
@flags()
def command(  # a parameter a flag
    *, name: str | None, prompt: str | None, last: bool, everywhere: bool, queue: bool, **typed: Any
) -> int:
    """Go on in the thread of an earlier run, or in a session of your own.

    RUN|THREAD is a run's id, a session's id, its name, its file, or the beginning of an id. PROMPT is
    what is to be done next; `-` reads it from standard input. Where you say nothing, sandbox, folder,
    model and effort are those of the earlier turn and never wider. A session that is open elsewhere is
    left alone, unless you --queue the PROMPT there: then it runs with that session's own permissions.
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
    if queue and words != words_of({"as_json": words.as_json}):
        raise UsageError("queue-flags", "what is queued runs as its session is set", "leave out the other flags")
    with open_dispatch(database=database_named()) as dispatch:
        named = dispatch.last(None if everywhere else folder_of(options.cwd)) if name is None else name
        if queue:
            return print_queued(*dispatch.queue(named, text), as_json=words.as_json)
        return do(dispatch, dispatch.resume_request(named, text, options), words)
