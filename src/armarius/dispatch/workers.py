"""The workers of a ledger, as rows: who lives, and who is gone.

Owns a worker's row, its beat, and telling the living from the gone. Does not own what a worker does.
Invariant: on its own host a worker is judged by its process, which cannot be mistaken; on another one by its
beat on the server's clock alone. A worker leaves in one transaction with the look that nothing waits for it,
so that nobody hands in a run to a worker that is just leaving.
"""

import os

import msgspec

from armarius.clock import Clock
from armarius.codex.guard import Identity, identity_of
from armarius.runs.queued import QUERIES
from armarius.store.database import Database

__all__ = ["BEAT_US", "WorkerRow", "beat", "enlist", "leave", "lives", "living", "shared_now_us", "sweep"]

_SILENT_US = 3_600_000_000
BEAT_US = 15_000_000
"""How long a worker of another host is believed to live after its last beat."""


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker; `until_us` is on the server's clock, or wall time for a ledger in a file."""

    id: str
    seat: str
    host: str
    boot_id: str
    owner_pid: int
    owner_start: int
    jobs: int
    started_at_us: int
    until_us: int

    @property
    def identity(self) -> Identity:
        return {"host": self.host, "boot_id": self.boot_id, "pid": self.owner_pid, "start": self.owner_start}


def shared_now_us(ledger: Database, clock: Clock) -> int:
    """The time that all workers of a ledger agree on."""
    server = ledger.server_time_us()
    return clock.now_us() if server is None else server


def enlist(ledger: Database, clock: Clock, worker_id: str, seat: str, jobs: int) -> WorkerRow:
    """Write down that we live."""
    me, now_us = identity_of(os.getpid()) or {}, clock.now_us()
    until_us = shared_now_us(ledger, clock) + BEAT_US
    row = WorkerRow(worker_id, seat, me["host"], me["boot_id"], me["pid"], me["start"], jobs, now_us, until_us)
    ledger.execute(
        QUERIES.insert_worker,
        id=row.id,
        seat=row.seat,
        host=row.host,
        boot_id=row.boot_id,
        owner_pid=row.owner_pid,
        owner_start=row.owner_start,
        jobs=row.jobs,
        now_us=now_us,
        until_us=until_us,
    )
    return row


def beat(ledger: Database, clock: Clock, worker: WorkerRow) -> bool:
    """Say that we live still; False when we had been taken for gone."""
    return ledger.execute(QUERIES.beat, id=worker.id, until_us=shared_now_us(ledger, clock) + BEAT_US) == 1


def leave(ledger: Database, worker_id: str) -> None:
    """Take a worker off the list."""
    ledger.execute(QUERIES.remove_worker, id=worker_id)


def living(ledger: Database, clock: Clock, *, host: str) -> list[WorkerRow]:
    """The workers that live, as this host can tell."""
    now_us = shared_now_us(ledger, clock)
    return [row for row in ledger.fetch(QUERIES.workers, WorkerRow) if lives(row, host, now_us)]


def sweep(ledger: Database, clock: Clock, *, host: str) -> list[WorkerRow]:
    """The same, and those that are known to be gone are taken off the list."""
    now_us = shared_now_us(ledger, clock)
    there = list[WorkerRow]()
    for row in ledger.fetch(QUERIES.workers, WorkerRow):
        if lives(row, host, now_us):
            there.append(row)
        elif row.host == host or row.until_us + _SILENT_US < now_us:
            leave(ledger, row.id)
    return there


def lives(row: WorkerRow, host: str, now_us: int) -> bool:
    """Whether a worker lives."""
    if row.host == host:
        return identity_of(row.owner_pid) == row.identity
    return now_us < row.until_us
