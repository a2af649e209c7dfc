"""One value in a database of another program, changed while that program may use it.

Owns opening it for that, waiting for its lock, and the transaction. Does not own what is changed, nor why.
Invariant: a statement changes all that it is for, or nothing; no file is created where there was none.
"""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw

from armarius.errors import HostError
from armarius.store.queries import Query

__all__ = ["edit_foreign"]

_PATIENCE_MS: Final = 5_000


def edit_foreign(path: Path, query: Query, **values: str) -> int:
    """Run one UPDATE; how many rows it changed. HostError when the database cannot be written to."""
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        connection: Any = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
        try:
            connection.set_busy_timeout(_PATIENCE_MS)
            # A file that somebody prepared may hold triggers that run functions.
            connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(query.sql, values)
            changed: int = connection.changes()
            connection.execute("COMMIT")
            return changed
        finally:
            connection.close()
    except apsw.Error as error:
        raise HostError("foreign-database", f"{path} cannot be changed: {error}", "try again") from error
