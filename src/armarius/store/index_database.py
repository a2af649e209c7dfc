"""A cache in a SQLite file, that can be made again from what it was read from.

Owns opening such a file, and making it anew when it is damaged or of another edition. Does not own
its tables, which come as text, nor the truth: what is lost here is read again.
Invariant: an open index has the tables of exactly the schema and edition that were asked for. The
file is its owner's alone.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import apsw

from armarius.errors import ArmariusError, DataError, HostError
from armarius.store.database import PATIENCE_MS
from armarius.store.queries import Query
from armarius.store.sqlite import create_empty

__all__ = ["IndexDatabase", "Row", "Value"]

# NORMAL: a power cut may take the last commits and never the form of the file. What is lost is read again.
_SETTINGS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000"

_TICK_MS = 20

Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Any, ...]


class IndexDatabase:
    """One connection. Rows are tuples; parameters are bound in the order in which a query names them.

    It may be handed to another thread, and is used by one at a time. While a statement runs, other
    threads do too: much is best given to few statements, as a JSON array that they take apart.
    """

    def __init__(self, path: Path, connection: Any, schema: str, edition: int) -> None:
        self.path = path
        self._connection = connection
        self._schema = schema
        self._edition = edition

    @classmethod
    def open(cls, path: Path, schema: str, edition: str, *, patience_ms: int = PATIENCE_MS) -> Self:
        """Open the index, which is made when it is missing, damaged or not of this schema and edition."""
        with _boundary(path):
            if not path.exists():
                create_empty(path)
        index = cls._connected(path, schema, edition, patience_ms)
        try:
            with _boundary(path):
                if not index.is_current():
                    with _locked(path, fcntl.LOCK_EX):
                        if not index.is_current():  # or another process was faster
                            index._make()
        except BaseException:
            index.close()
            raise
        return index

    @classmethod
    def existing(cls, path: Path, schema: str, edition: str, *, patience_ms: int = PATIENCE_MS) -> Self | None:
        """Open the index as it is, or say that it is of no use."""
        index = cls._connected(path, schema, edition, patience_ms)
        try:
            with _boundary(path):
                is_ready = index.is_current()
        except BaseException:
            index.close()
            raise
        if is_ready:
            return index
        index.close()
        return None

    @classmethod
    def _connected(cls, path: Path, schema: str, edition: str, patience_ms: int) -> Self:
        number = int(hashlib.sha256(f"{edition}\n{schema}".encode()).hexdigest()[:7], 16)
        with _boundary(path):
            connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.set_busy_timeout(patience_ms)
        return cls(path, connection, schema, number)

    @contextlib.contextmanager
    def filling(self, patience_ms: int = PATIENCE_MS) -> Generator[bool]:
        """Hold the right to fill the index, of which there is one; False when another had it for too long.

        Whoever reads is not held up. The right ends with the process, however that ends.
        """
        with contextlib.ExitStack() as stack:
            yield any(self._took_right(stack, wait=tick > 0) for tick in range(1 + patience_ms // _TICK_MS))

    def _took_right(self, stack: contextlib.ExitStack, *, wait: bool) -> bool:
        if wait:
            time.sleep(_TICK_MS / 1_000)
        try:
            with _boundary(self.path):
                stack.enter_context(_locked(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def empty(self) -> None:
        """Forget everything; for whoever holds the right to fill it."""
        with _boundary(self.path):
            self._make()

    def rows(self, query: Query, *values: Value) -> list[Row]:
        """All rows of a query."""
        with _boundary(self.path):
            return self._connection.execute(query.sql, values).fetchall()

    def many(self, query: Query, rows: Iterable[Sequence[Value]]) -> None:
        """One statement for each of the rows."""
        with _boundary(self.path):
            self._connection.executemany(query.sql, rows).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """Hold the right to write; commit at the end of the block, roll back when it raises."""
        with _boundary(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with _boundary(self.path):
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()

    def is_current(self) -> bool:
        """Whether the file can be used as it is."""
        try:
            self._connection.execute(_SETTINGS).fetchall()
            return self._connection.execute("PRAGMA user_version").fetchall() == [(self._edition,)]
        except (apsw.NotADBError, apsw.CorruptError):
            return False

    def _make(self) -> None:
        """Empty the file, whatever it holds, and make the tables.

        Never by deleting it: another process may have it open. SQLite's own reset works on a
        damaged file and under the eyes of readers.
        """
        connection = self._connection
        connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 1)
        try:
            connection.execute("VACUUM").fetchall()
        finally:
            connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 0)
        connection.execute(_SETTINGS).fetchall()
        with self.transaction():
            connection.execute(self._schema).fetchall()
            connection.execute(f"PRAGMA user_version = {self._edition}")


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Generator[None]:
    """Hold the lock beside the index; a file of its own, because SQLite's locks on the index are SQLite's."""
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _boundary(path: Path) -> Generator[None]:
    """Say in our words what the machine or the file is to blame for; the rest passes as it is."""
    try:
        yield
    except BlockingIOError:
        raise
    except (apsw.Error, OSError) as error:
        known = _explained(path, error)
        if known is None:
            raise
        raise known from error


def _explained(path: Path, error: apsw.Error | OSError) -> ArmariusError | None:
    match error:
        case apsw.FullError() | apsw.IOError():
            hint = "free space, check the disk, or set ARMARIUS_HOME to another one"
            return HostError("disk", f"the disk refused to read or write {path}: {error}", hint)
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError() | OSError():
            hint = "make the file and its folder writable by you, or set ARMARIUS_HOME to another folder"
            return HostError("index-unwritable", f"cannot open {path} for writing: {error}", hint)
        case apsw.BusyError() | apsw.ProtocolError():
            hint = "find the armarius that is stopped or hangs, end it and try again"
            return HostError("index-busy", f"{path} was locked by another process for too long", hint)
        case apsw.NotADBError() | apsw.CorruptError():
            hint = "make it anew with `armarius sessions sync --rebuild`: it is only a cache"
            return DataError("index-damaged", f"{path} is damaged: {error}", hint)
        case _:
            return None
