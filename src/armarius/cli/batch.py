"""`armarius batch`: many runs, some of which come after others."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from armarius.batch.batch import Batch, BatchItem, BatchOrder, BatchReport, ItemEnd, Watcher
from armarius.batch.detached import cancel_batch, detach_batch, follow_batch
from armarius.batch.file import Plan, Read, read_plan
from armarius.batch.records import find_plan
from armarius.cli.database import DATABASE, load, named
from armarius.cli.output import print_json, print_table, say
from armarius.cli.progress import Lines, Table, end_text
from armarius.clock import SystemClock
from armarius.dispatch.api import Dispatch, open_dispatch
from armarius.dispatch.workbench import ledger_of
from armarius.errors import DataError, Interrupted, Refused, UsageError
from armarius.runs.request import RunResult
from armarius.settings import Settings

_CODES = {"succeeded": 0, "failed": 1, "interrupted": Interrupted.exit_code}
_LARGEST = 16 << 20
_MOST_WORKERS = 256


_PLACES = ("FILE", "--resume ID", "--follow ID", "--cancel ID")


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    file: str | None = None
    resumed: str | None = None
    followed: str | None = None
    cancelled: str | None = None
    detach: bool = False
    workers: int | None = None
    dry_run: bool = False
    retry_failed: bool = False
    force: bool = False
    as_json: bool = False


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
@click.option("--follow", "followed", metavar="ID", help="Watch a batch that another process sees to, to its end.")
@click.option("--cancel", "cancelled", metavar="ID", help="End what such a process has started, and the process.")
@click.option("--detach", is_flag=True, help="Print the batch's id and return at once; it goes on by itself.")
@click.option("--workers", type=click.IntRange(1, _MOST_WORKERS), help="How many runs live at a time.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the order; start nothing.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before; what it stopped follows.")
@click.option("--force", is_flag=True, help="Take over from a process on another host that is gone.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each end, then one for all.")
def command(**typed: Any) -> int:
    """Do many runs, each when those that it comes after have succeeded.

    FILE is TOML or one JSON object a line; `-` reads it from standard input. Everything is checked before
    the first run begins. What a failure blocks is stopped, the rest goes on. The same FILE again, after a
    crash or an interrupt, repeats nothing that is done. The exit code is 0 when all have succeeded.
    """
    words = _Words(**typed)
    if [words.file, words.resumed, words.followed, words.cancelled].count(None) != len(_PLACES) - 1:
        raise UsageError("batch-what", f"a batch is one of {', '.join(_PLACES)}", "name one of them")
    name = words.followed or words.cancelled
    if name is not None:
        if words != _Words(followed=words.followed, cancelled=words.cancelled, as_json=words.as_json):
            raise UsageError("batch-what", "--follow and --cancel go with --json alone", "leave out the rest")
        return _watch(name, is_ending=words.cancelled is not None, as_json=words.as_json)
    if words.detach and words.dry_run:
        raise UsageError("batch-what", "--dry-run starts nothing that could be detached", "leave out one of them")
    read = _known(words.resumed) if words.resumed is not None else _read(words.file or "-")
    with open_dispatch(lane=read.plan.items[0].lane, database=named()) as dispatch:
        batch = Batch(dispatch, read, retry_failed=words.retry_failed)
        if words.dry_run:
            return _print_order(batch.order(words.workers), as_json=words.as_json)
        if words.detach:
            return _detach(dispatch, read.plan, words)
        return _do(
            dispatch.settings,
            read.plan,
            lambda watcher: batch.go(watcher, workers=words.workers, force=words.force),
            as_json=words.as_json,
        )


def _detach(dispatch: Dispatch, plan: Plan, words: _Words) -> int:
    bench = dispatch.bench
    detached = detach_batch(
        dispatch.settings,
        bench.ledger,
        bench.clock,
        plan,
        workers=words.workers,
        retry_failed=words.retry_failed,
        force=words.force,
    )
    if words.as_json:
        print_json(detached)
    else:
        say(detached.id)
    return 0


def _watch(name: str, *, is_ending: bool, as_json: bool) -> int:
    settings = _begun()
    with ledger_of(settings) as ledger:
        plan = find_plan(ledger, name)
        if is_ending and not cancel_batch(ledger, plan):
            raise Refused("batch-over", f"nobody sees to {plan.id}", f"`armarius batch --follow {plan.id}` says why")
        code = _do(settings, plan, lambda watcher: follow_batch(settings, ledger, plan, watcher), as_json=as_json)
    return 0 if is_ending and code == _CODES["interrupted"] else code


def _do(settings: Settings, plan: Plan, work: Callable[[Watcher], BatchReport], *, as_json: bool) -> int:
    table: Table | None = None
    watcher: Watcher
    if as_json:
        watcher = _Stream(plan.id)
    elif sys.stderr.isatty() and settings.environ.get("TERM", "dumb") != "dumb":
        watcher = table = Table([item.id for item in plan.items], SystemClock())
    else:
        watcher = Lines()
    try:
        report = work(watcher)
    finally:
        if table is not None:
            table.clear()
    _print_report(report, as_json=as_json)
    return _CODES[report.state] if report.problem is None else report.problem.exit_code


def _read(file: str) -> Read:
    if file != "-":
        return read_plan(Path(file))
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise DataError("too-large", f"standard input has more than {_LARGEST:,} bytes", "name a file instead")
    return read_plan(None, data)


def _begun() -> Settings:
    settings = load()
    if not settings.has_ledger:
        raise DataError("ledger-missing", f"nothing was run yet: no ledger at {settings.ledger}", "give a FILE")
    return settings


def _known(name: str) -> Read:
    with ledger_of(_begun()) as ledger:
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
    if report.problem is not None:
        say(f"its process gave up: {report.problem.message}", err=True)
    if report.state != "succeeded":
        again = "" if report.state == "interrupted" else " --retry-failed"
        say(f"go on with `armarius batch --resume {report.id}{again}`", err=True)


def _why(end: ItemEnd) -> str:
    if end.blocked_by:
        return end_text(end)
    return end.problem.message if end.problem else ""
