"""A database, as the domains use it.

Owns the one interface over both drivers: run a named query, decode its rows, hold a transaction.
Does not own connections (sqlite.py, postgres.py), tables (migrations.py) or queries.
Invariant: the same query with the same values gives the same Python values on every driver: text
is str, whole numbers and truth are int, other numbers float, nothing is None.

    with ledger.transaction():
        run = ledger.fetch_one(QUERIES.claim_run, Run, host=host)

A `Database` belongs to one thread at a time.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar, overload

import msgspec

from armarius.store.queries import Query

__all__ = ["PATIENCE_MS", "Database", "Outcome", "Row", "Value"]

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Any]

T = TypeVar("T")

PATIENCE_MS = 10_000
"""How long a writer waits for another one. A transaction takes milliseconds; ten seconds of waiting
mean that somebody stopped in the middle of one."""


class Outcome(msgspec.Struct, frozen=True):
    """What a statement returned and how many rows it changed."""

    rows: list[Row]
    changed: int


class Database(Protocol):
    """An open database. `place` names it to people and never holds a password."""

    place: str

    def run(self, query: Query, values: Mapping[str, Value]) -> Outcome:
        """Run one statement; outside a transaction it is one of its own."""
        ...

    def script(self, text: str) -> None:
        """Run several statements without parameters, inside the caller's transaction."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the right to write; commit at the end of the block, roll back when it raises.

        One transaction at a time, over all processes: what the block reads stays true until its
        end. Transactions do not nest. Readers are never held up and see only what is committed.
        """
        ...

    def tables(self) -> list[str]:
        """The names of the tables that are there."""
        ...

    def server_time_us(self) -> int | None:
        """The wall clock that all who use this database have in common; None: they share a machine."""
        ...

    def close(self) -> None: ...

    @overload
    def fetch(self, query: Query, /, **values: Value) -> list[Row]: ...

    @overload
    def fetch(self, query: Query, shape: type[T], /, **values: Value) -> list[T]: ...

    def fetch(self, query: Query, shape: type[T] | None = None, /, **values: Value) -> list[Row] | list[T]:
        """All rows, as dicts or as values of `shape`."""
        rows = self.run(query, _storable(values)).rows
        return rows if shape is None else [msgspec.convert(row, shape) for row in rows]

    @overload
    def fetch_one(self, query: Query, /, **values: Value) -> Row | None: ...

    @overload
    def fetch_one(self, query: Query, shape: type[T], /, **values: Value) -> T | None: ...

    def fetch_one(self, query: Query, shape: type[T] | None = None, /, **values: Value) -> Row | T | None:
        """The only row, or None when there is none; ValueError when there are more."""
        rows = self.run(query, _storable(values)).rows
        if len(rows) > 1:
            raise ValueError(f"query {query.name!r} gave {len(rows)} rows where at most one was meant")
        if not rows:
            return None
        return rows[0] if shape is None else msgspec.convert(rows[0], shape)

    def execute(self, query: Query, /, **values: Value) -> int:
        """How many rows the statement changed."""
        return self.run(query, _storable(values)).changed


def _storable(values: dict[str, Value]) -> dict[str, Value]:
    """Refuse on every driver what one of them cannot keep.

    PostgreSQL has no NUL in text, and SQLite turns NaN into NULL: a broken score would come back
    as a missing one.
    """
    for name, value in values.items():
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"{name}: text with a NUL character cannot be stored")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {value} cannot be stored")
    return values
