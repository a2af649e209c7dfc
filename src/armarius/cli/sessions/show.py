"""`armarius sessions show`."""

from functools import partial
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sessions.options import AS_JSON, HOMES
from armarius.cli.sessions.synced import look_at
from armarius.clock import SystemClock, rfc3339
from armarius.errors import UsageError
from armarius.sessions.brief import brief_lines
from armarius.sessions.index import default_places
from armarius.sessions.names import find_named
from armarius.sessions.shown import glance, show
from armarius.sessions.state import Standing
from armarius.sessions.transcript import lines_of


@click.command()
@click.argument("session")
@click.option("--brief", is_flag=True, help="Only its goal, how long it has been quiet and the last five messages.")
@click.option("--full", is_flag=True, help="Fold nothing.")
@HOMES
@AS_JSON
def command(*, session: str, brief: bool, full: bool, codex_homes: tuple[Path, ...], as_json: bool) -> int:
    """Show one session.

    SESSION is its id, the beginning of it, its name, codex://threads/ID, or a file.
    """
    if brief and full:
        raise UsageError("usage", "--brief and --full cannot both be", "choose one")
    settings = configuration.load()
    named = find_named(default_places(settings, codex_homes), session)
    clock, look = SystemClock(), partial(look_at, settings)
    if brief:
        seen = glance(named, clock, look)
        if as_json:
            print_json(seen)
            return 0
        _say_standing(seen.id, named.name, seen.standing)
        say("\n".join(brief_lines(seen)))
        return 0
    shown = show(named, clock, look)
    if as_json:
        print_json(shown)
        return 0
    _say_standing(shown.id, shown.name, shown.standing)
    for line in lines_of(shown.thread, folded=not full):
        say(line)
    return 0


def _say_standing(thread_id: str, name: str | None, standing: Standing) -> None:
    """What it is doing, who says so, and who says otherwise."""
    say("  ".join(filter(None, (thread_id, name, f"{standing.state.value} (by {standing.source})"))))
    if standing.confidence != "high" and standing.detail:
        say(f"{standing.confidence} confidence: {standing.detail}")
    if standing.retry_at_us is not None:
        say(f"to be tried again at {rfc3339(standing.retry_at_us)}")
    for other in standing.disagreements:
        say(f"{other.source} says {other.state.value}" + (f": {other.detail}" if other.detail else ""))
