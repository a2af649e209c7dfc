"""What was judged and agreed about a run, as the ledger has it; and where its work should be looked at.

Owns reading these for reports. Does not own judging (validate.py) nor asking (consult.py).
Invariant: it is read and never concluded: what is not on record is not there.
"""

import json
from pathlib import Path
from typing import Any

from armarius.audit.spiral import Sign, signs_of
from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.store.database import Database
from armarius.store.ledger import events_of

__all__ = ["judged_of", "signs_in"]

_LARGEST = 16 << 20


def judged_of(ledger: Database, run_id: str) -> tuple[str, ...]:
    """Each verdict and each decision about a run in one line, oldest first."""
    return tuple(line for event in events_of(ledger, run_id) if (line := _line(event.kind, json.loads(event.body))))


def signs_in(diff: Path) -> tuple[Sign, ...]:
    """The signs in a diff that was kept; none where it is gone or too large."""
    try:
        return signs_of(read_bounded(diff, _LARGEST).decode(errors="replace"))
    except DataError:
        return ()


def _line(kind: str, body: dict[str, Any]) -> str:
    match kind:
        case "validated":
            why = f" ({body['code']})" if body["code"] else ""
            return f"{body['outcome']}{why} by {body['judge']}, {body['validation']}, {body['sha256']}"
        case "judged":
            return f"as a judge of {body['subject']}: {body['outcome']}"
        case "consult_decided":
            return f"{body['outcome']}: {body['reason']} ({body['consultation']})"
        case _:
            return ""
