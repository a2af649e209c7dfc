"""What goes wrong with a ledger, said with its way out."""

import contextlib
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from armarius.clock import SystemClock
from armarius.errors import ArmariusError, DataError, HostError
from armarius.store.database import Database
from armarius.store.ledger import append_event, events_after, open_ledger
from armarius.store.queries import Query

HEADER = b"SQLite format 3\0"


def ask(sql: str) -> Query:
    return Query("ask", "A test.", sql)


def opened(place: Path | str) -> Database:
    return open_ledger(place, SystemClock())


def note(ledger: Database, size: int = 1) -> int:
    return append_event(ledger, at_us=1, subject="run_a", kind="seen", body="x" * size)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def permissive() -> Iterator[None]:
    """A user whose new files everybody may read."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("permissive")
def test_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.db"
    with contextlib.closing(opened(path)) as ledger:
        note(ledger)
        assert {file.name: mode(file) for file in path.parent.iterdir()} == {
            "ledger.db": 0o600,
            "ledger.db-wal": 0o600,
            "ledger.db-shm": 0o600,
        }
    assert mode(path.parent) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


def test_a_folder_that_is_already_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    opened(tmp_path / "ledger.db").close()
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_every_connection_to_a_file_is_durable_and_checks_references(
    tmp_path: Path, pragma: str, value: str | int
) -> None:
    opened(tmp_path / "ledger.db").close()
    with contextlib.closing(opened(tmp_path / "ledger.db")) as again:
        assert again.fetch(ask(f"PRAGMA {pragma}")) == [{pragma: value}]


@pytest.mark.parametrize(
    "content",
    [b"#!/bin/sh\necho no database\n" * 200, HEADER + b"\xff" * 8_000, b"\0" * 4_096],
    ids=["text", "header only", "zeros"],
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"ledger\.db is damaged or no database.*move it away") as caught:
        opened(path)
    assert caught.value.code == "ledger-damaged"
    assert path.read_bytes() == content


def test_damage_is_named_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with contextlib.closing(opened(path)) as ledger:
        for _ in range(50):
            note(ledger, 4_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) // 2))
    with (
        contextlib.closing(opened(path)) as ledger,
        pytest.raises(DataError, match=r"ledger\.db is damaged"),
    ):
        events_after(ledger, 0, most=100)


def test_a_folder_at_the_ledgers_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=f"cannot open {tmp_path} for writing") as caught:
        opened(tmp_path)
    assert caught.value.code == "ledger-unwritable"


def test_a_file_where_the_ledgers_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(HostError, match=r"cannot open .*home/ledger\.db for writing"):
        opened(tmp_path / "home" / "ledger.db")


@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_a_folder_that_may_not_be_written_is_named(*, exists: bool) -> None:
    # Not in pytest's folder, into which nobody but its owner can look.
    with tempfile.TemporaryDirectory(prefix="armarius-ro-") as name:
        path = Path(name) / "ledger.db"
        if exists:
            opened(path).close()
            path.chmod(0o444)
        Path(name).chmod(0o555)
        other = Path(__file__).with_name("other_process.py")
        done = subprocess.run(
            [sys.executable, str(other), "unprivileged", str(path)],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        Path(name).chmod(0o755)
        assert done.stdout.startswith(f"HostError 4 ledger-unwritable: cannot open {path} for writing")


def test_a_full_disk_costs_the_transaction_and_nothing_before_it(tmp_path: Path) -> None:
    with contextlib.closing(opened(tmp_path / "ledger.db")) as ledger:
        ledger.script("CREATE TABLE plain (t TEXT)")
        note(ledger)
        [pages] = ledger.fetch(ask("PRAGMA page_count"))
        ledger.fetch(ask(f"PRAGMA max_page_count = {pages['page_count'] + 10}"))

        def fill() -> None:
            with ledger.transaction():
                note(ledger)
                # Into a table without an index: SQLite then ends the whole transaction by itself.
                ledger.execute(ask("INSERT INTO plain VALUES (:t)"), t="x" * 1_000_000)

        with pytest.raises(HostError, match=r"disk full: cannot write to .*; free space") as caught:
            fill()
        assert caught.value.code == "disk"
        assert note(ledger) == 2
        ledger.fetch(ask("PRAGMA max_page_count = 1000000"))
        fill()
        assert [event.seq for event in events_after(ledger, 0, most=9)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("mysql://u:s3cret@host/db", "ledger-address"),
        ("postgresql://u:s3cret@@host/db", "ledger-address"),
        ("postgresql://u:1/s3cret@host/db", "ledger-address"),
        ("postgresql://u:s3cret@host/db?s3cret=1", "ledger-address"),
        ("postgresql://u:s3cret x@host/db", "ledger-address"),
        ("postgresql://u:s3cret@/db?host=/nonexistent", "ledger-unreachable"),
        ("postgres://u:s3cret@/db?host=/nonexistent&password=s3cret", "ledger-unreachable"),
    ],
)
def test_an_address_that_does_not_work_is_explained_without_its_password(place: str, code: str) -> None:
    with pytest.raises(ArmariusError) as caught:
        opened(place)
    assert caught.value.code == code
    assert caught.value.hint
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(caught.value.__cause__)


@pytest.fixture
def address(new_database: Callable[[], str]) -> str:
    """An empty database on the server."""
    return new_database()


def test_the_name_of_a_place_never_holds_the_password(address: str) -> None:
    secret = address.replace("postgres@", "postgres:s3cret@") + "&password=s3cret"
    with contextlib.closing(opened(secret)) as ledger:
        assert re.fullmatch(r"postgresql:///\S+/t[0-9a-f]+", ledger.place)
        assert "s3cret" not in ledger.place


@pytest.mark.parametrize(
    ("before", "sql", "code", "message"),
    [
        ("SELECT 1", "DO $$ BEGIN RAISE disk_full; END $$", "disk", "disk full: the server of"),
        (
            "SET default_transaction_read_only = on",
            "CREATE TABLE t ()",
            "ledger-unwritable",
            "not allowed to write to",
        ),
        (
            "SELECT 1",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "ledger-lost",
            "lost the connection to",
        ),
    ],
)
def test_trouble_of_the_server_is_said_in_our_words(
    address: str, before: str, sql: str, code: str, message: str
) -> None:
    with contextlib.closing(opened(address)) as ledger:
        ledger.script(before)
        with pytest.raises(HostError, match=message) as caught:
            ledger.script(sql)
        assert caught.value.code == code
        assert caught.value.hint


def test_a_connection_that_was_lost_stays_lost_and_says_so(address: str) -> None:
    def write() -> None:
        with ledger.transaction():
            note(ledger)
            ledger.script("SELECT pg_terminate_backend(pg_backend_pid())")

    with contextlib.closing(opened(address)) as ledger:
        for _ in range(2):
            with pytest.raises(HostError, match="lost the connection to"):
                write()
        with pytest.raises(HostError, match="lost the connection to"):
            note(ledger)
    with contextlib.closing(opened(address)) as again:
        assert events_after(again, 0, most=9) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("transaction_isolation", "read committed"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "1min"),
    ],
)
def test_a_servers_own_defaults_do_not_change_how_writers_wait(address: str, setting: str, value: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable".encode())
    with contextlib.closing(opened(address)) as ledger, ledger.transaction():
        assert ledger.fetch(ask(f"SHOW {setting}")) == [{setting: value}]


def test_a_role_that_may_not_create_the_schema_is_told_so(address: str) -> None:
    role = f"r{os.urandom(8).hex()}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
    with pytest.raises(HostError, match=r"not allowed to write to .*; use a role that may create"):
        opened(address.replace("postgres@", f"{role}@"))
    gc.collect()  # a connection that was left open would show as a warning, and so as an error


def test_the_ledger_leaves_the_other_schemas_of_a_server_alone(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE run (mine TEXT)")
        with contextlib.closing(opened(address)) as ledger:
            note(ledger)
        query = b"SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('run', 'event')"
        assert set(connection.execute(query)) == {
            ("public", "run"),
            ("armarius", "run"),
            ("armarius", "event"),
        }
