"""How a ledger gets its tables, and which files it leaves alone."""

import contextlib
import gc
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.errors import DataError
from armarius.store.database import Database, Row
from armarius.store.ledger import open_ledger
from armarius.store.migrations import LEDGER, migrate, migrations_in
from armarius.store.postgres import PostgresDatabase
from armarius.store.queries import Query
from armarius.store.sqlite import SqliteDatabase


def ask(sql: str) -> Query:
    return Query("ask", "A test.", sql)


COLUMNS = ask("""
    SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'armarius' ORDER BY table_name, ordinal_position
""")
INDEXES = ask("SELECT indexdef FROM pg_indexes WHERE schemaname = 'armarius' ORDER BY indexdef")
CONSTRAINTS = ask("""
    SELECT conrelid::regclass::text AS place, conname, pg_get_constraintdef(oid) AS rule FROM pg_constraint
    WHERE connamespace = 'armarius'::regnamespace ORDER BY place, conname
""")
SQLITE_SCHEMA = ask("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")


def connect(place: str) -> Database:
    """A database without tables, unlike `open_ledger`."""
    return PostgresDatabase(place) if "://" in place else SqliteDatabase(Path(place))


def shape(database: Database) -> list[Row]:
    """Everything the database knows about its own tables."""
    if isinstance(database, PostgresDatabase):
        return [row for query in (COLUMNS, INDEXES, CONSTRAINTS) for row in database.fetch(query)]
    rows = database.fetch(SQLITE_SCHEMA)
    return [row | {"sql": plain(row["sql"])} for row in rows]


def plain(sql: str | None) -> list[str]:
    """A statement without comments and layout, which SQLite keeps as they were written."""
    return re.sub(r"--[^\n]*", "", sql or "").split()


def test_all_migrations_together_are_the_schema(new_place: Callable[[], str]) -> None:
    schema = LEDGER.with_name("schema.sql").read_text(encoding="utf-8")
    with (
        contextlib.closing(connect(new_place())) as written_out,
        contextlib.closing(open_ledger(new_place(), SystemClock())) as migrated,
    ):
        written_out.script(schema)
        assert shape(migrated) == shape(written_out)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("effort        TEXT,", ""),
        ("reasoning    BIGINT NOT NULL,", "reasoning    BIGINT,"),
        ("CHECK (number > 0)", "CHECK (number > 1)"),
        ("OR outcome = 'succeeded'", ""),
        ("CREATE INDEX event_subject ON event (subject, seq);", ""),
    ],
)
def test_a_difference_between_migrations_and_schema_would_be_seen(
    new_place: Callable[[], str], written: str, instead: str
) -> None:
    schema = LEDGER.with_name("schema.sql").read_text(encoding="utf-8")
    assert written in schema
    with (
        contextlib.closing(connect(new_place())) as altered,
        contextlib.closing(open_ledger(new_place(), SystemClock())) as migrated,
    ):
        altered.script(schema.replace(written, instead))
        assert shape(migrated) != shape(altered)


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    steps = migrations_in(LEDGER)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert [step.path.name for step in steps] == [f"{step.number:04}_{step.name}.sql" for step in steps]


APPLIED = ask("SELECT number, name FROM migration ORDER BY number")


def test_a_ledger_remembers_what_was_applied_and_opening_it_again_changes_nothing(place: str) -> None:
    with contextlib.closing(open_ledger(place, SystemClock())) as first:
        before = first.fetch(ask("SELECT * FROM migration"))
    with contextlib.closing(open_ledger(place, SystemClock())) as second:
        assert second.fetch(ask("SELECT * FROM migration")) == before
        assert second.fetch(APPLIED) == [{"number": step.number, "name": step.name} for step in migrations_in(LEDGER)]


def test_only_the_missing_migrations_are_applied(place: str, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "0001_first.sql").write_text((LEDGER / "0001_ledger.sql").read_text())
    with contextlib.closing(connect(place)) as database:
        migrate(database, migrations_in(steps), SystemClock())
        (steps / "0002_second.sql").write_text("CREATE TABLE a (n BIGINT); CREATE TABLE b (n BIGINT);")
        (steps / "0003_third.sql").write_text("ALTER TABLE a ADD COLUMN t TEXT;")
        migrate(database, migrations_in(steps), SystemClock())
        assert [row["name"] for row in database.fetch(APPLIED)] == ["first", "second", "third"]
        assert database.fetch(ask("SELECT a.t, b.n FROM a CROSS JOIN b")) == []


def test_a_migration_that_fails_leaves_nothing_of_itself(place: str, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "0001_first.sql").write_text((LEDGER / "0001_ledger.sql").read_text())
    second = steps / "0002_second.sql"
    second.write_text("CREATE TABLE a (n BIGINT); CREATE TABLE a (n BIGINT);")
    with contextlib.closing(connect(place)) as database:
        with pytest.raises(Exception, match="already exists"):
            migrate(database, migrations_in(steps), SystemClock())
        assert "a" not in database.tables()
        assert [row["name"] for row in database.fetch(APPLIED)] == ["first"]
        second.write_text("CREATE TABLE a (n BIGINT);")
        migrate(database, migrations_in(steps), SystemClock())
        assert "a" in database.tables()


def test_a_ledger_of_a_newer_armarius_is_refused_and_left_alone(place: str) -> None:
    known = len(migrations_in(LEDGER))
    with contextlib.closing(open_ledger(place, SystemClock())) as ledger:
        name = ledger.place
        ledger.execute(ask("INSERT INTO migration VALUES (:n, 'future', 1)"), n=known + 4)
        before = shape(ledger)
    with pytest.raises(DataError) as caught:
        open_ledger(place, SystemClock())
    assert str(caught.value) == (
        f"the ledger at {name} was written by a newer armarius (schema {known + 4}, this one knows {known});"
        " upgrade armarius"
    )
    del caught
    gc.collect()  # a connection that was left open would show as a warning, and so as an error
    with contextlib.closing(connect(place)) as database:
        assert shape(database) == before


def test_a_database_of_something_else_is_refused_and_left_alone(place: str) -> None:
    with contextlib.closing(connect(place)) as database:
        database.script("CREATE TABLE threads (id TEXT)")
    with pytest.raises(DataError, match="it has the table 'threads'") as caught:
        open_ledger(place, SystemClock())
    assert caught.value.code == "not-a-ledger"
    with contextlib.closing(connect(place)) as database:
        assert database.tables() == ["threads"]
