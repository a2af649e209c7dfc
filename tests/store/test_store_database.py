"""What a domain may rely on, the same on SQLite and on PostgreSQL."""

import contextlib
import enum
from typing import Any

import apsw
import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armarius.clock import SystemClock
from armarius.store.database import Database, Value
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query

DRIVER_ERRORS = (apsw.Error, psycopg.Error)


def ask(sql: str) -> Query:
    return Query("ask", "A test.", sql)


@pytest.fixture
def notes(ledger: Database) -> Database:
    ledger.script("CREATE TABLE note (n BIGINT UNIQUE, x DOUBLE PRECISION, t TEXT)")
    return ledger


ADD = ask("INSERT INTO note (n, x, t) VALUES (:n, :x, :t)")
NUMBER = ask("INSERT INTO note (n) VALUES (:n)")
ALL = ask("SELECT n, x, t FROM note ORDER BY n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "it's",
        '"quoted"',
        "12:30 :n %(n)s %s % %% $1 ?",
        "back\\slash\\n",
        "line\nline\r\n\ttab",
        "naïve 漢字 🖋 \u202e \ufeff",
        "'; DROP TABLE note; --",
        "x" * 1_000_000,
    ],
    ids=lambda text: text[:8].encode("unicode_escape").decode(),
)
def test_text_comes_back_as_it_was_and_is_found_by_it(notes: Database, text: str) -> None:
    notes.execute(ADD, n=1, x=None, t=text)
    assert notes.fetch(ask("SELECT t FROM note WHERE t = :t"), t=text) == [{"t": text}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    n=st.none() | st.integers(-(2**63), 2**63 - 1),
    x=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    t=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)
def test_every_storable_value_comes_back_the_same(
    notes: Database, n: int | None, x: float | None, t: str | None
) -> None:
    notes.execute(ask("DELETE FROM note"))
    notes.execute(ADD, n=n, x=x, t=t)
    [row] = notes.fetch(ALL)
    assert row == {"n": n, "x": x, "t": t}
    assert [type(value) for value in row.values()] == [type(value) for value in (n, x, t)]


@pytest.mark.parametrize("value", ["nul\0", float("nan"), float("inf"), float("-inf")])
def test_what_one_database_cannot_keep_is_refused_by_both(notes: Database, value: Value) -> None:
    with pytest.raises(ValueError, match=r"t: .*cannot be stored"):
        notes.execute(ADD, n=1, x=None, t=value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_an_error(notes: Database, value: int) -> None:
    with pytest.raises((OverflowError, psycopg.DataError)):
        notes.execute(NUMBER, n=value)


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        (":a", {"a": True}, 1),
        (":a", {"a": Colour.RED}, "red"),
        (":a + :b", {"a": 30_000, "b": 30_000}, 60_000),
        (":a = :b", {"a": 1, "b": 1}, 1),
        (":a < :b", {"a": "b", "b": "a"}, 0),
        ("CAST(:a AS TEXT) IS NULL", {"a": None}, 1),
        ("':a %' || :a", {"a": "%"}, ":a %%"),
        ("7 / :a", {"a": 2}, 3),
        ("7 % :a", {"a": 4}, 3),
        ("(SELECT COUNT(*) FROM run)", {}, 0),
        ("(SELECT SUM(n) FROM (SELECT :a AS n UNION ALL SELECT :b) AS t)", {"a": 2**40, "b": 1}, 2**40 + 1),
        ("(SELECT AVG(n) FROM (SELECT :a AS n UNION ALL SELECT :b) AS t)", {"a": 1, "b": 2}, 1.5),
        ("(SELECT AVG(n) FROM (SELECT :a AS n UNION ALL SELECT :b) AS t)", {"a": 1, "b": 3}, 2.0),
        ("CAST(:a AS DOUBLE PRECISION)", {"a": 2}, 2.0),
    ],
)
def test_an_expression_has_one_value_on_both_databases(
    ledger: Database, expression: str, values: dict[str, Value], expected: Any
) -> None:
    [row] = ledger.fetch(ask(f"SELECT {expression} AS value"), **values)
    assert row == {"value": expected}
    assert type(row["value"]) is type(expected)


def test_a_missing_parameter_is_an_error(notes: Database) -> None:
    with pytest.raises((KeyError, psycopg.ProgrammingError)):
        notes.execute(ADD, n=1, x=1.0)


class Note(msgspec.Struct, frozen=True):
    n: int
    t: str | None
    x: float | None = None


