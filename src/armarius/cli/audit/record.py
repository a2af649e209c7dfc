"""What the commands on the record of streams have in common: which file it is.

Owns the flag --db and opening it. Does not own any command.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.audit.streams import Streams, open_streams
from armarius.clock import SystemClock
from armarius.errors import DataError
from armarius.files import private_folder

__all__ = ["AS_JSON", "DB", "RECORD", "the_record"]

RECORD = "streams.sqlite"
"""Your own, below ARMARIUS_HOME."""

DB = click.option("--db", type=click.Path(dir_okay=False, path_type=Path), help="The record; default: your own.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def the_record(db: Path | None, *, make: bool = False) -> Generator[Streams]:
    """The record of streams; DataError when there is none and none is to be made."""
    path = db
    if path is None:
        home = configuration.load().home
        path = (private_folder(home) if make else home) / RECORD
    if not make and not path.exists():
        raise DataError(
            "streams-missing", f"no stream was taken in yet: no {path}", "start with `armarius audit ingest`"
        )
    with open_streams(path, SystemClock()) as streams:
        yield streams
