"""Batches, as rows of the ledger.

Owns who sees to a batch, and its plan. Does not own its runs (`records.py`), which are found by their keys.
Invariant: a batch is seen to by one process at a time. One whose process is gone is free; of another host
nobody can know that, so it takes a word of the user.
"""

import os

import msgspec

from armarius.batch.file import Plan
from armarius.clock import Clock, rfc3339
from armarius.codex.guard import Identity, identity_of
from armarius.errors import DataError, Refused
from armarius.runs.records import QUERIES, RunRow
from armarius.store.database import Database
from armarius.store.ledger import append_event

__all__ = ["claim_batch", "end_batch", "find_plan", "run_of"]


class _BatchRow(msgspec.Struct, frozen=True):
    id: str
    plan: str
    host: str
    boot_id: str
    owner_pid: int
    owner_start: int
    begun_at_us: int
    ended_at_us: int | None = None

    @property
    def owner(self) -> Identity:
        return {"host": self.host, "boot_id": self.boot_id, "pid": self.owner_pid, "start": self.owner_start}


def find_plan(ledger: Database, name: str) -> Plan:
    """What was asked of the batch that `name` means: an id or a unique beginning of one."""
    row = ledger.fetch_one(QUERIES.batch_by_id, _BatchRow, id=name) if "\0" not in name else None
    if row is None:
        rows = ledger.fetch(QUERIES.batches_by_prefix, _BatchRow, prefix=name) if name and "\0" not in name else []
        if not rows:
            raise DataError("batch-unknown", f"no batch {name!r} in the ledger", "give its FILE")
        if len(rows) > 1:
            raise DataError("batch-ambiguous", f"{name!r} begins more than one batch", "write more of its id")
        row = rows[0]
    return msgspec.json.decode(row.plan, type=Plan)


def claim_batch(ledger: Database, clock: Clock, plan: Plan, *, force: bool = False) -> None:
    """See to a batch from now on; Refused when somebody else does."""
    me = identity_of(os.getpid()) or {}
    with ledger.transaction():
        row = ledger.fetch_one(QUERIES.batch_by_id, _BatchRow, id=plan.id)
        if row is not None and row.ended_at_us is None and row.owner != me:
            _refuse_owned(row, me, force=force)
        now_us = clock.now_us()
        ledger.execute(
            QUERIES.own_batch,
            id=plan.id,
            plan=msgspec.json.encode(plan).decode(),
            host=me["host"],
            boot_id=me["boot_id"],
            owner_pid=me["pid"],
            owner_start=me["start"],
            now_us=now_us,
        )
        append_event(ledger, at_us=now_us, subject=plan.id, kind="batch_begun", body={"items": len(plan.items)})


def end_batch(ledger: Database, clock: Clock, plan: Plan, state: str) -> None:
    """Nobody sees to it any more."""
    me = identity_of(os.getpid()) or {}
    with ledger.transaction():
        now_us = clock.now_us()
        was_ours = ledger.execute(
            QUERIES.end_batch,
            id=plan.id,
            host=me["host"],
            owner_pid=me["pid"],
            owner_start=me["start"],
            now_us=now_us,
        )
        if was_ours:
            append_event(ledger, at_us=now_us, subject=plan.id, kind="batch_ended", body={"state": state})


def run_of(ledger: Database, key: str) -> RunRow | None:
    """The run of an item, if it has one already."""
    return ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=key)


def _refuse_owned(row: _BatchRow, me: Identity, *, force: bool) -> None:
    who = f"process {row.owner_pid} on {row.host} since {rfc3339(row.begun_at_us)[:19]}Z"
    if row.host != me["host"]:
        if not force:
            raise Refused("batch-elsewhere", f"{row.id} was begun by {who}", "see that it is gone, then add --force")
    elif identity_of(row.owner_pid) == row.owner:
        raise Refused("batch-live", f"{row.id} is seen to by {who}", "wait for it, or interrupt it there")
