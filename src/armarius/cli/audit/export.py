"""`armarius audit export`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from armarius.audit.stream_report import select
from armarius.audit.streams import Labels
from armarius.cli.audit.record import AS_JSON, DB, the_record
from armarius.cli.output import as_json_text
from armarius.cli.sessions.options import Since
from armarius.codex.events import event_of
from armarius.errors import UsageError
from armarius.sessions.export import redacted_value


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


@click.command()
@DB
@click.option("--run", help="A run by its thread, its stream, its hash or its label.")
@click.option("--since", type=Since(), help="All that was taken in since: 3h, 2d, 1w, or a date (UTC).")
@AS_JSON
def command(*, db: Path | None, run: str | None, since: int | None, as_json: bool) -> int:  # noqa: ARG001  # lines are JSON either way
    """Write runs that were taken in as JSON lines, with secrets replaced.

    One line for each event, with the run and the stream that it belongs to; without a flag, all of
    them, newest stream first. Bytes that were pruned are not there any more.
    """
    if run is not None and since is not None:
        raise UsageError("usage", "--run and --since exclude each other", "choose one")
    with the_record(db) as streams:
        for stream, row in select(streams, run=run, since_us=since or 0):
            labels = streams.labels(stream.id)
            for line in streams.lines(stream, row):
                event = redacted_value(event_of(line.data))
                told = AuditEvent(stream.id, stream.sha256, row.number, row.thread_id, line.number, labels, event)
                click.echo(as_json_text(told))
    return 0
