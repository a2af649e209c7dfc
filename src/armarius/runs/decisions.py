"""What a person, or who answers for them, decided about a run: accepted, rejected, or to be looked at.

Owns writing a decision and finding the last one. Does not own the run, which stays what it was.
Invariant: a decision is an event, a file and a row of the chain, all at once; a later one takes the place of an
earlier one and never removes it.
"""

import os
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import Refused
from armarius.files import private_folder, write_atomic
from armarius.proof import chain
from armarius.proof.receipt import encode
from armarius.redact import redact
from armarius.runs.receipts import mark
from armarius.runs.records import RunRow
from armarius.store.database import Database
from armarius.store.ledger import append_event, events_of

__all__ = ["DECISION", "Decided", "Decision", "decide", "decision_of", "decisions_of", "whoever"]

DECISION = "run_decided"
"""The event of a decision."""

Decided = Literal["accepted", "rejected", "needs_review"]

_LONGEST = 4_000


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision about a run (`armarius.decision.v1`). `receipt` is the hash of what was decided about."""

    run: str
    number: int
    decided: Decided
    by: str
    reason: str
    receipt: str | None
    at_us: int
    schema: Literal["armarius.decision.v1"] = "armarius.decision.v1"


def decide(ledger: Database, clock: Clock, run: RunRow, decided: Decided, *, by: str, reason: str) -> Decision:
    """Write down what was decided; Refused for a run that is not over, or that failed and would be accepted."""
    if run.ended_at_us is None:
        raise Refused("run-live", f"{run.id} is {run.state}", "wait until it is over")
    if decided == "accepted" and run.state != "succeeded":
        raise Refused("run-failed", f"{run.id} is {run.state}, and cannot be accepted", "do it again, or reject it")
    with ledger.transaction():
        rows = ledger.fetch(chain.QUERIES.receipts_of_run, chain.Row, run_id=run.id)
        receipts = [row.sha256 for row in rows if row.kind == "run"]
        number = 1 + sum(row.kind == "decision" for row in rows)
        now_us = clock.now_us()
        decision = Decision(
            run=run.id,
            number=number,
            decided=decided,
            by=redact(by)[:200].replace("\0", ""),
            reason=redact(reason)[:_LONGEST].replace("\0", ""),
            receipt=receipts[-1] if receipts else None,
            at_us=now_us,
        )
        body = {"decided": decided, "by": decision.by, "reason": decision.reason, "number": number}
        append_event(ledger, at_us=now_us, subject=run.id, kind=DECISION, body=body)
        path, data = private_folder(Path(run.folder)) / f"decision-{number}.json", encode(decision)
        write_atomic(path, data)
        row = chain.add_row(ledger, now_us, kind="decision", run_id=run.id, number=number, path=path, data=data)
    mark(ledger, run.folder, row)
    return decision


def decision_of(ledger: Database, run_id: str) -> Decided | None:
    """The last decision about a run; None when there was none."""
    bodies = [event.body for event in events_of(ledger, run_id) if event.kind == DECISION]
    return msgspec.json.decode(bodies[-1], type=_Body).decided if bodies else None


def decisions_of(ledger: Database, run_ids: Iterable[str]) -> dict[str, Decided]:
    """The last decision about each run that there was one about."""
    found = dict[str, Decided]()
    for run_id in run_ids:
        decided = decision_of(ledger, run_id)
        if decided is not None:
            found[run_id] = decided
    return found


def whoever() -> str:
    """The user of this process, by name or number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class _Body(msgspec.Struct, frozen=True):
    decided: Decided
