"""Findings put to scripted parties: what they say, and asking them.

Owns the words. Does not own the court (`court.py`) nor what is right.
"""

import json
from typing import Any

from armarius.audit.consult import Consultation, Question, consult
from armarius.dispatch.api import open_dispatch
from support.court import Court, Says

__all__ = ["CONFIRMS", "FINDING", "FORGES", "REFUTES", "SEES", "WORK", "answer", "ask"]

FINDING = "total.txt says 40, but the numbers add up to 41"
WORK = {"sh": "echo 40 > total.txt"}
SEES = {"command": "cat total.txt", "path": None, "line": None, "text": "40"}


def answer(position: str, *evidence: dict[str, Any], needs_user: bool = False) -> str:
    said = {"position": position, "evidence": list(evidence), "root_cause": "one number was left out"}
    return json.dumps(said | {"resolution": "write 41", "risk": "low", "needs_user": needs_user})


def ask(court: Court, run: str, *says: Says, **question: Any) -> Consultation:
    court.judges = list(says)
    with open_dispatch(court.project, court.environ) as dispatch:
        return consult(dispatch, Question(run=run, finding=question.pop("finding", FINDING), **question))


CONFIRMS = Says(("cat total.txt",), answer("confirm", SEES))
REFUTES = Says(("cat total.txt",), answer("refute", SEES))
FORGES = Says(("cat total.txt",), answer("confirm", SEES | {"text": "39"}))
