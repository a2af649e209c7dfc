"""`armarius audit export`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click

from armarius import settings as configuration
from armarius.audit.otlp import as_line, in_requests
from armarius.audit.stream_events import HandedOn, events_of
from armarius.audit.stream_report import report_of, select
from armarius.audit.streams import RunRow, StreamRow, Streams
from armarius.audit.traces import Span, spans_of
from armarius.cli.audit.record import AS_JSON, DB, the_record
from armarius.cli.output import as_json_text, print_json, say
from armarius.cli.sessions.options import Since
from armarius.errors import DataError, HostError, UsageError
from armarius.files import open_atomic, read_bounded
from armarius.sessions.export import redacted
from armarius.sessions.finding import counted
from armarius.sessions.prices import load_prices
from armarius.thread import Thread

_Chosen = list[tuple[StreamRow, RunRow]]
_LARGEST_HEADERS = 64 << 10


@click.command()
@DB
@click.option("--run", help="A run by its thread, its stream, its hash or its label.")
@click.option("--since", type=Since(), help="All that was taken in since: 3h, 2d, 1w, or a date (UTC).")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "parquet", "otel"]), default="jsonl", show_default=True,
    help="Events as JSON lines or as a table, or runs as OpenTelemetry traces.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--to", "collector", metavar="URL", help="The collector to send traces to (OTLP over HTTP).")
@click.option(
    "--headers", type=click.Path(dir_okay=False, path_type=Path),
    help="A file with headers for the collector, one `Name: value` a line.",
)  # fmt: skip
@click.option("--content", is_flag=True, help="Put into traces what was said, asked of tools and answered, too.")
@click.option("--model", help="The model, where the stream names none; for traces.")
@AS_JSON
def command(  # one for each flag
    *,
    db: Path | None,
    run: str | None,
    since: int | None,
    form: Literal["jsonl", "parquet", "otel"],
    output: Path | None,
    collector: str | None,
    headers: Path | None,
    content: bool,
    model: str | None,
    as_json: bool,
) -> int:
    """Hand on runs that were taken in, with secrets replaced.

    Without a flag: one JSON line for each event of all of them, newest stream first. Parquet has a row for
    each event. A trace has the run, its talk with the model and its calls of tools, by the conventions for
    generative AI; a second export has the same ids. Bytes that were pruned are not there any more.
    """
    if run is not None and since is not None:
        raise UsageError("usage", "--run and --since exclude each other", "choose one")
    _check(form, output, collector, headers)
    with the_record(db) as streams:
        chosen = list(select(streams, run=run, since_us=since or 0))
        if form == "jsonl" and output is None:
            for event in events_of(streams, iter(chosen)):
                click.echo(as_json_text(event))
            return 0
        if form == "otel":
            spans = _spans(streams, chosen, model, content=content)
            target, rows = _sent(spans, collector, headers) if collector else _written(spans, output)
        else:
            target, rows = _events(streams, chosen, form, output)
    if as_json:
        print_json(HandedOn(form, target, len(chosen), rows))
    else:
        what = counted(rows, "span" if form == "otel" else "event")
        say(f"{counted(len(chosen), 'run')}, {what}: {target}")
    return 0


def _check(form: str, output: Path | None, collector: str | None, headers: Path | None) -> None:
    if form != "otel" and (collector or headers):
        raise UsageError("usage", "only traces are sent to a collector", "add --format otel")
    if form == "otel" and (output is None) == (collector is None):
        raise UsageError("usage", "traces need a place to go to", "write either -o FILE or --to URL")
    if form == "parquet" and output is None:
        raise UsageError("usage", "a Parquet file needs a name", "add -o FILE")
    if output is not None and not output.absolute().parent.is_dir():
        raise DataError("missing", f"there is no folder {output.absolute().parent}", "make it first")


def _events(streams: Streams, chosen: _Chosen, form: str, output: Path | None) -> tuple[str, int]:
    assert output is not None  # `_check` has asked
    events = events_of(streams, iter(chosen))
    if form == "jsonl":
        rows = 0
        with open_atomic(output.absolute()) as file:
            for rows, event in enumerate(events, start=1):  # noqa: B007  # counted
                file.write(as_json_text(event).encode() + b"\n")
        return str(output), rows
    try:
        from armarius.audit.parquet import write_events
    except ImportError as error:
        what, hint = "the library that writes Parquet is missing", "pip install 'armarius[parquet]'"
        raise HostError("parquet-missing", what, hint) from error
    with open_atomic(output.absolute()) as file:
        return str(output), write_events(events, file)


def _spans(streams: Streams, chosen: _Chosen, model: str | None, *, content: bool) -> Iterator[Span]:
    prices = load_prices(configuration.load().home / "prices.toml")
    for stream, row in chosen:
        whole = streams.thread(stream, row)
        thread = redacted(whole) if whole is not None else Thread("", "")
        yield from spans_of(stream, report_of(streams, stream, row, prices, model), thread, content=content)


def _written(spans: Iterator[Span], output: Path | None) -> tuple[str, int]:
    assert output is not None  # `_check` has asked
    rows = 0
    with open_atomic(output.absolute()) as file:
        for batch in in_requests(spans):
            file.write(as_line(batch))
            rows += len(batch)
    return str(output), rows


def _sent(spans: Iterator[Span], collector: str, headers: Path | None) -> tuple[str, int]:
    try:
        from armarius.audit.otlp_post import Collector
    except ImportError as error:
        what, hint = "the messages of OpenTelemetry are missing", "pip install 'armarius[otel]'"
        raise HostError("otel-missing", what, hint) from error
    target, rows = Collector(collector, _headers_in(headers)), 0
    for batch in in_requests(spans):
        target.send(batch)
        rows += len(batch)
    return target.address, rows


def _headers_in(path: Path | None) -> dict[str, str]:
    """The headers in a file; DataError, which shows no value, when a line is none."""
    found = dict[str, str]()
    data = b"" if path is None else read_bounded(path, _LARGEST_HEADERS)
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.isascii() or not name.replace("-", "").isalnum() or not _is_plain(value):
            raise DataError("headers", f"{path}: line {number} is no header", "write `Name: value`")
        found[name] = value.strip()
    return found


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable()
