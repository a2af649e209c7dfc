"""The record of streams: what `codex exec --json` printed, kept as it was.

Owns the database of streams, the folder with their bytes beside it, and taking one in. Does not own what a stream
says (`intake.py`, `rollouts.streams`), nor reports.
Invariant: a stream is kept once, by its content, however often it comes; its bytes are on the disk before the
database names them; rows are only added. To prune is to throw bytes away and to say so: what a stream was, how its
runs ended and its hash stay known.
"""

import contextlib
import io
import secrets
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from armarius.audit.intake import Intake, Seen, Shape, StreamState
from armarius.audit.spool import PIECE, spool
from armarius.clock import Clock
from armarius.errors import DataError, HostError
from armarius.files import private_folder
from armarius.identity import hash_file, new_id
from armarius.rollouts.reader import Line, read_lines
from armarius.rollouts.streams import old_streams_of, streams_of
from armarius.store.database import Database
from armarius.store.migrations import migrate, migrations_in
from armarius.store.queries import load
from armarius.store.sqlite import SqliteDatabase
from armarius.thread import Thread

__all__ = ["Broken", "Ingested", "Labels", "PruneReport", "RunRow", "StreamRow", "Streams", "open_streams"]

_QUERIES = load(Path(__file__).with_name("streams.sql"))
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_MOST_ROWS: Final = 1_000
"""How many runs one statement inserts: a statement for each costs more than all the rest of a run."""


class Labels(msgspec.Struct, frozen=True):
    """What somebody says of a stream."""

    label: str | None = None
    repo: str | None = None
    branch: str | None = None
    purpose: str | None = None


class StreamRow(msgspec.Struct, frozen=True):
    """A stream as it is recorded."""

    id: str
    sha256: str
    size: int
    bad: int
    shape: Shape
    ingested_at_us: int
    pruned_at_us: int | None = None


class RunRow(msgspec.Struct, frozen=True):
    """A run of a stream as it is recorded."""

    stream_id: str
    number: int
    thread_id: str
    byte: int
    size: int
    state: StreamState
    error: str | None = None
    usage: str | None = None


class Ingested(msgspec.Struct, frozen=True):
    """A stream that was taken in, or was there already (`armarius.audit_ingest.v1`)."""

    id: str
    sha256: str
    size: int
    bad_lines: int
    shape: Shape
    runs: int
    known: bool
    schema: str = "armarius.audit_ingest.v1"


class PruneReport(msgspec.Struct, frozen=True):
    """Streams whose bytes were thrown away, or would be (`armarius.audit_prune.v1`)."""

    streams: tuple[StreamRow, ...]
    bytes: int
    dry_run: bool
    schema: str = "armarius.audit_prune.v1"


class Broken(msgspec.Struct, frozen=True):
    """A stream that is not what was taken in, and how that shows."""

    id: str
    sha256: str
    problem: str


@contextmanager
def open_streams(path: Path, clock: Clock) -> Generator["Streams"]:
    """The record of streams in this file, which is made when it is missing."""
    folder = private_folder(path.parent.absolute()) if not path.parent.exists() else path.parent.absolute()
    with closing(SqliteDatabase(folder / path.name)) as database:
        migrate(database, migrations_in(_MIGRATIONS), clock)
        yield Streams(database, folder / f"{path.name}.streams", clock)


