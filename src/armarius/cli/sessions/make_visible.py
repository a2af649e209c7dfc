"""`armarius sessions make-visible`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sessions.options import AS_JSON, HOMES
from armarius.clock import SystemClock
from armarius.errors import UsageError
from armarius.sessions.index import default_places
from armarius.sessions.names import find_named
from armarius.sessions.visible import WARNING, hide_again, make_visible


@click.command("make-visible")
@click.argument("session")
@click.option("--yes", is_flag=True, help="Do it: a file of Codex's is changed.")
@click.option("--undo", is_flag=True, help="Take it back, to the byte.")
@HOMES
@AS_JSON
def command(*, session: str, yes: bool, undo: bool, codex_homes: tuple[Path, ...], as_json: bool) -> int:
    """Let editors list a thread that codex exec began, while nobody has it open.

    SESSION is its id, the beginning of it, its name, codex://threads/ID, or its file. The word in the
    session file that says how it was begun is changed, after a backup; its length and its time stay.
    """
    if yes == undo:
        raise UsageError("make-visible", WARNING, "add --yes to do it, or --undo to take it back")
    settings = configuration.load()
    named = find_named(default_places(settings, codex_homes), session)
    backups, clock = settings.home / "visible", SystemClock()
    done = hide_again(named, backups, clock) if undo else make_visible(named, backups, clock)
    if as_json:
        print_json(done)
        return 0
    if done.state == "visible":
        say(f"{done.thread_id} is listed as begun in a terminal; backup: {done.backup}")
        say("take it back with --undo")
    else:
        say(f"{done.thread_id} is as it was")
    return 0
