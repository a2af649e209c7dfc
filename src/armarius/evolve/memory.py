"""What did not help before, so that nobody pays for it twice.

Owns which edits of earlier nights are remembered as unwanted. Does not own what is done about them.
Invariant: only what a gate or a person turned down is remembered, and only for the skill that it was for.
"""

from collections.abc import Iterable
from pathlib import Path

from armarius.evolve.records import QUERIES, NightRow, ProposalRow
from armarius.store.database import Database

__all__ = ["barred_by", "unwanted"]

_MOST_NIGHTS = 50


def unwanted(ledger: Database, target: Path) -> tuple[str, ...]:
    """Edits of this skill that a gate rejected, or a person rejected or rolled back; the newest first."""
    nights = ledger.fetch(QUERIES.ended_nights_of_target, NightRow, target_path=str(target), most=_MOST_NIGHTS)
    proposals = ledger.fetch(QUERIES.proposals_of_target, ProposalRow, target_path=str(target))
    state_of = {proposal.night_id: proposal.state for proposal in proposals}
    found = list[str]()
    for night in nights:
        report = night.outcome
        if report is None:
            continue
        if report.decision == "reject" or state_of.get(night.id) in ("rejected", "rolled_back"):
            found += report.accepted
    return tuple(dict.fromkeys(found))


def barred_by(nights: Iterable[NightRow]) -> frozenset[str]:
    """The hashes of the texts that nights on one base have judged."""
    reports = [night.outcome for night in nights]
    return frozenset(report.candidate_hash for report in reports if report is not None)
