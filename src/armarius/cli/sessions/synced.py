"""The session index, up to date, for a command that asks it.

Owns opening, syncing, saying that it takes a while, and closing. Does not own what is asked.
"""

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from armarius.cli.output import say
from armarius.clock import SystemClock
from armarius.files import private_folder
from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex, default_places
from armarius.sessions.observe import HookLog, Observations, observe
from armarius.sessions.sync import Synced
from armarius.settings import Settings

__all__ = ["Desk", "index_of", "look_at", "say_skipped", "synced_index"]

_LONG = 200_000_000
"""So many bytes take long enough that somebody wonders."""


class Desk(msgspec.Struct, frozen=True):
    """An open index, where it was asked to look, and what the sync before found.

    `seen` was looked at before the files were read: a turn that is open in its record, and whose lock was
    free before, has no end. The other way round it may have ended in between.
    """

    index: SessionIndex
    places: tuple[Place, ...]
    synced: Synced
    seen: dict[Path, Observations]

    def look(self, home: Path) -> Observations:
        """What could be seen of the threads of a home besides their files."""
        return self.seen[home]


def look_at(settings: Settings, home: Path) -> Observations:
    """What can be seen of the threads of a home now, besides their files."""
    databases = settings.databases if home == settings.codex_home else None
    return observe(home, SystemClock(), hooks=HookLog(settings.hook_events), databases=databases)


@contextlib.contextmanager
def index_of(settings: Settings) -> Generator[SessionIndex]:
    """The user's index, open for a block."""
    private_folder(settings.home)
    with contextlib.closing(SessionIndex.open(settings.session_index)) as index:
        yield index


@contextlib.contextmanager
def synced_index(
    settings: Settings, homes: Sequence[Path], source: str | None = None, *, looks: bool = True
) -> Generator[Desk]:
    """The user's index with everything in it that there is now in these homes, or in the usual ones.

    Without `looks` nobody asks what the threads are doing.
    """
    places = default_places(settings, homes, with_claude=source == "claude")
    codex_homes = [place.path for place in places if place.kind == "codex"]
    seen = {home: look_at(settings, home) for home in codex_homes} if looks else {}
    with index_of(settings) as index:
        synced = index.sync(places, SystemClock(), _say_backlog)
        if synced.waited:
            say("another sync is at work; this is what was known before it", err=True)
        yield Desk(index, tuple(places), synced, seen)


def say_skipped(unreadable: int, closed: Sequence[str]) -> None:
    """What hides nothing and should be known."""
    if unreadable:
        files = "1 file" if unreadable == 1 else f"{unreadable} files"
        say(f"{files} could not be opened; see `armarius doctor`", err=True)
    for folder in closed:
        say(f"{folder} could not be listed", err=True)


def _say_backlog(files: int, size: int) -> None:
    if size > _LONG:
        say(f"reading {files:,} session files, {size / 1_000_000:,.0f} MB …", err=True)
