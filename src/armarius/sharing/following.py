"""Going on where a session of somebody else's has stopped: it is over, and somebody has looked at what it did.

Owns these conditions. Does not own when a session is over (foreign.py) nor the review (`armarius review`).
Invariant: what was still at work when it was looked at has not been reviewed.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.counts.scan import Scan
from armarius.errors import DataError, Refused
from armarius.rollouts.discovery import find_rollout
from armarius.runs.records import find_run
from armarius.runs.request import RunRequest
from armarius.sessions.folders import Place
from armarius.sessions.names import find_named
from armarius.sharing import foreign
from armarius.store.database import Database

__all__ = ["follow_session"]

_PURSUED = "active"
_LONGEST_WHO = 200


def follow_session(  # what is asked, and where to look
    request: RunRequest, name: str, reviewed: str, *, ledger: Database, clock: Clock, homes: Sequence[Path]
) -> RunRequest:
    """The request as one that follows somebody else's work, once that is over and somebody has looked at it."""
    named = find_named([Place("codex", home) for home in homes], name)
    home = named.place.path if named.place else homes[0]
    path = find_rollout(home, named.thread_id)
    if path is None:
        raise DataError("thread-unknown", f"no session {named.thread_id} under {home}", "see `armarius sessions list`")
    holding = foreign.holding_thread(named.thread_id, home, clock)
    if holding is not None:
        raise Refused("after-live", foreign.told(holding), "wait until it is over, and review what it did")
    scan = Scan(path)
    scan.advance()
    if scan.summary().goal_status == _PURSUED:
        raise Refused("after-goal", f"the goal of {named.thread_id} is still pursued", "end it there, or pause it")
    if reviewed.startswith("run_"):
        reviewed = _review(ledger, reviewed, path)
    return msgspec.structs.replace(
        request, after=named.thread_id, after_home=str(home), reviewed=reviewed[:_LONGEST_WHO]
    )


def _review(ledger: Database, name: str, path: Path) -> str:
    """The id of a review that came after the last thing the session did."""
    run = find_run(ledger, name)
    if run.role != "reviewer" or run.state != "succeeded" or run.started_at_us is None:
        raise Refused("review", f"{run.id} is no review that succeeded", "run `armarius review`")
    if run.started_at_us < path.stat().st_mtime_ns // 1_000:
        raise Refused("review-old", f"{run.id} began before the session had ended", "run `armarius review` again")
    return run.id
