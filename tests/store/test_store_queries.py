"""The form of `.sql` files, and every such file of the package."""

import re
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import armarius
from armarius.store.database import Database
from armarius.store.postgres import PostgresDatabase
from armarius.store.queries import Query, for_psycopg, load, parameters, parse

PACKAGE = Path(armarius.__file__).parent
APSW: Any = apsw.ext  # its types name a class that Python 3.11 lacks
# The session index is SQLite alone and has its own tables and its own test.
LEDGER_QUERIES = sorted(path for path in PACKAGE.rglob("queries.sql") if path.parent.name != "sessions")


def test_a_query_has_its_name_its_description_and_its_statement() -> None:
    queries = parse(
        "-- About the file.\n\n"
        "-- name: one\n-- The first,\n-- in two lines.\nSELECT 1; \n\n"
        "-- name: two\n-- The second.\nSELECT 2 -- why\n  + :x\n",
        "here",
    )
    assert queries.one == Query("one", "The first, in two lines.", "SELECT 1")
    assert queries["two"] == Query("two", "The second.", "SELECT 2 -- why\n  + :x")
    assert [query.name for query in queries] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name:\n-- Said.\nSELECT 1;", "no usable name"),
        ("-- name: Fetch Run\n-- Said.\nSELECT 1;", "no usable name"),
        ("-- name: one\nSELECT 1;", "no usable description"),
        ("-- name: one\n--\nSELECT 1;", "no usable description"),
        ("-- name: one\n-- Said.\n", "no usable statement"),
        ("-- name: one\n-- Said.\n;", "no usable statement"),
        ("-- name: one\n-- Said.\nSELECT 1;\n-- name: one\n-- Again.\nSELECT 2;", "named twice: one"),
        ("SELECT 0;\n-- name: one\n-- Said.\nSELECT 1;", "SQL before the first"),
    ],
)
def test_a_file_that_is_not_in_form_does_not_load(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"here: .*{complaint}"):
        parse(text, "here")


def test_a_misspelt_query_is_named_with_the_one_that_was_meant() -> None:
    queries = parse("-- name: claim_run\n-- Said.\nSELECT 1;", "here")
    with pytest.raises(AttributeError, match="here has no query 'claim_runs'; did you mean 'claim_run'"):
        _ = queries.claim_runs


@pytest.mark.parametrize(
    ("sql", "translated", "names"),
    [
        ("SELECT :a, :b_2, :a", "SELECT %(a)s, %(b_2)s, %(a)s", ("a", "b_2")),
        ("SELECT ':a', 'it''s :a', :b", "SELECT ':a', 'it''s :a', %(b)s", ("b",)),
        ('SELECT ":a" FROM t', 'SELECT ":a" FROM t', ()),
        ("SELECT :a::text", "SELECT %(a)s::text", ("a",)),
        ("SELECT 5 % :a, '%'", "SELECT 5 %% %(a)s, '%%'", ("a",)),
        ("SELECT :a -- not :b\n, :c", "SELECT %(a)s -- not :b\n, %(c)s", ("a", "c")),
        ("SELECT /* :a\n:b */ :c", "SELECT /* :a\n:b */ %(c)s", ("c",)),
        ("SELECT '12:30', :a", "SELECT '12:30', %(a)s", ("a",)),
    ],
)
def test_only_parameters_are_translated(sql: str, translated: str, names: tuple[str, ...]) -> None:
    assert for_psycopg(sql) == translated
    assert parameters(sql) == names


PIECES = ["'", "''", '"', "--", "\n", "/*", "*/", ":a", ":b", "%", "%(a)s", "%%", "é", "x", " "]


@given(st.lists(st.sampled_from([*PIECES, ":", "::"])).map("".join))
def test_translation_loses_nothing(sql: str) -> None:
    assert for_psycopg(sql) % {name: f":{name}" for name in parameters(sql)} == sql


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_our_parameters_are_those_that_sqlite_sees(sql: str) -> None:
    statement = f"SELECT {sql}"
    try:
        info = APSW.query_info(apsw.Connection(":memory:"), statement)
    except apsw.Error:
        return
    assert set(info.bindings_names) == set(parameters(statement))


@pytest.mark.parametrize("path", LEDGER_QUERIES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_ledger_query_prepares(path: Path, ledger: Database) -> None:
    for query in load(path):
        # EXPLAIN parses and plans against the real tables and runs nothing.
        explain = Query(query.name, query.description, f"EXPLAIN {query.sql}")
        assert ledger.fetch(explain, **dict.fromkeys(parameters(query.sql))), query.name


@pytest.mark.parametrize("path", LEDGER_QUERIES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_query_changes_the_event_log_or_says_what_the_databases_read_differently(path: Path) -> None:
    for query in load(path):
        assert not re.search(r"\b(UPDATE|DELETE\s+FROM)\s+event\b", query.sql, re.IGNORECASE), query.name
        assert not re.search(r"\bI?LIKE\b", query.sql, re.IGNORECASE), query.name


def test_a_query_that_only_one_database_reads_does_not_prepare_on_the_other(
    ledger: Database,
) -> None:
    """The test above can fail: GLOB is SQLite's, ILIKE is PostgreSQL's."""
    postgres = isinstance(ledger, PostgresDatabase)
    foreign = "SELECT id FROM run WHERE id " + ("GLOB :x" if postgres else "ILIKE :x")
    with pytest.raises(psycopg.errors.SyntaxError if postgres else apsw.SQLError):
        ledger.fetch(Query("foreign", "A test.", f"EXPLAIN {foreign}"), x="a")
