"""A database on a PostgreSQL server.

Owns the connection: its settings, the lock that makes one writer of many hosts, what its errors mean
to a person. Does not own tables. Imported only when a `postgresql://` address is used.
Invariant: whatever writes holds the writer's lock from before its first read until its commit.

The lock is what SQLite does to its file, and it is chosen over SERIALIZABLE for three reasons: a
block that is right on SQLite is right here without being written so that it can be repeated; events
get their numbers in the order in which they are committed; and nobody ever retries. It costs
concurrency between writers, of which a ledger has little: a few milliseconds a transaction, a few
transactions a run, runs of minutes.
"""

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8Dumper

from armarius.errors import ArmariusError, DataError, HostError
from armarius.store.database import PATIENCE_MS, Database, Outcome, Row, Value
from armarius.store.queries import Query, for_psycopg

__all__ = ["PostgresDatabase"]

# The tables have plain names and the server may be shared, so they live in a schema of their own.
# READ COMMITTED, whatever the server's default: each statement after the lock must see what the
# previous writer committed, and a stricter level would have taken its snapshot before the wait.
# The last setting ends a writer that was stopped in the middle of a transaction.
_SETTINGS = """
    SELECT set_config('search_path', 'armarius', false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('lock_timeout', %(patience_ms)s, false),
           set_config('idle_in_transaction_session_timeout', '60s', false),
           to_regnamespace('armarius') IS NULL AS schema_is_missing
"""

# Any number that nobody else in this database uses for an advisory lock.
_TAKE_WRITER_LOCK = "SELECT pg_advisory_xact_lock(4702121617230001)"

# Not now(), which is the moment at which the transaction began to wait for the lock.
_NOW = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us"

# A network that swallows everything must not hold anybody up for the kernel's fifteen minutes.
_DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "armarius",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}


class PostgresDatabase(Database):
    """The schema `armarius` of a PostgreSQL database, shared by any number of hosts.

    It needs sessions of its own: a pooler that hands out a connection per transaction loses the
    settings.
    """

    def __init__(self, url: str, *, patience_ms: int = PATIENCE_MS) -> None:
        """Connect; HostError when the server cannot be reached, DataError when the address is none."""
        self.place, conninfo = _understood(url)
        self._patience_ms = patience_ms
        self._connection = _connect(conninfo, self.place)
        with contextlib.ExitStack() as undo:
            undo.callback(self._connection.close)
            with self._boundary():
                settings = self._connection.execute(_SETTINGS, {"patience_ms": str(patience_ms)}).fetchone()
            if settings and settings["schema_is_missing"]:
                with self.transaction():
                    self.script("CREATE SCHEMA IF NOT EXISTS armarius")
            undo.pop_all()

    def run(self, query: Query, values: Mapping[str, Value]) -> Outcome:
        alone = not (query.reads or self._inside)
        with self.transaction() if alone else contextlib.nullcontext(), self._boundary():
            cursor = self._connection.execute(for_psycopg(query.sql).encode(), values)
            rows = cursor.fetchall() if cursor.description else []
            return Outcome(rows, cursor.rowcount)

    def script(self, text: str) -> None:
        with self._boundary():
            self._connection.execute(text.encode())

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        if self._inside:
            raise RuntimeError("transactions do not nest")
        self.script("BEGIN")
        try:
            self.script(_TAKE_WRITER_LOCK)
            yield
            self._commit()
        except BaseException:
            if self._inside:
                self.script("ROLLBACK")
            raise

    def _commit(self) -> None:
        if self._connection.info.transaction_status is TransactionStatus.INERROR:
            # PostgreSQL would answer COMMIT with a rollback and no error.
            raise RuntimeError("a statement failed in this transaction and the block went on")
        self.script("COMMIT")

    def tables(self) -> list[str]:
        with self._boundary():
            found = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'armarius'")
            return [row["tablename"] for row in found]

    def server_time_us(self) -> int | None:
        with self._boundary():
            row = self._connection.execute(_NOW).fetchone()
        assert row is not None  # it selects a value
        return row["now_us"]

    def close(self) -> None:
        self._connection.close()

    @property
    def _inside(self) -> bool:
        """Whether a transaction is open; not so on a lost connection, whose status is unknown."""
        status = self._connection.info.transaction_status
        return status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}

    @contextlib.contextmanager
    def _boundary(self) -> Generator[None]:
        """Say in our words what the server or the network is to blame for; the rest passes as it is."""
        try:
            yield
        except psycopg.Error as error:
            known = self._explained(error)
            if known is None:
                raise
            raise known from error

    def _explained(self, error: psycopg.Error) -> ArmariusError | None:
        match error:
            case errors.DiskFull():
                return HostError(
                    "disk", f"disk full: the server of {self.place} cannot write", "free space on the server"
                )
            case errors.LockNotAvailable():
                return HostError(
                    "ledger-busy",
                    f"{self.place} was locked by another process for {self._patience_ms / 1000:g} s",
                    "find the armarius that is stopped or hangs, end it and try again",
                )
            case errors.ReadOnlySqlTransaction() | errors.InsufficientPrivilege():
                return HostError(
                    "ledger-unwritable",
                    f"not allowed to write to {self.place}: {_first_line(error)}",
                    "use a role that may create and write the schema armarius, on a primary server",
                )
            case psycopg.OperationalError() if self._connection.closed:
                return HostError(
                    "ledger-lost",
                    f"lost the connection to {self.place}: {_first_line(error)}",
                    "check that the server runs, then try again",
                )
            case _:
                return None


def _understood(url: str) -> tuple[str, str]:
    """The address for people, which never holds the password, and the one for the driver."""
    try:
        wanted = {**_DEFAULTS, **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:
        wanted = {}
    host, name = str(wanted.get("host", "localhost")), str(wanted.get("dbname", ""))
    if not wanted or "@" in host + name:
        # The driver's own message may quote what it took for a host and was part of the password.
        raise DataError(
            "ledger-address",
            "the ledger's address cannot be understood",
            "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded",
        )
    port = f":{wanted['port']}" if "port" in wanted else ""
    return f"postgresql://{host}{port}/{name}", make_conninfo("", **wanted)


def _connect(conninfo: str, place: str) -> psycopg.Connection[Row]:
    try:
        connection = psycopg.Connection[Row].connect(conninfo, autocommit=True, row_factory=dict_row)
    except psycopg.OperationalError as error:
        raise HostError(
            "ledger-unreachable",
            f"cannot connect to {place}: {_first_line(error)}",
            "check that the server runs and lets you in",
        ) from error
    # The same values in and out as on SQLite. Integers go out as BIGINT and not as the smallest type
    # that holds them, or the sum of two small ones would be out of range.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(bool, Int8Dumper)
    connection.adapters.register_loader("bool", _Truth)
    connection.adapters.register_loader("numeric", _Number)
    return connection


class _Truth(Loader):
    """A comparison in a SELECT: 0 or 1."""

    def load(self, data: Buffer) -> Any:
        return int(bytes(data) == b"t")


class _Number(Loader):
    """What SUM and AVG make of BIGINT: an int where it is whole, a float otherwise."""

    def load(self, data: Buffer) -> Any:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