def test_rows_decode_into_values(notes: Database) -> None:
    notes.execute(ADD, n=1, x=0.5, t="null")
    notes.execute(ADD, n=2, x=None, t=None)
    assert notes.fetch(ALL, Note) == [Note(1, "null", 0.5), Note(2, None)]
    assert notes.fetch_one(ask("SELECT n, t FROM note WHERE n = :n"), Note, n=2) == Note(2, None)


def test_a_row_that_does_not_fit_its_type_is_an_error(notes: Database) -> None:
    notes.execute(ADD, n=None, x=None, t="a")
    with pytest.raises(msgspec.ValidationError, match=r"int.*\$\.n"):
        notes.fetch(ALL, Note)


def test_fetch_one_gives_the_row_or_none_and_refuses_two(notes: Database) -> None:
    assert notes.fetch_one(ALL) is None
    assert notes.fetch_one(ALL, Note) is None
    notes.execute(NUMBER, n=1)
    assert notes.fetch_one(ask("SELECT n FROM note")) == {"n": 1}
    notes.execute(NUMBER, n=2)
    with pytest.raises(ValueError, match="'ask' gave 2 rows"):
        notes.fetch_one(ALL)


def test_execute_counts_the_rows_it_changed(notes: Database) -> None:
    assert [notes.execute(NUMBER, n=n) for n in (1, 2, 3)] == [1, 1, 1]
    assert notes.execute(ask("UPDATE note SET x = 1 WHERE n > :n"), n=1) == 2
    assert notes.execute(ask("INSERT INTO note (n) VALUES (:n) ON CONFLICT DO NOTHING"), n=1) == 0
    assert notes.execute(ask("UPDATE note SET x = 2 WHERE n > :n"), n=9) == 0
    assert notes.execute(ask("DELETE FROM note")) == 3


def test_a_writing_query_may_return_rows(notes: Database) -> None:
    upsert = ask("INSERT INTO note (n, t) VALUES (:n, :t) ON CONFLICT (n) DO UPDATE SET t = excluded.t RETURNING n, t")
    assert notes.fetch(upsert, n=1, t="a") == [{"n": 1, "t": "a"}]
    assert notes.fetch_one(upsert, Note, n=1, t="b") == Note(1, "b")
    assert notes.fetch(ALL, Note) == [Note(1, "b")]


def numbers(database: Database) -> list[int]:
    return [row["n"] for row in database.fetch(ALL)]


def test_a_transaction_is_seen_by_others_when_it_ends_and_not_before(notes: Database, place: str) -> None:
    with contextlib.closing(open_ledger(place, SystemClock())) as other:
        with notes.transaction():
            notes.execute(NUMBER, n=1)
            notes.execute(NUMBER, n=2)
            assert numbers(notes) == [1, 2]
            assert numbers(other) == []
        assert numbers(other) == [1, 2]


def test_a_transaction_that_raises_leaves_nothing_and_the_next_one_works(notes: Database) -> None:
    with contextlib.suppress(LookupError), notes.transaction():
        notes.execute(NUMBER, n=1)
        raise LookupError
    with notes.transaction():
        notes.execute(NUMBER, n=2)
    assert numbers(notes) == [2]


def test_a_lone_statement_that_fails_leaves_nothing_and_the_next_one_works(notes: Database) -> None:
    notes.execute(NUMBER, n=1)
    with pytest.raises(DRIVER_ERRORS):
        notes.execute(ask("INSERT INTO note (n) VALUES (2), (:n)"), n=1)
    notes.execute(NUMBER, n=3)
    assert numbers(notes) == [1, 3]


def test_a_failed_statement_spoils_its_transaction_even_when_the_block_passes_over_it(
    notes: Database,
) -> None:
    def pass_over() -> None:
        with notes.transaction():
            notes.execute(NUMBER, n=2)
            with contextlib.suppress(*DRIVER_ERRORS):
                notes.execute(NUMBER, n=1)

    notes.execute(NUMBER, n=1)
    with pytest.raises(RuntimeError, match="the block went on"):
        pass_over()
    with notes.transaction():
        notes.execute(NUMBER, n=3)
    assert numbers(notes) == [1, 3]


def test_transactions_do_not_nest(notes: Database) -> None:
    def nest() -> None:
        with notes.transaction():
            notes.execute(NUMBER, n=1)
            with notes.transaction():
                pass

    with pytest.raises(RuntimeError, match="do not nest"):
        nest()
    assert numbers(notes) == []
