"""What the record says of a run that a plan names as its proof.

Owns the one look-up. Does not own the record.
Invariant: a name that the record does not have, or has twice, is no proof.
"""

from armarius.errors import DataError
from armarius.plans.rules import Evidence
from armarius.runs.records import find_run
from armarius.store.database import Database

__all__ = ["evidence_of"]


def evidence_of(ledger: Database, name: str) -> Evidence | None:
    """What was recorded under an id, or the unique beginning of one."""
    try:
        run = find_run(ledger, name)
    except DataError:
        return None
    return Evidence(run.id, run.state, run.state == "succeeded")
