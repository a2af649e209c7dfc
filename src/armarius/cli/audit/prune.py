"""`armarius audit prune`."""

from pathlib import Path

import click

from armarius.cli.audit.record import AS_JSON, DB, the_record
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sessions.options import Since
from armarius.clock import rfc3339
from armarius.sessions.finding import counted


@click.command()
@DB
@click.option("--before", type=Since(), required=True, help="Taken in before then: 3h, 2d, 1w ago, or a date (UTC).")
@click.option("--dry-run", is_flag=True, help="Show what would go, and keep it.")
@AS_JSON
def command(*, db: Path | None, before: int, dry_run: bool, as_json: bool) -> int:
    """Throw away the bytes of old streams, and keep what they were.

    The hash of each stream, how its runs ended and what they spent stay in the record. A stream that
    is taken in once more has its bytes again.
    """
    with the_record(db) as streams:
        report = streams.prune(before, dry_run=dry_run)
    if as_json:
        print_json(report)
        return 0
    if report.streams:
        rows = [(row.id, rfc3339(row.ingested_at_us)[:16].replace("T", " "), f"{row.size:,}") for row in report.streams]
        print_table(("STREAM", "TAKEN IN", "BYTES"), rows)
    what = f"{counted(len(report.streams), 'stream')}, {counted(report.bytes, 'byte')}"
    say(what + (": kept (--dry-run)." if dry_run else " thrown away."))
    return 0
