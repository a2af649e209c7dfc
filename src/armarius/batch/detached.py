"""A batch that its caller does not wait for.

Owns starting the process that sees to it, watching how it goes on, and ending it. Does not own its runs.
Invariant: what was handed in stands in the ledger before anything is started, and has one process that sees to
it; whoever follows a batch changes nothing of it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from armarius.background import start_background
from armarius.batch.batch import BatchReport, Watcher, end_of
from armarius.batch.file import Plan
from armarius.batch.records import (
    BatchRow,
    batch_row,
    give_batch,
    hand_in_batch,
    key_of,
    run_of,
)
from armarius.clock import Clock
from armarius.codex.guard import identity_of
from armarius.dispatch.detached import environ_behind
from armarius.errors import HostError, NoAnswer, Refused
from armarius.files import private_folder
from armarius.runs.request import RunResult
from armarius.settings import Settings
from armarius.store.database import Database
from armarius.store.ledger import events_of

__all__ = ["BatchDetached", "cancel_batch", "detach_batch", "follow_batch"]

_HANDED_IN = "batch_handed_in"
_ROUND_S = 0.5
_SHORT_ROUND_S = 0.05


class BatchDetached(msgspec.Struct, frozen=True):
    """A batch that goes on by itself (`armarius.batch_detached.v1`); `log` is what its process prints."""

    id: str
    pid: int
    items: int
    log: str
    schema: str = "armarius.batch_detached.v1"


def detach_batch(
    settings: Settings,
    ledger: Database,
    clock: Clock,
    plan: Plan,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    force: bool = False,
) -> BatchDetached:
    """Start a process that sees to a batch that was checked; Refused when somebody does already."""
    hand_in_batch(ledger, clock, plan, force=force)
    argv = [sys.executable, "-m", "armarius", "batch", "--resume", plan.id]
    argv += [] if workers is None else ["--workers", str(workers)]
    argv += ["--retry-failed"] if retry_failed else []
    log = log_of(settings, plan.id)
    private_folder(log.parent)
    # In this folder, whose project may say less of what a run may use up.
    pid = start_background(argv, environ=environ_behind(settings), log=log, folder=Path.cwd())
    owner = identity_of(pid)
    if owner is None:
        raise HostError("program-start", f"the process for {plan.id} ended at once", f"see {log}")
    give_batch(ledger, clock, plan, owner)
    return BatchDetached(plan.id, pid, len(plan.items), str(log))


def log_of(settings: Settings, batch: str) -> Path:
    """What the process prints that sees to a batch."""
    return settings.home / "batches" / f"{batch}.log"


def cancel_batch(ledger: Database, plan: Plan, pause: Callable[[float], object] = time.sleep) -> bool:
    """Tell the process that sees to a batch to end what it started; whether there is one."""
    row = batch_row(ledger, plan.id)
    while row.ended_at_us is None and not row.is_lost and events_of(ledger, plan.id)[-1].kind == _HANDED_IN:
        pause(_SHORT_ROUND_S)  # it is only starting, and could not yet say how it ended
        row = batch_row(ledger, plan.id)
    if row.ended_at_us is not None or row.is_lost:
        return False
    if row.host != os.uname().nodename:
        raise Refused("batch-elsewhere", f"{row.id} is seen to on {row.host}", "cancel it there")
    try:
        descriptor = os.pidfd_open(row.owner_pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor names one process for ever: look again through it, then signal it.
        if identity_of(row.owner_pid) == row.owner:
            signal.pidfd_send_signal(descriptor, signal.SIGINT)
    finally:
        os.close(descriptor)
    return True


def follow_batch(
    settings: Settings, ledger: Database, plan: Plan, watcher: Watcher, pause: Callable[[float], object] = time.sleep
) -> BatchReport:
    """Tell a watcher how a batch goes on that somebody sees to; what came of it. NoAnswer when nobody does any more."""
    following = _Following(ledger, plan, watcher)
    while True:
        row = batch_row(ledger, plan.id)
        is_lost = row.is_lost
        following.look(row)
        if row.ended_at_us is not None:
            return following.end()
        if is_lost:
            what = f"process {row.owner_pid}, which saw to {plan.id}, is gone; see {log_of(settings, plan.id)}"
            raise NoAnswer("batch-lost", what, _go_on(plan))
        watcher.tick()
        pause(_ROUND_S)


def _go_on(plan: Plan) -> str:
    return f"go on with `armarius batch --resume {plan.id}`"


class _Following:
    """What a watcher was told of a batch."""

    def __init__(self, ledger: Database, plan: Plan, watcher: Watcher) -> None:
        self._ledger = ledger
        self._plan = plan
        self._watcher = watcher
        self._digests = plan.digests()
        self._begun = set[str]()
        self._open = {item.id for item in plan.items}

    def look(self, row: BatchRow) -> None:
        """Tell of what began and what ended since the batch was begun."""
        for item in self._plan.items:
            if item.id not in self._open:
                continue
            run = run_of(self._ledger, key_of(self._plan, item.id, self._digests[item.id]))
            if run is None:
                continue
            if run.ended_at_us is None:
                if item.id not in self._begun:
                    self._begun.add(item.id)
                    self._watcher.started(item.id, run.id)
            elif run.ended_at_us >= row.begun_at_us and run.outcome is not None:
                self._open.remove(item.id)
                self._watcher.ended(end_of(item.id, run.outcome), run.outcome)

    def end(self) -> BatchReport:
        """Tell of the rest; what came of all. NoAnswer when that was never written down."""
        last = events_of(self._ledger, self._plan.id)[-1]
        try:
            report = msgspec.json.decode(last.body, type=BatchReport)
        except msgspec.ValidationError as error:  # whoever handed it in was killed, or was an older Armarius
            what = f"nobody sees to {self._plan.id}, and what came of it is not known"
            raise NoAnswer("batch-lost", what, _go_on(self._plan)) from error
        for end in report.items:
            if end.id in self._open and end.state != "queued":
                self._watcher.ended(end, self._result(end.id) if end.run is not None else None)
        return report

    def _result(self, item: str) -> RunResult | None:
        run = run_of(self._ledger, key_of(self._plan, item, self._digests[item]))
        return None if run is None else run.outcome
