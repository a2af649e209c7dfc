"""What was read from session files becomes rows of the index.

Owns the shape of those rows, gathering them into batches and writing a batch. Does not own what is
read, nor when (`sync`).
Invariant: the rows of a file depend on its content alone, not on the steps in which it was read; a
batch is written whole or not at all.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import zstandard

from armarius.counts.away import Away
from armarius.counts.summary import Earlier, Summary, Text
from armarius.redact import redact
from armarius.sessions.folders import Found
from armarius.store.index_database import IndexDatabase
from armarius.store.queries import load

__all__ = ["QUERIES", "Batch", "Known", "Reading", "Rows", "Writer", "forget", "own_name", "unpacked"]

QUERIES = load(Path(__file__).with_name("index_queries.sql"))

_LONGEST_CALL: Final = 200
_PORTION: Final = 1 << 20
_PACKER: Final = zstandard.ZstdCompressor(level=1)  # a fifth of the size for a tenth of a millisecond


class Known(msgspec.Struct, frozen=True):
    """What the index remembers of a file in order to recognise it: a row of `known_files`."""

    id: int
    path: str
    thread_id: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    is_archived: int
    offset: int
    head: bytes
    tail: bytes
    is_gone: int
    problem: str | None
    responses: int
    passages: int
    bad_lines: int


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was read just now. `before` is its row, when reading went on from there.

    `replaces` says that what was known of the file goes, because it was read from its beginning.
    """

    id: int
    place: int
    found: Found
    summary: Summary
    head: bytes = b""
    tail: bytes = b""
    away: Away = Away(b"")
    texts: list[Text] = []
    before: Known | None = None
    replaces: bool = False
    problem: str | None = None


class Rows(msgspec.Struct, frozen=True):
    """Rows that are written together: for each table a JSON array. Rows of words are numbered from 0."""

    replaced: tuple[int, ...]
    recalled: tuple[int, ...]
    tables: tuple[tuple[str, str], ...]
    words: int

    def write(self, index: IndexDatabase, first: int) -> None:
        """Put everything into the index, the words from row `first` on, in one transaction."""
        with index.transaction():
            if self.replaced:
                forget(index, self.replaced)
            if self.recalled:
                _forget_parts(index, _json(self.recalled))
            for name, rows in self.tables:
                query = QUERIES[name]
                index.rows(query, *([first, rows] if name in _NUMBERED else [rows]))


_NUMBERED = ("put_passages", "put_words")


