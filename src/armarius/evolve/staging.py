"""From a candidate that passed to the live file, and back.

Owns the proposal's folder, adoption and roll-back. Does not own the decision to propose.
Invariant: a learner never touches the live file; only `adopt` does, when the live bytes are the ones
the evidence was gathered on and the staged bytes are the ones that were judged. A kill at any point
leaves the old file or the new one, and the same command run again completes what was begun.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from armarius.clock import Clock, rfc3339
from armarius.errors import ArmariusError, DataError, Refused
from armarius.evolve.records import QUERIES, ProposalRow
from armarius.files import HeldFile, Seen, held_file, private_folder, read_bounded, write_atomic
from armarius.identity import hash_bytes, new_id
from armarius.redact import redact
from armarius.skills.capability import Kind, new_capabilities
from armarius.skills.document import MAX_SKILL
from armarius.store.database import Database
from armarius.store.ledger import append_event

__all__ = [
    "BASE",
    "DIFF",
    "PROPOSED",
    "REPORT",
    "Change",
    "adopt",
    "check_adoptable",
    "is_live",
    "reject",
    "rollback",
    "stage",
]

BASE = "base-SKILL.md"
PROPOSED = "SKILL.md"
DIFF = "changes.diff"
REPORT = "report.md"
_LONGEST_REASON = 2_000
_MOST_SHOWN = 5


class Change(msgspec.Struct, frozen=True):
    """What `adopt`, `rollback` or `reject` did (`armarius.change.v1`). `changed` is False when it was done already.

    `proposal` may be a candidate that was turned down before it was one; that has no `backup`.
    """

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


def check_adoptable(proposal: ProposalRow, allow: AbstractSet[Kind] = frozenset()) -> None:
    """Refuse what adoption would refuse, before anything is touched: state, bytes, live file, new capabilities."""
    if proposal.state not in ("staged", "adopted"):
        raise DataError(
            "proposal-state",
            f"{proposal.id} is {proposal.state.replace('_', ' ')}",
            "see `armarius sleep status`",
        )
    after = _pinned(proposal, PROPOSED, proposal.proposed_hash)
    before = _pinned(proposal, BASE, proposal.base_hash)
    found = new_capabilities(before.decode(errors="replace"), after.decode(errors="replace"))
    unasked = [one for one in found if one.kind not in allow]
    if unasked and proposal.state == "staged":
        shown = "; ".join(f"{one.kind}: {one.text}" for one in unasked[:_MOST_SHOWN])
        more = f" and {len(unasked) - _MOST_SHOWN} more" if len(unasked) > _MOST_SHOWN else ""
        kinds = " ".join(f"--allow {kind}" for kind in dict.fromkeys(one.kind for one in unasked))
        raise Refused(
            "capabilities",
            f"{proposal.id} lets an agent do what {proposal.target_path} did not: {shown}{more}",
            f"read it, then say so: `armarius sleep adopt {proposal.id} {kinds}`",
        )
    live = hash_bytes(_live(Path(proposal.target_path)))
    if live not in (proposal.base_hash, proposal.proposed_hash):
        raise _changed(Path(proposal.target_path), live, proposal.base_hash)


def is_live(proposal: ProposalRow) -> bool:
    """Whether the proposed bytes are those of the live file now."""
    try:
        return hash_bytes(_live(Path(proposal.target_path))) == proposal.proposed_hash
    except (DataError, Refused):
        return False


def adopt(ledger: Database, clock: Clock, proposal: ProposalRow, allow: AbstractSet[Kind] = frozenset()) -> Change:
    """Put the proposed bytes in place of the live ones; `allow` is the owner's yes to new capabilities."""
    check_adoptable(proposal, allow)
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


def reject(ledger: Database, clock: Clock, proposal: ProposalRow, reason: str = "") -> Change:
    """Set a staged proposal aside; nothing live changes."""
    if proposal.state not in ("staged", "rejected"):
        raise DataError(
            "proposal-state", f"{proposal.id} is {proposal.state.replace('_', ' ')}", "see `armarius sleep status`"
        )
    now_us = clock.now_us()
    with ledger.transaction():
        changed = bool(ledger.execute(QUERIES.mark_rejected, id=proposal.id))
        if changed:
            body = {"reason": redact(reason)[:_LONGEST_REASON]}
            append_event(ledger, at_us=now_us, subject=proposal.id, kind="proposal_rejected", body=body)
    return Change(
        proposal=proposal.id,
        state="rejected",
        target=proposal.target_path,
        hash_before=proposal.base_hash,
        hash_after=proposal.base_hash,
        backup=str(Path(proposal.folder) / BASE),
        changed=changed,
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
    data = _pinned(proposal, source, wanted)
    with _alone(Path(proposal.folder)), _held(target) as held:
        seen = _look(held)
        found = hash_bytes(seen.data)
        if found not in (expected, wanted):
            raise _changed(target, found, expected)
        now_us = clock.now_us()
        if found != wanted:
            if not held.replace(seen, data):
                raise _changed_now(target)
            _write_receipt(proposal, state, found, wanted, now_us)
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


def _pinned(proposal: ProposalRow, name: str, wanted: str) -> bytes:
    """A file of the proposal; DataError when it is not what was staged."""
    path = Path(proposal.folder) / name
    data = read_bounded(path, MAX_SKILL)
    if hash_bytes(data) != wanted:
        raise DataError("proposal-changed", f"{path} is not what was staged", "run the night again")
    return data


def _changed(target: Path, found: str, expected: str) -> DataError:
    return DataError(
        "live-changed",
        f"{target} changed since: it is {found[:19]}…, expected {expected[:19]}…",
        "keep your change and run a new night on it, or restore the file",
    )


def _changed_now(target: Path) -> ArmariusError:
    """Somebody was at the file between the look at it and its replacement."""
    if os.path.realpath(target) != str(target):
        return _gone(target)
    return DataError("live-changed", f"{target} was written to at this very moment", "look at it, then try again")


def _write_receipt(proposal: ProposalRow, state: str, before: str, after: str, now_us: int) -> None:
    """What was put where, and what was there: beside the proposal, for whoever asks without the ledger."""
    receipt = {
        "schema": "armarius.adoption.v1",
        "proposal": proposal.id,
        "state": state,
        "target": proposal.target_path,
        "before": before,
        "after": after,
        "backup": str(Path(proposal.folder) / BASE),
        "decision": proposal.decision,
        "e_value": proposal.e_value,
        "at": rfc3339(now_us),
    }
    text = msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"
    write_atomic(Path(proposal.folder) / f"{state.replace('_', '-')}.json", text)


def _live(target: Path) -> bytes:
    with _held(target) as held:
        return _look(held).data


@contextlib.contextmanager
def _held(target: Path) -> Generator[HeldFile]:
    """The live file, in the folder that it was in when its path was found; Refused when a link leads there now."""
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(held_file(target, MAX_SKILL))
        except OSError as error:
            raise _gone(target) from error
        yield held


def _look(held: HeldFile) -> Seen:
    try:
        return held.look()
    except OSError as error:
        raise _gone(held.path) from error


def _gone(target: Path) -> ArmariusError:
    """Why there is no file to be read at a path."""
    leads_to = Path(os.path.realpath(target))
    if leads_to != target:
        why = "a link took the place of the file or its folder"
        return Refused("target-moved", f"{target} now leads to {leads_to}", why)
    if not os.path.lexists(target):
        return DataError("target-missing", f"no file at {target}", "restore it, or run a new night")
    return DataError("target-missing", f"{target} cannot be read as a file", "restore it, or run a new night")


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Two commands at once wait for each other; a killed one holds nothing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