class Streams:
    """An open record. `folder` has the bytes of each stream, named after its hash."""

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._counted = ("", 0, 1)  # of which stream, up to which byte, the number of the line there

    def ingest(self, descriptor: int, source: str, labels: Labels) -> Ingested:
        """Take in all that can be read from a descriptor; DataError when it is no such stream."""
        draft = private_folder(self._folder) / f".{secrets.token_hex(8)}.tmp"
        try:
            seen = self._spool(descriptor, draft)
            if not seen.size:
                raise DataError("stream-empty", f"{source} is empty", "give what `codex exec --json` printed")
            shape = seen.shape
            if shape is None:
                said = f"no line of {source} is an event of `codex exec --json`"
                raise DataError("stream-strange", said, "for session files see `armarius sessions`")
            return self._keep(draft, seen, shape, source, labels)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()

    def _spool(self, descriptor: int, draft: Path) -> Seen:
        """Write down what comes, and look at it as it goes by."""
        intake = Intake()
        try:
            spool(descriptor, draft, intake.feed)
        except OSError as error:
            raise HostError(
                "stream-io", f"a stream could not be kept in {self._folder}: {error}", "free space"
            ) from error
        return intake.end()

    def _keep(self, draft: Path, seen: Seen, shape: Shape, source: str, labels: Labels) -> Ingested:
        with self._database.transaction():
            known = self._database.fetch_one(_QUERIES.stream_by_hash, StreamRow, sha256=seen.sha256)
            if known is None or not self.place(seen.sha256).exists():
                draft.replace(self.place(seen.sha256))
                self._database.execute(_QUERIES.forget_pruned, sha256=seen.sha256)
            name = known.id if known else new_id("stream", self._clock)
            if known is None:
                self._insert(name, seen, shape)
            last = self._database.fetch_one(_QUERIES.last_label, stream_id=name)
            wanted = msgspec.to_builtins(labels)
            if last is None or (any(wanted.values()) and {key: last[key] for key in wanted} != wanted):
                self._database.execute(
                    _QUERIES.insert_label, stream_id=name, source=source, now_us=self._clock.now_us(), **wanted
                )
        return Ingested(name, seen.sha256, seen.size, seen.bad, shape, len(seen.runs), known=known is not None)

    def _insert(self, name: str, seen: Seen, shape: Shape) -> None:
        self._database.execute(
            _QUERIES.insert_stream,
            id=name,
            sha256=seen.sha256,
            size=seen.size,
            bad=seen.bad,
            shape=shape,
            now_us=self._clock.now_us(),
        )
        for at in range(0, len(seen.runs), _MOST_ROWS):
            rows = [
                (at + number, run.thread_id.replace("\0", ""), run.byte, run.size, run.state, run.error, run.usage)
                for number, run in enumerate(seen.runs[at : at + _MOST_ROWS], start=1)
            ]
            self._database.execute(_QUERIES.insert_runs, stream_id=name, runs=msgspec.json.encode(rows).decode())

    # ------------------------------------------------------------------- asking

    def place(self, sha256: str) -> Path:
        """Where the bytes of a stream lie, if they do."""
        return self._folder / f"{sha256.removeprefix('sha256:')}.jsonl"

    def since(self, since_us: int) -> list[StreamRow]:
        """Streams that were taken in since, newest first."""
        return self._database.fetch(_QUERIES.streams_since, StreamRow, since_us=since_us)

    def stream(self, name: str) -> StreamRow:
        """A stream by its whole id."""
        found = self._database.fetch_one(_QUERIES.stream_by_id, StreamRow, id=name)
        assert found is not None  # ids come from rows
        return found

    def runs(self, stream: StreamRow) -> list[RunRow]:
        return self._database.fetch(_QUERIES.runs_of, RunRow, stream_id=stream.id)

    def named(self, name: str) -> list[RunRow]:
        """Runs by their thread, their stream, its hash or its label; DataError when there is none."""
        found = self._database.fetch(_QUERIES.runs_named, RunRow, name=name) if name and "\0" not in name else []
        if not found:
            hint = "name a thread, a stream, its hash or its label"
            raise DataError("stream-unknown", f"no run {name!r} in the record of streams", hint)
        return found

    def counts(self, thread_id: str) -> list[RunRow]:
        """All runs of a thread that ended with a count of its tokens."""
        return self._database.fetch(_QUERIES.counted_runs, RunRow, thread_id=thread_id)

    def labels(self, stream_id: str) -> Labels:
        """What was said of a stream last."""
        found = self._database.fetch_one(_QUERIES.last_label, stream_id=stream_id)
        return msgspec.convert({key: found[key] for key in Labels.__struct_fields__}, Labels) if found else Labels()

    def thread(self, stream: StreamRow, run: RunRow) -> Thread | None:
        """The run as a thread; None when its bytes are not kept any more."""
        try:
            with _Part(self.place(stream.sha256), run.byte, run.size) as part:
                lines = read_lines(part, byte=run.byte, number=self._line_at(stream, run.byte))
                read = streams_of if stream.shape == "exec" else old_streams_of
                return next(iter(read(lines, stream.id)), None)
        except FileNotFoundError:
            return None

    def lines(self, stream: StreamRow, run: RunRow) -> Iterator[Line]:
        """The lines of a run as they were taken in; none when its bytes are not kept any more."""
        try:
            part = _Part(self.place(stream.sha256), run.byte, run.size)
        except FileNotFoundError:
            return
        with part:
            yield from read_lines(part, byte=run.byte, number=self._line_at(stream, run.byte))

    def _line_at(self, stream: StreamRow, byte: int) -> int:
        """The number of the line that begins there, counted on from where the last question was."""
        sha256, start, number = self._counted
        if sha256 != stream.sha256 or start > byte:
            start, number = 0, 1
        with _Part(self.place(stream.sha256), start, byte - start) as part:
            number += sum(piece.count(b"\n") for piece in iter(lambda: part.read(PIECE), b""))
        self._counted = (stream.sha256, byte, number)
        return number

    def verify(self) -> Iterator[Broken]:
        """Streams whose bytes are not what was taken in."""
        for row in self.since(0):
            path = self.place(row.sha256)
            if row.pruned_at_us is not None:
                continue
            try:
                found = hash_file(path)
            except FileNotFoundError:
                yield Broken(row.id, row.sha256, "its bytes are gone")
            else:
                if found != row.sha256:
                    yield Broken(row.id, row.sha256, f"its bytes have the hash {found}")

    def prune(self, before_us: int, *, dry_run: bool) -> PruneReport:
        """Throw the bytes of older streams away, and say so in the record first."""
        rows = tuple(self._database.fetch(_QUERIES.streams_before, StreamRow, before_us=before_us))
        if not dry_run:
            for row in rows:
                self._database.execute(_QUERIES.insert_pruned, stream_id=row.id, now_us=self._clock.now_us())
            for row in self.since(0):  # and of those where an earlier prune was ended in between
                if row.pruned_at_us is not None:
                    self.place(row.sha256).unlink(missing_ok=True)
        return PruneReport(rows, sum(row.size for row in rows), dry_run)


class _Part(io.FileIO):
    """A piece of a file, with an end to its last line."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        super().__init__(path)
        self.seek(start)
        self._left = size
        self._last = b"\n"

    def read(self, size: int | None = -1, /) -> bytes | Any:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = super().read(wanted) or b""
        self._left -= len(data)
        if data:
            self._last = data[-1:]
        elif self._last != b"\n":
            self._last = data = b"\n"
        return data
