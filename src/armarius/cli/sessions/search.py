"""`armarius sessions search`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sessions.options import AS_JSON, FILTERS, HOMES, wish_of
from armarius.cli.sessions.synced import say_skipped, synced_index
from armarius.clock import SystemClock, rfc3339
from armarius.errors import UsageError
from armarius.sessions.listing import choose_files
from armarius.sessions.search import Hit, phrases, search

_MISSING = {
    "gone": "(its file is no more)",
    "changed": "(its file has changed since)",
    "unreadable": "(its file cannot be opened)",
}


class Found(msgspec.Struct, frozen=True):
    """Where the words occur, the best first (`armarius.search.v1`); `closed` are folders that could not be listed."""

    query: str
    hits: tuple[Hit, ...]
    closed: tuple[str, ...]
    schema: str = "armarius.search.v1"


@click.command()
@click.argument("words", nargs=-1, required=True)
@HOMES
@FILTERS
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@AS_JSON
def command(  # one for each flag
    *,
    words: tuple[str, ...],
    codex_homes: tuple[Path, ...],
    since: int | None,
    repo: Path | None,
    model: str | None,
    source: str | None,
    states: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> int:
    """Find words in what was said and run.

    All WORDS must occur; "several words" in quotes follow each other; begin* finds words that begin so.
    Case, accents and punctuation do not count, and nothing else has a meaning of its own.
    """
    text = " ".join(f'"{word}"' if " " in word and '"' not in word else word for word in words)
    if not phrases(text):
        raise UsageError("search-empty", f"nothing to look for in {text!r}", "write a word or a number")
    wish = wish_of(since=since, repo=repo, model=model, source=source, states=states)
    with synced_index(configuration.load(), codex_homes, source) as desk:
        now_us = SystemClock().now_us()
        entries = choose_files(desk.index, desk.places, wish, desk.look, now_us=now_us)
        hits = search(desk.index, text, entries, now_us=now_us, most=limit)
    if as_json:
        print_json(Found(text, tuple(hits), desk.synced.closed))
        return 0
    say_skipped(desk.synced.unreadable, desk.synced.closed)
    if not hits:
        say("Nothing found.")
    for hit in hits:
        at = "" if hit.at_us is None else rfc3339(hit.at_us)[:16].replace("T", " ")
        say(f"{hit.thread_id}  {at}  {hit.kind}  {' '.join(hit.title.split())[:60]}")
        say(f"    {hit.snippet or _MISSING[hit.source]}")
    return 0
