"""The session index: what stands in every session file, without reading them again.

Owns opening the index, the right to fill it, and what it says of files. Does not own what is new
(`sync`), finding words (`search`) or what a thread is doing (`state`).
Invariant: it is a cache. The files are the truth; an index that is missing, damaged or of another
edition is made anew from them, and only what it remembered of files that are gone is lost with it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from armarius import __version__
from armarius.clock import Clock
from armarius.counts.summary import Summary
from armarius.errors import DataError
from armarius.sessions.folders import Place
from armarius.sessions.index_rows import QUERIES, forget
from armarius.sessions.sync import Synced, sync_places
from armarius.settings import Settings
from armarius.store.database import PATIENCE_MS
from armarius.store.index_database import IndexDatabase, Row, Value
from armarius.store.queries import Query
from armarius.thread import Usage

__all__ = ["Entry", "SessionIndex", "Trouble", "default_places"]

_SCHEMA = Path(__file__).with_name("index_schema.sql")
# To be raised when a file is read in another way than before, so that all are read again.
_READING = 5
_EDITION = f"{__version__}/{_READING}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One session file. `summary` lacks its turns and responses; those are rows of their own.

    `gone_at_us` is when a sync found that the file is no more; `problem` why it cannot be read.
    """

    file: int
    place: Place
    path: Path
    thread_id: str
    is_archived: bool
    size: int
    changed_us: int
    gone_at_us: int | None
    problem: str | None
    turns: int
    summary: Summary


class Trouble(msgspec.Struct, frozen=True):
    """What could not be used: files that cannot be read, files with bad lines, those lines, strange records."""

    unreadable: int
    with_bad_lines: int
    bad_lines: int
    unknown: int


def default_places(settings: Settings, codex_homes: Iterable[Path] = (), *, with_claude: bool = False) -> list[Place]:
    """Where sessions are looked for: the named homes, else the user's own, those of lanes and that of Claude Code."""
    homes = [home.absolute() for home in codex_homes]
    places = [Place("codex", home) for home in homes or [settings.codex_home, *_lane_homes(settings)]]
    if (with_claude or not homes) and (settings.claude_home / "projects").is_dir():
        places.append(Place("claude", settings.claude_home))
    return list(dict.fromkeys(places))


def _lane_homes(settings: Settings) -> list[Path]:
    """A lane is a CODEX_HOME of its own, below one folder."""
    try:
        return sorted(home for home in settings.lanes.iterdir() if home.is_dir())
    except OSError:
        return []


class SessionIndex:
    """An open index. Whoever opens it closes it (`contextlib.closing`)."""

    def __init__(self, database: IndexDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the index, which is made when it is missing or of no use."""
        return cls(IndexDatabase.open(path, _SCHEMA.read_text(encoding="utf-8"), _EDITION))

    @classmethod
    def existing(cls, path: Path) -> Self | None:
        """The index as it is, for whoever may change nothing; None when there is none of use."""
        if not path.is_file():
            return None
        database = IndexDatabase.existing(path, _SCHEMA.read_text(encoding="utf-8"), _EDITION)
        return None if database is None else cls(database)

    def close(self) -> None:
        self._database.close()

    def sync(
        self,
        places: Iterable[Place],
        clock: Clock,
        on_backlog: Callable[[int, int], None] | None = None,
        *,
        patience_ms: int = PATIENCE_MS,
    ) -> Synced:
        """Take in what is new in these places; see `Synced`. One sync at a time: another one waits."""
        wanted = list(places)
        with self._database.filling(patience_ms) as is_ours:
            if not is_ours:
                return Synced(waited=True)
            try:
                return sync_places(self._database, wanted, clock.now_us(), on_backlog)
            except DataError as error:
                if error.code != "index-damaged":
                    raise
                self._database.empty()
                return sync_places(self._database, wanted, clock.now_us(), on_backlog)

    def rebuild(self) -> None:
        """Empty the index, so that the next sync reads everything."""
        with self._database.filling() as is_ours:
            if is_ours:
                self._database.empty()

    def forget_gone(self) -> int:
        """Remove all that is remembered of files that are no more; how many there were."""
        with self._database.filling() as is_ours:
            gone = [file for (file,) in self._database.rows(QUERIES.gone_files)] if is_ours else []
            if gone:
                with self._database.transaction():
                    forget(self._database, gone)
        return len(gone)

    def rows(self, query: Query, *values: Value) -> list[Row]:
        """The rows of a query of another module of this part."""
        return self._database.rows(query, *values)

    def entries(self, places: Iterable[Place]) -> list[Entry]:
        """Every file of these places, the one that was written to last first."""
        numbers = self._numbers(places)
        decode = msgspec.msgpack.Decoder(Summary).decode
        return [
            _entry(numbers[row[1]], row, decode(row[-1]))
            for row in self._database.rows(QUERIES.entries, _json(list(numbers)))
        ]

    def usage_of_files(self) -> dict[int, Usage]:
        """The tokens of each file; a response that several files hold counts for the first of them."""
        return {row[0]: Usage(*row[1:]) for row in self._database.rows(QUERIES.usage_of_files)}

    def models(self) -> dict[int, list[str]]:
        """The models of each file: a session may go on with another one."""
        found = dict[int, list[str]]()
        for file, model in self._database.rows(QUERIES.models):
            found.setdefault(file, []).append(model)
        return found

    def trouble(self, places: Iterable[Place]) -> Trouble:
        """What could not be used of the files that are there."""
        [row] = self._database.rows(QUERIES.troubles, _json(list(self._numbers(places))))
        return Trouble(*row)

    def _numbers(self, places: Iterable[Place]) -> dict[int, Place]:
        wanted = {(place.kind, bytes(place.path)): place for place in places}
        known = self._database.rows(QUERIES.places)
        return {number: wanted[kind, path] for number, kind, path in known if (kind, path) in wanted}


def _entry(place: Place, row: tuple[Any, ...], summary: Summary) -> Entry:
    file, _, path, thread_id, is_archived, size, mtime_ns, gone_at_us, problem, turns, _ = row
    where = place.path / path
    return Entry(
        file=file,
        place=place,
        path=where,
        thread_id=thread_id,
        is_archived=bool(is_archived),
        size=size,
        changed_us=mtime_ns // 1_000,
        gone_at_us=gone_at_us,
        problem=problem,
        turns=turns,
        summary=msgspec.structs.replace(summary, path=str(where)),
    )


def _json(value: list[int]) -> str:
    return msgspec.json.encode(value).decode()
