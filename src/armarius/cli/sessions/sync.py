"""`armarius sessions sync`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sessions.options import AS_JSON, HOMES
from armarius.cli.sessions.synced import index_of, say_skipped, synced_index


@click.command()
@HOMES
@click.option("--rebuild", is_flag=True, help="Empty the index first, and read everything again.")
@click.option("--forget-gone", is_flag=True, help="Also forget what sessions said and cost whose files are no more.")
@AS_JSON
def command(*, codex_homes: tuple[Path, ...], rebuild: bool, forget_gone: bool, as_json: bool) -> int:
    """Read what is new in the session files.

    Every other command does so before it answers; this one says what there was. The index is a cache of
    the files: it may be deleted at any time, and is made again by itself when it is damaged.
    """
    settings = configuration.load()
    if rebuild:
        with index_of(settings) as index:
            index.rebuild()
    with synced_index(settings, codex_homes, looks=False) as desk:
        forgotten = desk.index.forget_gone() if forget_gone else 0
    synced = msgspec.structs.replace(desk.synced, forgotten=forgotten)
    if as_json:
        print_json(synced)
        return 0
    say_skipped(synced.unreadable, synced.closed)
    said = f"{synced.files:,} session files: {synced.read:,} read ({synced.bytes / 1_000_000:,.1f} MB)"
    more = {"moved": synced.moved, "gone": synced.gone, "forgotten": synced.forgotten}
    say(", ".join([said, *(f"{count:,} {what}" for what, count in more.items() if count)]))
    return 0
