"""What the record says of a run that a plan names as its proof.

Owns the one look-up. Does not own the record.
Invariant: a name that the record does not have, or has twice, is no proof; neither is a run whose receipt was edited
or removed, nor one that somebody rejected.
"""

from pathlib import Path

from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.identity import hash_bytes
from armarius.plans.rules import Evidence
from armarius.proof.chain import QUERIES, Row
from armarius.runs.decisions import decision_of
from armarius.runs.records import find_run
from armarius.store.database import Database

__all__ = ["evidence_of"]

_LARGEST = 64 << 20


def evidence_of(ledger: Database, name: str) -> Evidence | None:
    """What was recorded under an id, or the unique beginning of one; good is a run whose receipt still says so."""
    try:
        run = find_run(ledger, name)
    except DataError:
        return None
    state = run.state
    if run.ended_at_us is not None and not _has_receipt(ledger, run.id):
        state = f"{run.state} without a receipt that is as it was recorded"
    elif decision_of(ledger, run.id) == "rejected":
        state = f"{run.state} and rejected"
    return Evidence(run.id, state, state == "succeeded")


def _has_receipt(ledger: Database, run_id: str) -> bool:
    rows = [row for row in ledger.fetch(QUERIES.receipts_of_run, Row, run_id=run_id) if row.kind == "run"]
    try:
        return bool(rows) and hash_bytes(read_bounded(Path(rows[-1].path), _LARGEST)) == rows[-1].sha256
    except DataError:
        return False
