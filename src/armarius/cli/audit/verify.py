"""`armarius audit verify`."""

import click

from armarius.audit.verify import NOTHING, Finding, verify, with_streams
from armarius.cli.audit.record import AS_JSON, RECORD, the_record
from armarius.cli.database import DATABASE, load
from armarius.cli.output import print_json, say
from armarius.dispatch.workbench import ledger_of
from armarius.errors import DataError
from armarius.runs.records import find_run
from armarius.sessions.finding import counted


@click.command()
@click.option("--run", metavar="RUN", help="Look at the files of this run alone; the chain is always checked whole.")
@click.option("--head", metavar="HASH", help="A head that was printed before: it must still be in the chain.")
@DATABASE
@AS_JSON
def command(*, run: str | None, head: str | None, as_json: bool) -> int:
    """Find whatever was changed since it was recorded.

    Receipts, the files that they name, the ledger's own rows and events, and the mark beside it are held against
    each other, and the bytes of streams that were taken in against their hashes. Nothing is changed. The exit code
    is 1 when anything differs. The last line is the head of the chain: noted somewhere else, it shows later that
    nothing was rewritten.
    """
    settings = load()
    record = settings.home / RECORD
    if not settings.has_ledger and (run is not None or head is not None or not record.exists()):
        raise DataError("ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "nothing to check")
    done = NOTHING
    if settings.has_ledger:
        with ledger_of(settings) as ledger:
            run_id = None if run is None else find_run(ledger, run).id
            done = verify(ledger, settings.home, run_id=run_id, expected=head)
    if run is None and record.exists():
        with the_record(None) as streams:
            done = with_streams(done, streams)
    if as_json:
        print_json(done)
        return 0 if done.is_intact else 1
    for finding in done.changes:
        say(f"changed: {_words(finding)}")
    for finding in done.notes:
        say(f"not seen: {_words(finding)}")
    count = f"{done.files} receipts and decisions" if done.files != 1 else "1 receipt or decision"
    count += f" and {counted(done.streams, 'stream')}" if done.streams else ""
    say(f"{'intact' if done.is_intact else counted(len(done.changes), 'change')}: {count} checked")
    say(f"head {done.seq} {done.head}")
    return 0 if done.is_intact else 1


def _words(finding: Finding) -> str:
    parts = (finding.run, finding.code, finding.what, finding.path)
    return " · ".join(part for part in parts if part)
