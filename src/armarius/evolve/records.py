"""Nights, candidates, evidence and proposals, as rows of the ledger.

Owns every statement of evolve. Does not own the decision or the files.
Invariant: evidence has one order, its ordinals, and a pair once written is never changed.
"""

from pathlib import Path

import msgspec

from armarius.errors import DataError
from armarius.evolve.report import NightReport
from armarius.gate.decision import Pair
from armarius.store.database import Database
from armarius.store.queries import load

__all__ = [
    "QUERIES",
    "CandidateRow",
    "EvidenceRow",
    "NightRow",
    "ProposalRow",
    "RoundRow",
    "find_candidate",
    "find_proposal",
    "kept_pairs",
]

QUERIES = load(Path(__file__).with_name("queries.sql"))
_MOST_KNOWN = 1_000
_MOST_SHOWN = 5


class NightRow(msgspec.Struct, frozen=True):
    """A night; `report` is the JSON of its `NightReport` once it is over, `settings` that of what it began with.

    `experiment` names its course: all that evidence depends on but the text of a candidate.
    """

    id: str
    experiment: str
    number: int
    project: str
    target_path: str
    base_hash: str
    state: str
    created_at_us: int
    report: str | None = None
    settings: str = "{}"
    ended_at_us: int | None = None

    @property
    def outcome(self) -> NightReport | None:
        return None if self.report is None else msgspec.json.decode(self.report, type=NightReport)


class CandidateRow(msgspec.Struct, frozen=True):
    """A text that may replace a skill's; `edits` and `shown` are JSON."""

    id: str
    experiment: str
    course: str
    night_id: str
    target_path: str
    base_hash: str
    proposed_hash: str
    edits: str
    shown: str
    state: str
    reason: str
    created_at_us: int
    ended_at_us: int | None = None


class RoundRow(msgspec.Struct, frozen=True):
    """A candidate's share of a night: the `number`-th night of its gate."""

    candidate_id: str
    number: int
    night_id: str
    place: int


class EvidenceRow(msgspec.Struct, frozen=True):
    """One pair of replays; `night` is the round of its candidate."""

    ordinal: int
    night: int
    task: str
    baseline: float | None = None
    candidate: float | None = None
    baseline_run: str | None = None
    candidate_run: str | None = None

    @property
    def has_score(self) -> bool:
        return self.baseline is not None and self.candidate is not None

    @property
    def pair(self) -> Pair:
        return Pair(self.night, self.task, self.baseline, self.candidate)


class ProposalRow(msgspec.Struct, frozen=True):
    """A staged candidate and what became of it."""

    id: str
    night_id: str
    target_path: str
    base_hash: str
    proposed_hash: str
    folder: str
    decision: str
    e_value: float
    state: str
    created_at_us: int
    adopted_at_us: int | None = None
    rolled_back_at_us: int | None = None


def kept_pairs(ledger: Database, candidate_id: str) -> list[EvidenceRow]:
    """The evidence on a candidate so far, in order."""
    return ledger.fetch(QUERIES.evidence_of, EvidenceRow, candidate_id=candidate_id)


def find_candidate(ledger: Database, name: str) -> CandidateRow:
    """The candidate `name` names by id or unique prefix."""
    rows = ledger.fetch(QUERIES.candidates_by_prefix, CandidateRow, prefix=name)
    if not rows:
        raise DataError("candidate-unknown", f"no candidate {name!r}", "see `armarius sleep status`")
    if len(rows) > 1:
        raise DataError("candidate-ambiguous", f"{name!r} begins more than one candidate", "write more of its id")
    return rows[0]


def find_proposal(ledger: Database, name: str | None, state: str, project: str = "") -> ProposalRow:
    """The proposal `name` names by id or unique prefix; without one what last came into `state`, of a project."""
    if name is None:
        row = ledger.fetch_one(QUERIES.latest_proposal_in_state, ProposalRow, state=state, project=project)
        if row is None:
            where = f" in {project}" if project else ""
            message = f"no proposal is {state.replace('_', ' ')}{where}"
            raise DataError("proposal-none", message, "see `armarius sleep status`")
        return row
    prefix = name if name.startswith("prop_") else f"prop_{name}"
    rows = ledger.fetch(QUERIES.proposals_by_prefix, ProposalRow, prefix=prefix)
    if not rows or not name:  # an empty variable of a script is no name
        raise DataError("proposal-unknown", f"no proposal {name!r}", _known(ledger, state))
    if len(rows) > 1:
        raise DataError("proposal-ambiguous", f"{name!r} begins more than one proposal", "write more of its id")
    return rows[0]


def _known(ledger: Database, state: str) -> str:
    """The proposals that may have been meant: the newest in that state, else the newest there are."""
    rows = ledger.fetch(QUERIES.latest_proposals, ProposalRow, project="", most=_MOST_KNOWN)
    names = [row.id for row in rows if row.state == state] or [row.id for row in rows]
    known = f"known: {', '.join(names[:_MOST_SHOWN])}; " if names else ""
    return f"{known}see `armarius sleep status`"
