"""`armarius audit report`."""

from pathlib import Path
from typing import Literal

import click

from armarius import settings as configuration
from armarius.audit.stream_report import AuditReport, as_html, as_markdown, as_text, report_of, select
from armarius.cli.audit.record import AS_JSON, DB, the_record
from armarius.cli.output import clean, print_json, say
from armarius.cli.sessions.options import Since
from armarius.errors import UsageError
from armarius.sessions.prices import load_prices


@click.command()
@DB
@click.option("--latest", is_flag=True, help="The last run of the stream that came last; so it is without a flag, too.")
@click.option("--run", help="A run by its thread, its stream, its hash or its label.")
@click.option("--since", type=Since(), help="All that was taken in since: 3h, 2d, 1w, or a date (UTC).")
@click.option("--model", help="The model to take prices of, where the stream names none.")
@click.option(
    "--format", "form", type=click.Choice(["text", "md", "html", "json"]), help="How to print it; default: text."
)
@AS_JSON
def command(  # one for each flag
    *,
    db: Path | None,
    latest: bool,
    run: str | None,
    since: int | None,
    model: str | None,
    form: Literal["text", "md", "html", "json"] | None,
    as_json: bool,
) -> int:
    """Say what happened in a run that was taken in.

    Status, timeline, commands, files, tokens, cost, the last message and the verdict, with secrets
    replaced. Streams carry no time, and those of today no model: without --model there is no cost.
    """
    if latest + (run is not None) + (since is not None) > 1:
        raise UsageError("usage", "--latest, --run and --since exclude each other", "choose one")
    if as_json and form not in {None, "json"}:
        raise UsageError("usage", f"--json and --format {form} cannot both be", "choose one")
    prices = load_prices(configuration.load().home / "prices.toml")
    with the_record(db) as streams:
        chosen = select(streams, run=run, since_us=since)
        report = AuditReport(tuple(report_of(streams, stream, row, prices, model) for stream, row in chosen))
    match "json" if as_json else form or "text":
        case "json":
            print_json(report)
        case "md":
            click.echo(clean(as_markdown(report)), nl=False)
        case "html":
            click.echo(clean(as_html(report)), nl=False)
        case _:
            for line in as_text(report):
                say(line)
            if not report.runs:
                say("Nothing was taken in since then.")
    return 0
