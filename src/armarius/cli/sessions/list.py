"""`armarius sessions list`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sessions.options import AS_JSON, HOME
from armarius.clock import rfc3339
from armarius.sessions.overview import Session, list_sessions

_TITLE = 60


@click.command()
@HOME
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@AS_JSON
def command(*, codex_home: Path | None, limit: int, as_json: bool) -> int:
    """List sessions, the one that was written to last first."""
    listing = list_sessions(codex_home or configuration.load().codex_home, limit)
    if as_json:
        print_json(listing)
        return 0
    if listing.unreadable:
        files = "1 file" if listing.unreadable == 1 else f"{listing.unreadable} files"
        say(f"{files} could not be opened; see `armarius doctor`", err=True)
    if not listing.sessions:
        say(f"No sessions under {listing.codex_home}.")
        return 0
    print_table(("SESSION", "LAST", "STATE", "TURNS", "CMDS", "TOKENS", "TITLE"), list(map(_row, listing.sessions)))
    if listing.total > len(listing.sessions):
        say(f"{len(listing.sessions)} of {listing.total}; more with --limit", err=True)
    return 0


def _row(session: Session) -> tuple[str, ...]:
    last = "" if session.last_at_us is None else rfc3339(session.last_at_us)[:16].replace("T", " ")
    title = session.title if len(session.title) <= _TITLE else session.title[: _TITLE - 1] + "…"
    counts = (str(session.turns), str(session.commands), f"{session.usage.total:,}")
    return (session.id, last, session.state.value, *counts, title)
