"""The guards without which DBOS's own SQLite lets two processes count the same free place."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from armarius.dispatch.engine import sqlite_engine


def test_what_one_has_begun_to_count_no_other_one_counts_meanwhile(tmp_path: Path) -> None:
    """A transaction has the lock before its first read; `locked` comes at the begin and not at the first write."""
    one, other = sqlite_engine(tmp_path / "queue.sqlite"), sqlite_engine(tmp_path / "queue.sqlite")
    with other.connect() as impatient:
        impatient.exec_driver_sql("PRAGMA busy_timeout = 1")
        impatient.rollback()
        with one.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").fetchall() == [("truncate",)]
            with pytest.raises(OperationalError, match="locked"):
                impatient.begin()
        assert impatient.exec_driver_sql("SELECT 1").fetchall() == [(1,)]
    one.dispose()
    other.dispose()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "queue.sqlite")
    engine.dispose()
    assert (tmp_path / "queue.sqlite").stat().st_mode & 0o777 == 0o600
