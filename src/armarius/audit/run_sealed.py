"""A run's row, column by column, held against what was sealed of it.

Owns which sealed text says what of each column: the receipt, the request and the result by their hashes, the events.
Does not own the chain, nor the files (`verify`). Reads only.
Invariant: every column is compared that anything goes by, and a row that nobody touched differs in none.
"""

from pathlib import Path
from typing import Any

import msgspec

from armarius.codex.process import Exit
from armarius.identity import hash_bytes
from armarius.proof.chain import Row
from armarius.proof.receipt import Receipt
from armarius.runs.records import QUERIES, RunRow
from armarius.store.database import Database
from armarius.store.ledger import events_of

__all__ = ["differs"]

_ACCEPTED = frozenset({"run_claimed", "run_queued"})


def differs(ledger: Database, run: RunRow, row: Row, receipt: Receipt) -> tuple[str, ...]:
    """The columns of an ended run in which it is not what its receipt and its events sealed."""
    known: dict[str, Any] = dict(ledger.fetch_one(QUERIES.run_by_id, id=run.id) or {})
    sealed = {
        "state": receipt.state,
        "role": receipt.role,
        "cwd": receipt.cwd,
        "sandbox": receipt.asked.sandbox,
        "folder": str(_folder(row)),
        "model": receipt.asked.model,
        "effort": receipt.asked.effort,
        "thread_id": receipt.thread_id,
        "error_code": receipt.problem.code if receipt.problem else None,
        "ended_at_us": receipt.written_at_us,
    }
    sealed |= _told_by_events(ledger, run.id) | _told_by_texts(run, receipt)
    wrong = [name for name, value in sealed.items() if known.get(name) != value]
    if (run.codex_version or "") != receipt.codex_version:
        wrong.append("codex_version")
    if hash_bytes(run.request.encode()) != receipt.asked.request_sha256:
        wrong.append("request")
    if hash_bytes((run.result or "").encode()) != receipt.result_sha256:
        wrong.append("result")
    if row.number > 0 and not _is_end(known.get("exit_status"), receipt):  # else no process of it was seen to end
        wrong.append("exit_status")
    return tuple(sorted(wrong))


def _folder(row: Row) -> Path:
    """The run's folder, by where its receipt lies: beside an attempt's files, or where nobody tried, in it."""
    folder = Path(row.path).parent
    return folder.parent if row.number > 0 else folder


def _told_by_events(ledger: Database, run_id: str) -> dict[str, int]:
    """When a run was accepted and first started: in the moment of the event that says so."""
    found = dict[str, int]()
    for event in events_of(ledger, run_id):
        if event.kind in _ACCEPTED:
            found.setdefault("created_at_us", event.at_us)
        elif event.kind == "run_started":
            found.setdefault("started_at_us", event.at_us)
    return found


def _told_by_texts(run: RunRow, receipt: Receipt) -> dict[str, Any]:
    """What stands in the request and in the result, where those are the ones that were sealed."""
    found = dict[str, Any]()
    if hash_bytes(run.request.encode()) == receipt.asked.request_sha256:
        found["paid_key"] = msgspec.json.decode(run.request).get("paid_key")
    if run.result and hash_bytes(run.result.encode()) == receipt.result_sha256:
        problem = msgspec.json.decode(run.result).get("problem")
        found["error_message"] = problem["message"].replace("\0", "") if problem else None
    return found


def _is_end(said: Any, receipt: Receipt) -> bool:
    """Whether the process ended as the receipt says."""
    end = receipt.end
    sealed = {"outcome": end.outcome, "exit_code": end.exit_code, "signal": end.signal, "stragglers": end.stragglers}
    try:
        return msgspec.structs.asdict(msgspec.json.decode(said or "", type=Exit)).items() >= sealed.items()
    except (msgspec.DecodeError, TypeError):
        return False
