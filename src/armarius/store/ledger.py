"""The ledger: the one authority on runs, claims, evidence and what happened.

Owns opening it, wherever it lives, and its event log. Does not own the rows of any domain.
Invariant: an open ledger has exactly the tables of `schema.sql`; events are only ever added, and
their numbers grow in the order in which they are committed.
"""

from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, HostError
from armarius.identity import canonical_json
from armarius.store.database import PATIENCE_MS, Database
from armarius.store.migrations import LEDGER, migrate, migrations_in
from armarius.store.queries import load
from armarius.store.sqlite import SqliteDatabase

__all__ = ["Event", "append_event", "events_after", "events_of", "open_ledger"]

_QUERIES = load(Path(__file__).with_name("queries.sql"))


def open_ledger(place: str | Path, clock: Clock, *, patience_ms: int = PATIENCE_MS) -> Database:
    """Open the ledger at a path or a `postgresql://` address, and bring its tables up to date.

    Whoever opens it closes it (`contextlib.closing`).
    """
    database = _connect(str(place), patience_ms)
    try:
        migrate(database, migrations_in(LEDGER), clock)
    except BaseException:
        database.close()
        raise
    return database


def _connect(place: str, patience_ms: int) -> Database:
    if place.startswith(("postgresql://", "postgres://")):
        try:
            # An optional dependency, and 100 ms that no ledger in a file should pay.
            from armarius.store.postgres import PostgresDatabase
        except ImportError as error:
            raise HostError(
                "no-psycopg",
                "a ledger on PostgreSQL needs the package psycopg",
                "install 'armarius[postgres]'",
            ) from error
        return PostgresDatabase(place, patience_ms=patience_ms)
    if "://" in place:
        raise DataError(
            "ledger-address",
            f"a ledger cannot live at an address of the kind {place.partition('://')[0]!r}",
            "name a file or a postgresql:// address",
        )
    return SqliteDatabase(Path(place), patience_ms=patience_ms)


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a run, a night or a proposal; `body` is JSON."""

    seq: int
    at_us: int
    subject: str
    kind: str
    body: str


def append_event(ledger: Database, *, at_us: int, subject: str, kind: str, body: Any) -> int:
    """Add an event and return its number; inside the transaction of what it reports, if there is one."""
    text = canonical_json(body).decode()
    [row] = ledger.fetch(_QUERIES.append_event, at_us=at_us, subject=subject, kind=kind, body=text)
    return row["seq"]


def events_after(ledger: Database, seq: int, most: int) -> list[Event]:
    """At most `most` events that follow number `seq`, oldest first."""
    return ledger.fetch(_QUERIES.events_after, Event, seq=seq, most=most)


def events_of(ledger: Database, subject: str) -> list[Event]:
    """Everything recorded about a subject, oldest first."""
    return ledger.fetch(_QUERIES.events_of, Event, subject=subject)
