"""The events of recorded streams, one by one, as they are handed on.

Owns the form of one event and the order. Does not own where they go (cli/audit/export.py, `parquet`).
Invariant: secrets are replaced; a line that is no event is handed on as text. One event is held at a time.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from armarius.audit.streams import Labels, RunRow, StreamRow, Streams
from armarius.codex.events import event_of
from armarius.sessions.export import redacted_value

__all__ = ["AuditEvent", "HandedOn", "events_of"]


class AuditEvent(msgspec.Struct, frozen=True):
    """A line of a stream that was taken in (`armarius.audit_event.v1`); `event` is Codex's own, without secrets."""

    stream: str
    sha256: str
    run: int
    thread_id: str
    line: int
    labels: Labels
    event: dict[str, Any]
    schema: str = "armarius.audit_event.v1"


class HandedOn(msgspec.Struct, frozen=True):
    """What was written where (`armarius.audit_exported.v1`): rows of events, or spans."""

    format: str
    target: str
    runs: int
    rows: int
    schema: str = "armarius.audit_exported.v1"


def events_of(streams: Streams, chosen: Iterator[tuple[StreamRow, RunRow]]) -> Iterator[AuditEvent]:
    """All events of these runs; none of a run whose bytes are not kept any more."""
    for stream, row in chosen:
        labels = msgspec.convert(redacted_value(msgspec.to_builtins(streams.labels(stream.id))), Labels)
        for line in streams.lines(stream, row):
            event = redacted_value(event_of(line.data))
            yield AuditEvent(stream.id, stream.sha256, row.number, row.thread_id, line.number, labels, event)
