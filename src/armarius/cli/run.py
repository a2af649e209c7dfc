"""`armarius run`: one worker run on real Codex."""

from typing import Any

import click

from armarius.cli.database import load
from armarius.cli.running import do, flags, folder_of, read_prompt, words_of
from armarius.dispatch.desk import Desk
from armarius.dispatch.workbench import workbench


@click.command()
@click.argument("prompt", required=False)
@flags(ephemeral=True, lane=True)
def command(*, prompt: str | None, **typed: Any) -> int:
    """Do one piece of work with Codex and say what came of it.

    PROMPT is the instruction; `-` reads it from standard input, and what is piped in beside a PROMPT
    goes with it as a <stdin> block. Commands may only read, unless --sandbox says more. The answer goes
    to standard output. The exit code is 0 only when Codex completed the turn within the sandbox that
    was asked for.
    """
    words = words_of(typed)
    text = read_prompt(prompt)
    options = words.options()
    settings = load(folder_of(options.cwd))
    with workbench(settings, options.lane) as bench:
        desk = Desk(settings, bench)
        return do(desk, desk.request(text, options), words)
