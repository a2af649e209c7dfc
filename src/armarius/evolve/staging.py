"""From a candidate that passed to the live file, and back.

Owns the proposal's folder, adoption and roll-back. Does not own the decision to propose.
Invariant: a learner never touches the live file; only `adopt` does, when the live bytes are the ones
the evidence was gathered on and the staged bytes are the ones that were judged. A kill at any point
leaves the old file or the new one, and the same command run again completes what was begun.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Generator
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Refused
from armarius.evolve.records import QUERIES, ProposalRow
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_bytes, new_id
from armarius.store.database import Database
from armarius.store.ledger import append_event

__all__ = ["BASE", "DIFF", "PROPOSED", "REPORT", "Change", "adopt", "rollback", "stage"]

BASE = "base-SKILL.md"
PROPOSED = "SKILL.md"
DIFF = "changes.diff"
REPORT = "report.md"


class Change(msgspec.Struct, frozen=True):
    """What `adopt` or `rollback` did (`armarius.change.v1`). `changed` is False when it was done already."""

    proposal: str
    state: str
    target: str
    hash_before: str
    hash_after: str
    backup: str
    changed: bool
    schema: str = "armarius.change.v1"


def stage(
    ledger: Database,
    clock: Clock,
    *,
    night_id: str,
    folder: Path,
    target: Path,
    base: bytes,
    proposed: bytes,
    diff: str,
    decision: str,
    e_value: float,
) -> ProposalRow:
    """Write the proposal beside its base and record it; nothing live is touched."""
    known = ledger.fetch_one(QUERIES.proposal_of_night, ProposalRow, night_id=night_id)
    if known is not None:
        return known
    private_folder(folder)
    for name, data in ((BASE, base), (PROPOSED, proposed), (DIFF, diff.encode())):
        write_atomic(folder / name, data)
    proposal = new_id("prop", clock)
    now_us = clock.now_us()
    with ledger.transaction():
        ledger.execute(
            QUERIES.insert_proposal,
            id=proposal,
            night_id=night_id,
            target_path=str(target),
            base_hash=hash_bytes(base),
            proposed_hash=hash_bytes(proposed),
            folder=str(folder),
            decision=decision,
            e_value=e_value,
            now_us=now_us,
        )
        ledger.execute(QUERIES.supersede_staged, target_path=str(target), id=proposal)
        append_event(ledger, at_us=now_us, subject=proposal, kind="proposal_staged", body={"night": night_id})
    [row] = ledger.fetch(QUERIES.proposal_of_night, ProposalRow, night_id=night_id)
    return row


def adopt(ledger: Database, clock: Clock, proposal: ProposalRow) -> Change:
    """Put the proposed bytes in place of the live ones."""
    if proposal.state not in ("staged", "adopted"):
        raise DataError(
            "proposal-state",
            f"{proposal.id} is {proposal.state.replace('_', ' ')}",
            "see `armarius sleep status`",
        )
    return _replace(
        ledger,
        clock,
        proposal,
        expected=proposal.base_hash,
        wanted=proposal.proposed_hash,
        source=PROPOSED,
        done=("adopted", QUERIES.mark_adopted.name),
    )


def rollback(ledger: Database, clock: Clock, proposal: ProposalRow) -> Change:
    """Put the bytes from before the adoption back."""
    if proposal.state not in ("adopted", "rolled_back"):
        raise DataError("proposal-state", f"{proposal.id} was never adopted", "see `armarius sleep status`")
    return _replace(
        ledger,
        clock,
        proposal,
        expected=proposal.proposed_hash,
        wanted=proposal.base_hash,
        source=BASE,
        done=("rolled_back", QUERIES.mark_rolled_back.name),
    )


def _replace(
    ledger: Database,
    clock: Clock,
    proposal: ProposalRow,
    *,
    expected: str,
    wanted: str,
    source: str,
    done: tuple[str, str],
) -> Change:
    """Swap the live file's bytes, between two hashes; the file first, then the record.

    When only the record is missing, the live file has the wanted hash already: then nothing is
    written but the record.
    """
    target = Path(proposal.target_path)
    state, query = done
    data = (Path(proposal.folder) / source).read_bytes()
    if hash_bytes(data) != wanted:
        raise DataError(
            "proposal-changed",
            f"{Path(proposal.folder) / source} is not what was staged",
            "run the night again",
        )
    with _alone(Path(proposal.folder)):
        live = _live(target)
        found = hash_bytes(live)
        if found not in (expected, wanted):
            raise DataError(
                "live-changed",
                f"{target} changed since: it is {found[:19]}…, expected {expected[:19]}…",
                "keep your change and run a new night on it, or restore the file",
            )
        if found != wanted:
            write_atomic(target, data, mode=stat.S_IMODE(target.stat().st_mode))
        now_us = clock.now_us()
        with ledger.transaction():
            if ledger.execute(QUERIES[query], id=proposal.id, now_us=now_us):
                body = {"before": found, "after": wanted}
                append_event(ledger, at_us=now_us, subject=proposal.id, kind=f"proposal_{state}", body=body)
    return Change(
        proposal=proposal.id,
        state=state,
        target=str(target),
        hash_before=found,
        hash_after=wanted,
        backup=str(Path(proposal.folder) / BASE),
        changed=found != wanted,
    )


def _live(target: Path) -> bytes:
    if target.resolve() != target:
        raise Refused(
            "target-moved",
            f"{target} now leads to {target.resolve()}",
            "a link took the place of the file or its folder",
        )
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise DataError("target-missing", f"no file at {target}", "restore it, or run a new night") from error
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Two commands at once wait for each other; a killed one holds nothing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
