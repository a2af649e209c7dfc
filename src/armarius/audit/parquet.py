"""Events of recorded streams as a Parquet file.

Owns the columns. Does not own the events, nor that the file is there whole or not at all.
Invariant: the same events give the same bytes; memory is bounded by one batch. The event itself is a column of JSON,
as Codex wrote it but for secrets, so that nothing is lost that has no column of its own.
"""

import io
from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO, Final, cast

import msgspec
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from armarius.audit.stream_events import AuditEvent

__all__ = ["COLUMNS", "write_events"]

_TEXT: Final[DataType] = DataType.utf8()
_COUNT: Final[DataType] = DataType.int64()
COLUMNS: Final[dict[str, DataType]] = {
    "stream": _TEXT,
    "sha256": _TEXT,
    "run": _COUNT,
    "thread_id": _TEXT,
    "line": _COUNT,
    "label": _TEXT,
    "repo": _TEXT,
    "branch": _TEXT,
    "purpose": _TEXT,
    "type": _TEXT,
    "item_id": _TEXT,
    "item_type": _TEXT,
    "status": _TEXT,
    "command": _TEXT,
    "exit_code": _COUNT,
    "input_tokens": _COUNT,
    "cached_input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "reasoning_output_tokens": _COUNT,
    "event": _TEXT,
}
"""Name and type of each. What an event does not say, or says in another type, is null."""
_MOST_ROWS: Final = 5_000
_MOST_BYTES: Final = 32 << 20
_LARGEST: Final = (1 << 63) - 1


def write_events(events: Iterable[AuditEvent], file: BinaryIO) -> int:
    """Write a file; how many rows it has. OSError when that fails, and whatever the events raise."""
    schema, sink = Schema([Field(name, kind, nullable=True) for name, kind in COLUMNS.items()]), _Sink(file)
    batches = sink.batches(events, schema)
    write_parquet(RecordBatchReader.from_batches(schema, batches), cast("IO[bytes]", sink), compression="zstd(3)")
    if sink.trouble is not None:
        raise sink.trouble
    return sink.rows


class _Sink(io.RawIOBase):
    """Where the writer reads from and writes to. It panics on any trouble, and so hears of none until it is done."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.trouble: Exception | None = None
        self.rows = 0

    def batches(self, events: Iterable[AuditEvent], schema: Schema) -> Iterator[RecordBatch]:
        try:
            for batch in _batches(events):
                arrays = [Array([row[name] for row in batch], type=kind) for name, kind in COLUMNS.items()]
                self.rows += len(batch)
                yield RecordBatch.from_arrays(arrays, schema=schema)  # pyright: ignore[reportUnknownMemberType]
                if self.trouble is not None:
                    return
        except Exception as error:  # noqa: BLE001  # raised again by `write_events`
            self.trouble = error

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.trouble is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.trouble = error
        return len(data)


def _batches(events: Iterable[AuditEvent]) -> Iterator[list[dict[str, Any]]]:
    batch, size = list[dict[str, Any]](), 0
    for event in events:
        row = _row(event)
        batch.append(row)
        size += len(row["event"])
        if len(batch) == _MOST_ROWS or size > _MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _row(told: AuditEvent) -> dict[str, Any]:
    """One event, flat. Codex's own fields may hold anything, and are looked at as such."""
    event = told.event
    item, usage = _part(event.get("item")), _part(event.get("usage"))
    said: dict[str, Any] = {
        "type": event.get("type"),
        "item_id": item.get("id"),
        "item_type": item.get("type"),
        "status": item.get("status"),
        "command": item.get("command"),
        "exit_code": item.get("exit_code"),
        **{name: usage.get(name) for name in COLUMNS if name.endswith("_tokens")},
    }
    return {
        "stream": told.stream,
        "sha256": told.sha256,
        "run": told.run,
        "thread_id": told.thread_id,
        "line": told.line,
        **msgspec.to_builtins(told.labels),
        **{name: value if _fits(value, COLUMNS[name]) else None for name, value in said.items()},
        "event": msgspec.json.encode(event).decode(),
    }


def _part(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _fits(value: object, kind: DataType) -> bool:
    if kind == _TEXT:
        return isinstance(value, str)
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST - 1 <= value <= _LARGEST