class Batch:
    """Gathers rows, as JSON from the start: as values they would take five times the memory."""

    def __init__(self) -> None:
        self.size = 0
        self._words = 0
        self._replaced = list[int]()
        self._recalled = list[int]()
        self._tables = dict[str, list[bytes]]()
        self._texts = list[bytes]()

    def add(self, reading: Reading) -> None:
        """Take in a file."""
        if reading.replaces:
            self._replaced.append(reading.id)
        self._put("put_readings", [(reading.id, _packed(reading.away.saved))])
        if reading.away.replaces:
            self._recalled.append(reading.id)
        if reading.away.part:
            self._put("put_parts", [(reading.id, _packed(reading.away.part))])
            self._put("put_part_names", [(reading.id, reading.away.names)])
        self._put("put_turns", list(_turn_rows(reading.id, reading.summary)))
        if reading.before:
            self._put("cut_turns", [(reading.id, reading.summary.earlier.turns + len(reading.summary.turns))])
        self._put("put_responses", list(_response_rows(reading)))
        self._put("put_files", [_file_row(reading)])
        self._add_texts(reading.id, reading.texts)

    def rows(self) -> Rows:
        """All that was gathered."""
        tables = [(name, f"[{b','.join(rows).decode()}]") for name, rows in self._tables.items()]
        tables += [("put_words", texts.decode()) for texts in self._texts]
        return Rows(tuple(self._replaced), tuple(self._recalled), tuple(tables), self._words)

    def _put(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            text = msgspec.json.encode(rows)[1:-1]
            self._tables.setdefault(table, []).append(text)
            self.size += len(text)

    def _add_texts(self, file: int, texts: list[Text]) -> None:
        if not texts:
            return
        spots = [part for text in texts for part in (text.kind, text.byte, text.size, text.at_us)]
        self._put("put_passages", [(self._words, len(texts), file, msgspec.json.encode(spots).decode())])
        portion, size = dict[int, str](), 0
        for row, text in enumerate(texts, start=self._words):
            # A NUL would end the text for SQLite. A lone half of a surrogate pair is no text at all.
            portion[row] = text.text.replace("\0", " ").encode(errors="replace").decode()
            size += len(text.text)
            if size > _PORTION:  # a file of any length takes memory for a portion at a time
                self._texts.append(msgspec.json.encode(portion))
                portion, size = {}, 0
        self._texts.append(msgspec.json.encode(portion))
        self._words += len(texts)
        self.size += sum(len(text.text) for text in texts)


def _turn_rows(file: int, summary: Summary) -> Iterator[Sequence[Any]]:
    ended = summary.earlier.ended_at_us
    for number, turn in enumerate(summary.turns, start=summary.earlier.turns):
        waited = None
        if ended is not None and turn.started_at_us is not None:
            waited = max(0, turn.started_at_us - ended)  # the clock may have been put back
        yield file, number, turn.id, turn.state.value, turn.started_at_us, turn.ended_at_us, turn.model, waited
        ended = turn.ended_at_us


def _response_rows(reading: Reading) -> Iterator[Sequence[Any]]:
    """The responses that are not in the index yet: what was read of a response never changes.

    One that belongs to no turn has no model of its own: the file's may still be another one at its end.
    """
    summary = reading.summary
    models = {turn.id: turn.model for turn in summary.turns}
    for response in summary.responses:
        used = response.usage
        counts = (used.input, used.cached_input, used.cache_write, used.output, used.reasoning)
        model = models.get(response.turn_id)
        at_us = response.at_us if response.at_us is not None else summary.started_at_us
        name = own_name(response.response_id, summary.thread_id)
        yield name, reading.id, at_us, model, *counts


def unpacked(saved: bytes) -> bytes:
    """What stands in `reading` or `part`, as `Scan` gave it."""
    return zstandard.decompress(saved)


def forget(index: IndexDatabase, files: Sequence[int]) -> None:
    """Remove all that is known of these files; within a transaction."""
    chosen = _json(files)
    index.many(QUERIES.drop_words, index.rows(QUERIES.rows_of_words, chosen))
    for query in (
        QUERIES.drop_passages,
        QUERIES.drop_responses,
        QUERIES.drop_turns,
        QUERIES.drop_readings,
        QUERIES.drop_files,
    ):
        index.rows(query, chosen)
    _forget_parts(index, chosen)


def _forget_parts(index: IndexDatabase, chosen: str) -> None:
    index.rows(QUERIES.drop_parts, chosen)
    index.rows(QUERIES.drop_part_names, chosen)


class Writer:
    """Writes rows in a thread of its own, while the next files are read; one batch waits at most.

    An error comes out at the next `put`, or at the end of the block.
    """

    def __init__(self, index: IndexDatabase, first_row: int) -> None:
        self._index = index
        self._next_row = first_row
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def put(self, rows: Rows) -> None:
        """Hand over rows, once those before have been written."""
        self.settle()
        if not rows.tables:
            return
        self._thread = threading.Thread(target=self._write, args=(rows, self._next_row), name="index-writer")
        self._next_row += rows.words
        self._thread.start()

    def settle(self) -> None:
        """Wait until all that was handed over is written."""
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._error:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.settle()
        elif self._thread:
            self._thread.join()

    def _write(self, rows: Rows, first: int) -> None:
        try:
            rows.write(self._index, first)
        except BaseException as error:  # noqa: BLE001  # carried over to the thread that waits
            self._error = error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _packed(saved: bytes) -> str:
    return _PACKER.compress(saved).hex()


def own_name(response_id: str, thread_id: str) -> str:
    """The id of a response; one that was named after its place in the file needs the thread as well."""
    return f"{thread_id}/{response_id}" if "-at-byte-" in response_id else response_id


def _without_payloads(summary: Summary) -> Summary:
    """What the index keeps of a summary: of all that was said and run, a title and a goal without secrets."""
    ending = msgspec.structs.replace(
        summary.ending,
        last_message=None,
        open_call=None if summary.ending.open_call is None else redact(summary.ending.open_call)[:_LONGEST_CALL],
        error=None if summary.ending.error is None else redact(summary.ending.error),
    )
    return msgspec.structs.replace(
        summary,
        path="",
        title=redact(summary.title),
        goal=None if summary.goal is None else redact(summary.goal),
        earlier=Earlier(),
        turns=(),
        responses=(),
        ending=ending,
    )


def _file_row(reading: Reading) -> Sequence[Any]:
    found, summary, before = reading.found, reading.summary, reading.before
    short = _without_payloads(summary)
    return (
        reading.id,
        reading.place,
        found.path,
        summary.thread_id or found.thread_id,
        found.is_archived,
        found.device,
        found.inode,
        found.size,
        found.mtime_ns,
        summary.offset,
        reading.head.hex(),
        reading.tail.hex(),
        reading.problem,
        summary.source,
        summary.cwd,
        summary.model,
        summary.parent_id,
        summary.started_at_us,
        summary.last_at_us,
        summary.earlier.turns + len(summary.turns),
        summary.earlier.responses + len(summary.responses),
        (before.passages if before else 0) + len(reading.texts),
        summary.commands,
        sum(count for code, count in summary.exits.items() if code),
        summary.bad_lines,
        sum(summary.unknown.values()),
        msgspec.msgpack.encode(short).hex(),
    )
