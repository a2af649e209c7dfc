"""A database in a file.

Owns the SQLite connection: how the file comes to be, how it is locked, what its errors mean to a
person. Does not own tables.
Invariant: a file at the path is a whole database in WAL mode, readable by its owner alone, from
the first moment it can be seen there.
"""

import contextlib
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import apsw

from armarius.errors import ArmariusError, DataError, HostError
from armarius.files import private_folder
from armarius.store.database import PATIENCE_MS, Database, Outcome, Row, Value
from armarius.store.queries import Query

__all__ = ["SqliteDatabase", "create_empty"]

# In WAL mode `synchronous = NORMAL` may lose the last commits in a power cut. A claim that is
# forgotten is started twice and a paid run that is forgotten is paid twice, so every commit reaches
# the disk: a few milliseconds, against runs of minutes.
_SETTINGS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"


class SqliteDatabase(Database):
    """A SQLite file, shared by any number of processes of one machine."""

    def __init__(self, path: Path, *, patience_ms: int = PATIENCE_MS) -> None:
        """Open the file, which is made if it is missing; HostError or DataError when that fails."""
        self.place = str(path)
        self._patience_ms = patience_ms
        self._failed = False
        with self._boundary():
            if not path.exists():
                create_empty(path)
            # Any: the types that apsw ships name a class that Python 3.11 lacks.
            self._connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            self._connection.set_busy_timeout(patience_ms)
            self._connection.row_trace = _as_row
            self._connection.execute(_SETTINGS).fetchall()

    def run(self, query: Query, values: Mapping[str, Value]) -> Outcome:
        with self._boundary():
            rows = self._connection.execute(query.sql, values).fetchall()
            return Outcome(rows, self._connection.changes())

    def script(self, text: str) -> None:
        with self._boundary():
            self._connection.execute(text).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        if self._connection.in_transaction:
            raise RuntimeError("transactions do not nest")
        # IMMEDIATE: the lock is taken before the first read. A deferred transaction that reads and
        # then writes fails when another writer came in between.
        self.script("BEGIN IMMEDIATE")
        self._failed = False
        try:
            yield
            self._commit()
        except BaseException:
            # SQLite may have rolled back itself (disk full), and then a ROLLBACK would hide why.
            if self._connection.in_transaction:
                self.script("ROLLBACK")
            raise

    def _commit(self) -> None:
        if self._failed:
            # PostgreSQL could not commit this either.
            raise RuntimeError("a statement failed in this transaction and the block went on")
        self.script("COMMIT")

    def tables(self) -> list[str]:
        with self._boundary():
            found = self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            return [row["name"] for row in found]

    def server_time_us(self) -> int | None:
        return None

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _boundary(self) -> Generator[None]:
        """Say in our words what the machine or the file is to blame for; the rest passes as it is."""
        try:
            yield
        except (apsw.Error, OSError, UnicodeDecodeError) as error:
            self._failed = True
            known = self._explained(error)
            if known is None:
                raise
            raise known from error

    def _explained(self, error: apsw.Error | OSError | UnicodeDecodeError) -> ArmariusError | None:
        match error:
            case apsw.FullError():
                return HostError(
                    "disk",
                    f"disk full: cannot write to {self.place}",
                    "free space or set ARMARIUS_HOME to another disk",
                )
            case apsw.IOError():
                return HostError(
                    "disk",
                    f"the disk refused to read or write {self.place}: {error}",
                    "check the disk and its quota, or set ARMARIUS_HOME to another disk",
                )
            case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError() | OSError():
                return HostError(
                    "ledger-unwritable",
                    f"cannot open {self.place} for writing: {error}",
                    "make the file and its folder writable by you, or set ARMARIUS_HOME to another folder",
                )
            case apsw.BusyError() | apsw.ProtocolError():
                return HostError(
                    "ledger-busy",
                    f"{self.place} was locked by another process for {self._patience_ms / 1000:g} s",
                    "find the armarius that is stopped or hangs, end it and try again",
                )
            # Text is checked when it is written, so text that cannot be read is damage, too.
            case apsw.NotADBError() | apsw.CorruptError() | UnicodeDecodeError():
                return DataError(
                    "ledger-damaged",
                    f"{self.place} is damaged or no database: {error}",
                    "move it away with its -wal and -shm files, and put back a backup if there is one",
                )
            case _:
                return None


def create_empty(path: Path) -> None:
    """Put an empty database in WAL mode at `path`, unless another process is faster.

    It is made under another name and linked into place, because switching a file to WAL that
    others are opening fails at once with "locked", however long they would wait. The link is made
    durable by the first commit, which syncs the folder with its new -wal file.
    """
    if not path.parent.exists():
        private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    # O_EXCL and a name of our own: closing a descriptor of a file that this process has open as a
    # database would drop SQLite's locks on it. The -wal and -shm files take over the mode.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        connection: Any = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.close()
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _as_row(cursor: apsw.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.get_description(), values, strict=True)}
