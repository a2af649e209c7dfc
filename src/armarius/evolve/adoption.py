"""Several proposals become live together, or none does.

Owns choosing proposals by the names of their skills, the journal of an adoption, and finishing one that was cut
short. Does not own the swap of one file (`staging`).
Invariant: nothing is touched before every proposal was found fit. From the first file to the last the journal says
which ones belong together; whoever comes next finishes it, or undoes it where a file has changed meanwhile. One
adoption at a time: a second command waits for the first.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Refused
from armarius.evolve import staging
from armarius.evolve.records import QUERIES, ProposalRow, find_proposal
from armarius.evolve.staging import Change
from armarius.files import locked, private_folder, read_bounded, write_atomic
from armarius.skills.capability import KINDS, Kind
from armarius.store.database import Database

__all__ = ["JOURNAL", "adopt_together", "choose", "finish"]

JOURNAL = "adoption.json"
_LOCK = "adoption.lock"
_LARGEST = 1 << 20
_MOST = 1_000


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The proposals of an adoption that is under way."""

    proposals: tuple[str, ...]


def choose(
    ledger: Database, names: Sequence[str], skills: Sequence[str], *, every: bool, project: str = ""
) -> list[ProposalRow]:
    """The proposals that are meant: by id, by the name of a skill, all that are staged, or the newest one.

    Of a `project` where one is named; an id is its own name.
    """
    if not names and not skills and not every:
        return [find_proposal(ledger, None, "staged", project)]
    chosen = {row.id: row for row in (find_proposal(ledger, name, "staged") for name in names)}
    rows = ledger.fetch(QUERIES.latest_proposals, ProposalRow, project=project, most=_MOST)
    staged = [row for row in rows if row.state == "staged"]
    if every:
        chosen |= {row.id: row for row in staged}
        if not chosen:
            raise DataError("proposal-none", "no proposal is staged", "see `armarius sleep status`")
    for skill in skills:
        found = [row for row in staged if _skill_of(row) == skill]
        if not found:
            known = ", ".join(sorted({_skill_of(row) for row in staged})) or "none"
            raise DataError("proposal-none", f"nothing is staged for a skill {skill!r}", f"staged: {known}")
        if len({row.target_path for row in found}) > 1:
            paths = ", ".join(sorted(row.target_path for row in found))
            raise DataError("proposal-ambiguous", f"several skills are called {skill!r}: {paths}", "name proposals")
        chosen[found[0].id] = found[0]
    rows = list(chosen.values())
    targets = [row.target_path for row in rows]
    if twice := {target for target in targets if targets.count(target) > 1}:
        raise DataError("proposal-ambiguous", f"two proposals for {min(twice)}", "name one of them")
    return rows


def adopt_together(
    ledger: Database, clock: Clock, proposals: Sequence[ProposalRow], home: Path, allow: AbstractSet[Kind]
) -> tuple[Change, ...]:
    """Make all of them live. One alone needs no journal: its file is replaced in one step."""
    for proposal in proposals:
        staging.check_adoptable(proposal, allow)
    if len(proposals) == 1:
        return (staging.adopt(ledger, clock, proposals[0], allow),)
    with locked(private_folder(home) / _LOCK):
        write_atomic(home / JOURNAL, msgspec.json.encode(_Journal(tuple(row.id for row in proposals))))
        try:
            changes = tuple(staging.adopt(ledger, clock, proposal, allow) for proposal in proposals)
        except (DataError, Refused):  # a file was changed at this very moment
            _finish(ledger, clock, home / JOURNAL)
            raise
        (home / JOURNAL).unlink()
    return changes


def finish(ledger: Database, clock: Clock, home: Path) -> tuple[Change, ...]:
    """Bring an adoption that was cut short to its end; what was done, nothing when there was none."""
    path = home / JOURNAL
    if not path.exists():
        return ()
    with locked(home / _LOCK):
        return _finish(ledger, clock, path) if path.exists() else ()


def _finish(ledger: Database, clock: Clock, path: Path) -> tuple[Change, ...]:
    try:
        journal = msgspec.json.decode(read_bounded(path, _LARGEST), type=_Journal)
    except msgspec.DecodeError as error:
        raise DataError("journal", f"{path}: {error}", "remove it, then see `armarius sleep status`") from error
    rows = [find_proposal(ledger, name, "") for name in journal.proposals]
    try:
        for row in rows:
            staging.check_adoptable(row, frozenset(KINDS))
    except (DataError, Refused):  # a file was changed since: none of them may stay
        changes = tuple(_undone(ledger, clock, row) for row in rows if staging.is_live(row))
    else:
        changes = tuple(staging.adopt(ledger, clock, row, frozenset(KINDS)) for row in rows)
    path.unlink()
    return changes


def _undone(ledger: Database, clock: Clock, row: ProposalRow) -> Change:
    """Take back one that is live; it may be that only its record is missing."""
    staging.adopt(ledger, clock, row, frozenset(KINDS))
    return staging.rollback(ledger, clock, find_proposal(ledger, row.id, ""))


def _skill_of(row: ProposalRow) -> str:
    return Path(row.target_path).parent.name
