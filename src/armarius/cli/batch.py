"""`armarius batch`: many runs, some of which come after others."""

import sys
from pathlib import Path

import click

from armarius.batch.batch import Batch, BatchItem, BatchOrder, BatchReport, ItemEnd, Watcher
from armarius.batch.file import Read, read_plan
from armarius.batch.records import find_plan
from armarius.cli.database import DATABASE, load, named
from armarius.cli.output import print_json, print_table, say
from armarius.cli.progress import Lines, Table, end_text
from armarius.clock import SystemClock
from armarius.dispatch.api import Dispatch, open_dispatch
from armarius.dispatch.workbench import ledger_of
from armarius.errors import DataError, Interrupted, UsageError
from armarius.runs.request import RunResult

_CODES = {"succeeded": 0, "failed": 1, "interrupted": Interrupted.exit_code}
_LARGEST = 16 << 20
_MOST_WORKERS = 256


class _Stream:
    """An object for each end of an item."""

    def __init__(self, batch: str) -> None:
        self._batch = batch

    def started(self, item: str, run: str) -> None:
        pass

    def waits(self, item: str, why: str) -> None:
        pass

    def ended(self, end: ItemEnd, result: RunResult | None) -> None:
        print_json(BatchItem(self._batch, end, result))

    def tick(self) -> None:
        pass


@click.command()
@click.argument("file", required=False)
@click.option("--resume", "resumed", metavar="ID", help="Go on with a batch that was begun, without its file.")
@click.option("--workers", type=click.IntRange(1, _MOST_WORKERS), help="How many runs live at a time.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the order; start nothing.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before; what it stopped follows.")
@click.option("--force", is_flag=True, help="Take over from a process on another host that is gone.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each end, then one for all.")
def command(
    *,
    file: str | None,
    resumed: str | None,
    workers: int | None,
    dry_run: bool,
    retry_failed: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Do many runs, each when those that it comes after have succeeded.

    FILE is TOML or one JSON object a line; `-` reads it from standard input. Everything is checked before
    the first run begins. What a failure blocks is stopped, the rest goes on. The same FILE again, after a
    crash or an interrupt, repeats nothing that is done. The exit code is 0 when all have succeeded.
    """
    if (file is None) == (resumed is None):
        raise UsageError("batch-what", "a batch is one FILE or one --resume ID", "name one of them")
    read = _known(resumed) if resumed is not None else _read(file or "-")
    with open_dispatch(lane=read.plan.items[0].lane, database=named()) as dispatch:
        batch = Batch(dispatch, read, retry_failed=retry_failed)
        if dry_run:
            return _print_order(batch.order(workers), as_json=as_json)
        return _go(dispatch, batch, read, workers=workers, force=force, as_json=as_json)


def _go(dispatch: Dispatch, batch: Batch, read: Read, *, workers: int | None, force: bool, as_json: bool) -> int:
    table: Table | None = None
    watcher: Watcher
    if as_json:
        watcher = _Stream(read.plan.id)
    elif sys.stderr.isatty() and dispatch.settings.environ.get("TERM", "dumb") != "dumb":
        watcher = table = Table([item.id for item in read.plan.items], SystemClock())
    else:
        watcher = Lines()
    try:
        report = batch.go(watcher, workers=workers, force=force)
    finally:
        if table is not None:
            table.clear()
    _print_report(report, as_json=as_json)
    return _CODES[report.state]


def _read(file: str) -> Read:
    if file != "-":
        return read_plan(Path(file))
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise DataError("too-large", f"standard input has more than {_LARGEST:,} bytes", "name a file instead")
    return read_plan(None, data)


def _known(name: str) -> Read:
    settings = load()
    if not settings.has_ledger:
        raise DataError("ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "give a FILE")
    with ledger_of(settings) as ledger:
        plan = find_plan(ledger, name)
    return Read(plan, {item.id: plan.id for item in plan.items})


def _print_order(order: BatchOrder, *, as_json: bool) -> int:
    if as_json:
        print_json(order)
        return 0
    say(f"{order.id}: {sum(map(len, order.groups))} items, {order.workers} at a time")
    for number, group in enumerate(order.groups, 1):
        say(f"{number}. " + ", ".join(name + (" (done)" if name in order.done else "") for name in group))
    return 0


def _print_report(report: BatchReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    rows = [
        (end.id, end.state, f"{end.usage.input + end.usage.output:,}", end.run or "", _why(end)) for end in report.items
    ]
    print_table(("ITEM", "STATE", "TOKENS", "RUN", "WHY"), rows)
    done = sum(end.state == "succeeded" for end in report.items)
    say(f"{report.id} {report.state}: {done} of {len(report.items)} succeeded", err=True)
    if report.state != "succeeded":
        again = "" if report.state == "interrupted" else " --retry-failed"
        say(f"go on with `armarius batch --resume {report.id}{again}`", err=True)


def _why(end: ItemEnd) -> str:
    if end.blocked_by:
        return end_text(end)
    return end.problem.message if end.problem else ""
