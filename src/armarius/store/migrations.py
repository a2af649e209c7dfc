"""How a database gets its tables.

Owns the numbered files in `migrations/`, which of them a database has, and applying the others.
Does not own connections.
Invariant: a migration and the note that it was applied are committed together, once, however many
processes open the database at the same time; a schema from the future is never touched.
"""

from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.store.database import Database
from armarius.store.queries import load

__all__ = ["LEDGER", "Migration", "migrate", "migrations_in"]

LEDGER = Path(__file__).with_name("migrations")

_QUERIES = load(Path(__file__).with_name("queries.sql"))


class Migration(msgspec.Struct, frozen=True):
    """One step: `0001_ledger.sql` has the number 1 and the name `ledger`."""

    number: int
    name: str
    path: Path


def migrations_in(folder: Path) -> list[Migration]:
    """The migrations of a folder in their order."""
    steps: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        steps.append(Migration(int(number), name, path))
    return steps


def migrate(database: Database, steps: list[Migration], clock: Clock) -> None:
    """Apply what is missing; DataError when the database is newer than `steps` or is not ours."""
    newest = steps[-1].number
    version = _version(database)
    while version < newest:
        with database.transaction():
            # Again, now that nobody else can write: another process may have been faster.
            version = _version(database)
            if version < newest:
                step = next(step for step in steps if step.number > version)
                database.script(step.path.read_text(encoding="utf-8"))
                database.execute(
                    _QUERIES.record_migration,
                    number=step.number,
                    name=step.name,
                    applied_at_us=clock.now_us(),
                )
                version = step.number
    if version > newest:
        raise DataError(
            "ledger-newer",
            f"the ledger at {database.place} was written by a newer armarius"
            f" (schema {version}, this one knows {newest})",
            "upgrade armarius",
        )


def _version(database: Database) -> int:
    """The number of the last migration applied, 0 when there is nothing yet."""
    tables = database.tables()
    if not tables:
        return 0
    if "migration" not in tables:
        raise DataError(
            "not-a-ledger",
            f"{database.place} is a database of something else: it has the table {min(tables)!r}",
            "name another file for the ledger",
        )
    [row] = database.fetch(_QUERIES.latest_migration)
    return row["number"]
