"""Databases of other programs, read while those use them.

Owns opening such a file so that nothing of it or beside it is made or changed, and the bounds of a
question. Does not own what is asked.
Invariant: no file is created, none is written to, no lock is waited for longer than BUSY_MS, and a
question ends after STEPS of SQLite's machine whatever the file holds. Whatever goes wrong is one
word of trouble and no rows.

A database in WAL mode is opened in one of two ways. With a write-ahead log beside it, somebody has it
open: it is read through the shared index that is there, which is not made if it is missing. Without
one, its last user closed it: the file is whole and is read as one that cannot change, because SQLite
would otherwise put a new log and index beside it. One that is not in WAL mode is read under its locks.
"""

import re
import stat
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import apsw
import msgspec

from armarius.store.queries import Query

__all__ = ["BUSY_MS", "Reading", "newest", "read_foreign"]

BUSY_MS: Final = 20
STEPS: Final = 20_000_000
_STEPS_A_CALL: Final = 1_000_000
_MOST_ROWS: Final = 200_000

T = TypeVar("T")


class Reading(msgspec.Struct, Generic[T], frozen=True):
    """The rows of a question, or why there are none; neither when there is no such database."""

    rows: tuple[T, ...] = ()
    trouble: str = ""


def newest(folder: Path, stem: str) -> Path | None:
    """The file `STEM_N.sqlite` with the greatest N: Codex begins a new one when its tables change."""
    name = re.compile(rf"{re.escape(stem)}_(\d{{1,6}})\.sqlite")
    try:
        found = [(int(number[1]), path) for path in folder.iterdir() if (number := name.fullmatch(path.name))]
    except OSError:
        return None
    return max(found)[1] if found else None


def read_foreign(path: Path, query: Query, shape: type[T]) -> Reading[T]:
    """The rows of one question as values of `shape`; a table or column that is gone is trouble."""
    try:
        connection = _opened(path)
    except FileNotFoundError:
        return Reading()
    except (OSError, apsw.Error) as error:
        return Reading(trouble=_named(path, error))
    try:
        rows = _rows(connection, query)
        return Reading(tuple(msgspec.convert(rows, list[shape])))
    except (apsw.Error, msgspec.ValidationError, UnicodeDecodeError) as error:
        return Reading(trouble=_named(path, error))
    finally:
        connection.close()


def _opened(path: Path) -> Any:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise OSError("no regular file")
    how = "immutable=1" if _is_wal(path) and not _has_log(path) else "readonly_shm=1"
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&{how}"
    connection: Any = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    connection.set_busy_timeout(BUSY_MS)
    # A file that somebody prepared may hold views and triggers that run functions.
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    calls = iter(range(STEPS // _STEPS_A_CALL))
    connection.set_progress_handler(lambda: next(calls, None) is None, _STEPS_A_CALL)
    return connection


def _is_wal(path: Path) -> bool:
    """What the file's header says (sqlite.org/fileformat2.html, offset 18)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _rows(connection: Any, query: Query) -> list[dict[str, Any]]:
    cursor = connection.execute(query.sql)
    rows = list[dict[str, Any]]()
    for values in cursor:
        rows.append({column[0]: value for column, value in zip(cursor.get_description(), values, strict=True)})
        if len(rows) > _MOST_ROWS:
            raise apsw.TooBigError(f"more than {_MOST_ROWS:,} rows")
    return rows


def _named(path: Path, error: Exception) -> str:
    return f"{path.name}: {error}"
