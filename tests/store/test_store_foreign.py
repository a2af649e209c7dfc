"""Another program's database is read while it lives, after it died, and whatever it holds, without a trace."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from armarius.store.foreign import Reading, newest, read_foreign
from armarius.store.queries import Query

ASK = Query("ask", "All of them.", "SELECT id, size FROM thing ORDER BY id")


class Thing(msgspec.Struct, frozen=True):
    id: str
    size: int


def made(path: Path, *, sql: str = "", wal: bool = True) -> Any:
    """A database with one thing in it, which stays open."""
    connection: Any = apsw.Connection(str(path))
    connection.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}").fetchall()
    connection.execute("CREATE TABLE thing (id TEXT, size); INSERT INTO thing VALUES ('a', 1);" + sql)
    return connection


def trace(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file there, with what would show that it was written to."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("wal", [True, False])
def test_the_last_commit_of_a_living_writer_is_read(tmp_path: Path, *, wal: bool) -> None:
    path = tmp_path / "x_1.sqlite"
    writer = made(path, wal=wal)
    before = trace(tmp_path)
    assert read_foreign(path, ASK, Thing) == Reading((Thing("a", 1),))
    assert trace(tmp_path).keys() == before.keys()
    writer.execute("INSERT INTO thing VALUES ('b', 2)")
    assert [thing.id for thing in read_foreign(path, ASK, Thing).rows] == ["a", "b"]
    writer.execute("BEGIN IMMEDIATE; INSERT INTO thing VALUES ('c', 3)")
    assert [thing.id for thing in read_foreign(path, ASK, Thing).rows] == ["a", "b"]
    writer.close()


def test_of_a_database_that_was_closed_nothing_is_made(tmp_path: Path) -> None:
    made(tmp_path / "x_1.sqlite").close()
    before = trace(tmp_path)
    assert list(before) == ["x_1.sqlite"]
    assert read_foreign(tmp_path / "x_1.sqlite", ASK, Thing).rows == (Thing("a", 1),)
    assert trace(tmp_path) == before


def test_a_log_that_a_dead_writer_left_is_read_through_the_index_beside_it(tmp_path: Path) -> None:
    (tmp_path / "living").mkdir()
    (tmp_path / "dead").mkdir()
    writer = made(tmp_path / "living" / "x_1.sqlite")
    for path in (tmp_path / "living").iterdir():
        shutil.copy(path, tmp_path / "dead")
    writer.close()
    before = trace(tmp_path / "dead")
    assert read_foreign(tmp_path / "dead" / "x_1.sqlite", ASK, Thing).rows == (Thing("a", 1),)
    assert trace(tmp_path / "dead") == before
    (tmp_path / "dead" / "x_1.sqlite-shm").unlink()
    reading = read_foreign(tmp_path / "dead" / "x_1.sqlite", ASK, Thing)
    assert (reading.rows, bool(reading.trouble)) == ((), True)
    assert trace(tmp_path / "dead").keys() == before.keys() - {"x_1.sqlite-shm"}


def test_no_database_is_no_trouble(tmp_path: Path) -> None:
    assert read_foreign(tmp_path / "x_1.sqlite", ASK, Thing) == Reading()
    assert newest(tmp_path, "x") is None
    assert newest(tmp_path / "missing", "x") is None
    assert list(tmp_path.iterdir()) == []


ENDLESS = (
    "CREATE VIEW thing AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 1 AS size FROM n"
)


SPOILT: list[Callable[[Path], object]] = [
    lambda path: path.write_bytes(b"no database at all" * 100),
    lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4000)),
    lambda path: path.mkdir(),
    os.mkfifo,
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: made(path, sql="ALTER TABLE thing RENAME TO things").close(),
    lambda path: made(path, sql="ALTER TABLE thing DROP COLUMN size").close(),
    lambda path: made(path, sql="INSERT INTO thing VALUES ('b', 'big')").close(),
    lambda path: made(path, sql="INSERT INTO thing VALUES (NULL, 2)").close(),
    lambda path: made(path, sql="INSERT INTO thing VALUES (CAST(x'ff' AS TEXT), 2)").close(),
    lambda path: made(path, sql="DROP TABLE thing; " + ENDLESS).close(),
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_database_that_cannot_be_used_is_one_word_of_trouble(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "x_1.sqlite"
    spoil(path)
    reading = read_foreign(path, ASK, Thing)
    assert reading.rows == ()
    assert reading.trouble.startswith("x_1.sqlite: ")


LOCKER = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_writer_that_locks_everybody_out_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x_1.sqlite"
    made(path, wal=False).close()
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as locker:
        assert locker.stdout
        assert locker.stdout.readline() == b"locked\n"
        assert "locked" in read_foreign(path, ASK, Thing).trouble
        locker.communicate()
    assert read_foreign(path, ASK, Thing).rows == (Thing("a", 1),)


def test_of_numbered_databases_the_greatest_number_counts(tmp_path: Path) -> None:
    for name in ("x_2.sqlite", "x_10.sqlite", "x_9.sqlite-wal", "y_11.sqlite", "x_.sqlite", "x_12.sqlite.bak"):
        (tmp_path / name).touch()
    assert newest(tmp_path, "x") == tmp_path / "x_10.sqlite"
