"""`armarius sessions list`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sessions.options import AS_JSON, FILTERS, HOMES, wish_of
from armarius.cli.sessions.synced import say_skipped, synced_index
from armarius.clock import SystemClock, rfc3339
from armarius.sessions.listing import Session, list_sessions

_TITLE = 60


@click.command()
@HOMES
@FILTERS
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@AS_JSON
def command(  # one for each flag
    *,
    codex_homes: tuple[Path, ...],
    since: int | None,
    repo: Path | None,
    model: str | None,
    source: str | None,
    states: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> int:
    """List sessions: those that need a person first, then the one that was written to last."""
    wish = wish_of(since=since, repo=repo, model=model, source=source, states=states)
    with synced_index(configuration.load(), codex_homes, source) as desk:
        now_us = SystemClock().now_us()
        listing = list_sessions(
            desk.index, desk.places, wish, desk.look, now_us=now_us, most=limit, closed=desk.synced.closed
        )
    if as_json:
        print_json(listing)
        return 0
    say_skipped(listing.trouble.unreadable, listing.closed)
    if not listing.sessions:
        say(f"No sessions under {', '.join(listing.homes)}.")
        return 0
    print_table(("SESSION", "LAST", "STATE", "TURNS", "CMDS", "TOKENS", "TITLE"), list(map(_row, listing.sessions)))
    if listing.total > len(listing.sessions):
        say(f"{len(listing.sessions)} of {listing.total}; more with --limit", err=True)
    return 0


def _row(session: Session) -> tuple[str, ...]:
    last = "" if session.last_at_us is None else rfc3339(session.last_at_us)[:16].replace("T", " ")
    title = " ".join(filter(None, (session.name and f"[{session.name}]", session.title)))
    title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
    counts = (str(session.turns), str(session.commands), f"{session.usage.total:,}")
    return (session.id, last, session.state.value, *counts, title)
