"""`armarius sessions tail`."""

import time
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sessions.options import AS_JSON, HOMES
from armarius.clock import SystemClock
from armarius.errors import ArmariusError, DataError
from armarius.sessions.follow import Follower, News
from armarius.sessions.index import default_places
from armarius.sessions.names import Named, find_named
from armarius.sessions.transcript import entries_of, entry_lines

_PAUSE_S = 0.1
_PATIENCE_US = 5_000_000


@click.command()
@click.argument("session")
@click.option("-n", "--last", type=click.IntRange(0), default=10, show_default=True, help="How many of the last items.")
@click.option("-f", "--follow", is_flag=True, help="Wait for what happens next, until Ctrl-C.")
@HOMES
@AS_JSON
def command(*, session: str, last: int, follow: bool, codex_homes: tuple[Path, ...], as_json: bool) -> int:
    """Print the last things that happened in a session; with -f, also the next.

    SESSION is named as for `show`. With --json there is one object a line.
    """
    places = default_places(configuration.load(), codex_homes)
    named = find_named(places, session)

    def find() -> Named | None:
        try:
            return find_named(places, named.thread_id) if named.thread_id else None
        except ArmariusError:
            return None

    follower = Follower(named, last, find)
    _print(follower.last(), as_json=as_json)
    clock = SystemClock()
    missing_since: int | None = None
    while follow:
        try:
            _print(follower.next(), as_json=as_json)
            missing_since = None
        except FileNotFoundError:
            missing_since = clock.monotonic_us() if missing_since is None else missing_since
            if clock.monotonic_us() - missing_since > _PATIENCE_US:
                raise DataError("session-gone", f"{named.path} is gone", "see `armarius sessions list`") from None
        time.sleep(_PAUSE_S)
    return 0


def _print(news: list[News], *, as_json: bool) -> None:
    for each in news:
        if as_json:
            print_json(each)
            continue
        for entry in entries_of(each.item):
            for line in entry_lines(entry):
                say(line)
