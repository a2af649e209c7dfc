"""Batches, as rows of the ledger.

Owns who sees to a batch, and its plan. Does not own its runs (`records.py`), which are found by their keys.
Invariant: a batch is seen to by one process at a time. One whose process is gone is free; of another host
nobody can know that, so it takes a word of the user.
"""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from armarius.batch.file import Plan
from armarius.clock import Clock, rfc3339
from armarius.codex.guard import Identity, identity_of
from armarius.errors import DataError, Refused
from armarius.runs.records import QUERIES, RunRow
from armarius.store.database import Database
from armarius.store.ledger import append_event

__all__ = [
    "BatchRow",
    "batch_row",
    "claim_batch",
    "end_batch",
    "find_plan",
    "give_batch",
    "hand_in_batch",
    "key_of",
    "run_of",
]


class BatchRow(msgspec.Struct, frozen=True):
    """A batch as the ledger knows it; one that has not ended belongs to its owner."""

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

    @property
    def is_lost(self) -> bool:
        """Whether nobody sees to it, although it has not ended; of another host that cannot be known."""
        if self.ended_at_us is not None or self.host != os.uname().nodename:
            return False
        return identity_of(self.owner_pid) != self.owner


def batch_row(ledger: Database, batch: str) -> BatchRow:
    """A batch that is known by this id."""
    [row] = ledger.fetch(QUERIES.batch_by_id, BatchRow, id=batch)
    return row


def find_plan(ledger: Database, name: str) -> Plan:
    """What was asked of the batch that `name` means: an id or a unique beginning of one."""
    row = ledger.fetch_one(QUERIES.batch_by_id, BatchRow, id=name) if "\0" not in name else None
    if row is None:
        rows = ledger.fetch(QUERIES.batches_by_prefix, BatchRow, prefix=name) if name and "\0" not in name else []
        if not rows:
            raise DataError("batch-unknown", f"no batch {name!r} in the ledger", "give its FILE")
        if len(rows) > 1:
            raise DataError("batch-ambiguous", f"{name!r} begins more than one batch", "write more of its id")
        row = rows[0]
    return msgspec.json.decode(row.plan, type=Plan)


def claim_batch(ledger: Database, clock: Clock, plan: Plan, *, force: bool = False) -> None:
    """See to a batch from now on; Refused when somebody else does."""
    with ledger.transaction():
        now_us = _own(ledger, clock, plan, force=force)
        append_event(ledger, at_us=now_us, subject=plan.id, kind="batch_begun", body={"items": len(plan.items)})


def hand_in_batch(ledger: Database, clock: Clock, plan: Plan, *, force: bool = False) -> None:
    """Keep what is asked for somebody who is going to see to it; Refused when somebody does."""
    with ledger.transaction():
        now_us = _own(ledger, clock, plan, force=force)
        ledger.execute(QUERIES.end_batch, **_us(), id=plan.id, now_us=now_us)
        append_event(ledger, at_us=now_us, subject=plan.id, kind="batch_handed_in", body={"items": len(plan.items)})


def give_batch(ledger: Database, clock: Clock, plan: Plan, owner: Identity) -> None:
    """Say who sees to the batch that was handed in here; Refused when somebody else was faster."""
    with ledger.transaction():
        given = ledger.execute(
            QUERIES.give_batch,
            **_us(),
            id=plan.id,
            new_pid=owner["pid"],
            new_start=owner["start"],
            now_us=clock.now_us(),
        )
        row = batch_row(ledger, plan.id)
    if not given and row.owner != owner:
        _refuse_owned(row, owner, force=False)


def end_batch(ledger: Database, clock: Clock, plan: Plan, body: Mapping[str, Any]) -> None:
    """Nobody sees to it any more; `body` is what came of it."""
    with ledger.transaction():
        now_us = clock.now_us()
        if ledger.execute(QUERIES.end_batch, **_us(), id=plan.id, now_us=now_us):
            append_event(ledger, at_us=now_us, subject=plan.id, kind="batch_ended", body=body)


def _own(ledger: Database, clock: Clock, plan: Plan, *, force: bool) -> int:
    """Within a transaction: this process sees to it, since the moment that is returned."""
    me = identity_of(os.getpid()) or {}
    row = ledger.fetch_one(QUERIES.batch_by_id, BatchRow, id=plan.id)
    if row is not None and row.ended_at_us is None and row.owner != me:
        _refuse_owned(row, me, force=force)
    now_us = clock.now_us()
    ledger.execute(
        QUERIES.own_batch,
        **_us(),
        id=plan.id,
        plan=msgspec.json.encode(plan).decode(),
        boot_id=me["boot_id"],
        now_us=now_us,
    )
    return now_us


def _us() -> dict[str, Any]:
    """This process, as a row names it."""
    me = identity_of(os.getpid()) or {}
    return {"host": me["host"], "owner_pid": me["pid"], "owner_start": me["start"]}


def key_of(plan: Plan, item: str, digest: str) -> str:
    """What an item of a batch is known by, as a unit that is paid for once; `digest` is one of `plan.digests()`."""
    return f"batch:{plan.id}:{item}:{digest.removeprefix('sha256:')[:32]}"


def run_of(ledger: Database, key: str) -> RunRow | None:
    """The run of an item, if it has one already."""
    return ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=key)


def _refuse_owned(row: BatchRow, me: Identity, *, force: bool) -> None:
    who = f"process {row.owner_pid} on {row.host} since {rfc3339(row.begun_at_us)[:19]}Z"
    if row.host != me["host"]:
        if not force:
            raise Refused("batch-elsewhere", f"{row.id} was begun by {who}", "see that it is gone, then add --force")
    elif identity_of(row.owner_pid) == row.owner:
        way_out = f"`armarius batch --follow {row.id}`, or `--cancel`"
        raise Refused("batch-live", f"{row.id} is seen to by {who}", way_out)
