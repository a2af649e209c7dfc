"""The candidates of a night before the gate, one after the other.

Owns the order in which they are heard, what each must not lose, and which of them the night is about. Does not own the
division of replays (`gate.rounds`), the decision on one (`held_out`), nor what becomes of it.
Invariant: each candidate has a gate, evidence and replays of its own. Once one is certified, nobody else is heard.
"""

from collections.abc import Iterable, Sequence

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.evolve.attribution import shares_of
from armarius.evolve.bench import Bench
from armarius.evolve.candidates import remade
from armarius.evolve.held_out import Candidate, try_candidate
from armarius.evolve.propose import edit_line
from armarius.evolve.records import QUERIES, CandidateRow, EvidenceRow, NightRow, RoundRow, kept_pairs
from armarius.evolve.replay import Lab, Metric
from armarius.evolve.report import CandidateLine, PairLine, Retained, Share
from armarius.evolve.retention import Suite, retained_on
from armarius.evolve.tasks import Task
from armarius.gate.decision import Answer, Decision
from armarius.redact import redact
from armarius.runs.records import QUERIES as RUNS
from armarius.runs.records import RunRow
from armarius.skills.document import Document
from armarius.skills.edit import Applied
from armarius.store.database import Database

__all__ = ["Court", "Heard", "hear_all", "leading", "line_of"]


_LONGEST_WHY = 200


class Court(msgspec.Struct, frozen=True):
    """What all candidates of a night are heard with."""

    bench: Bench
    lab: Lab
    ledger: Database
    clock: Clock
    document: Document
    held_out: Sequence[Task]
    shown: frozenset[str]
    metric: Metric
    suite: Suite


class Heard(msgspec.Struct, frozen=True):
    """A candidate's round: what the gate said, and what that rests on."""

    row: CandidateRow
    round: int
    applied: Applied
    decision: Decision
    answer: str
    reason: str
    retained: Retained = Retained()
    shares: tuple[Share, ...] = ()


def hear_all(court: Court, night: NightRow, rounds: Iterable[RoundRow]) -> list[Heard]:
    """Every round of the night in its order, until a candidate is certified."""
    found = list[Heard]()
    for one in rounds:
        row = _still_open(court.ledger, one.candidate_id)
        if row is None:  # somebody turned it down since
            continue
        found.append(_hear(court, night, row, one.number))
        if found[-1].answer == "adopt":
            break
    return found


def leading(heard: Sequence[Heard]) -> Heard | None:
    """The one that the night is about: certified, else undecided with the best evidence, else the latest of all."""
    certified = [one for one in heard if one.answer == "adopt"]
    undecided = sorted(
        (one for one in heard if one.answer in ("trial", "continue")), key=lambda one: -one.decision.e_value
    )
    return next(iter((*certified, *undecided, *reversed(heard))), None)


def line_of(ledger: Database, night: NightRow, one: Heard) -> CandidateLine:
    """A round as reports have it."""
    return CandidateLine(
        id=one.row.id,
        round=one.round,
        is_new=one.round == 1 and one.row.created_at_us >= night.created_at_us,
        edits=tuple(map(edit_line, one.applied.accepted)),
        candidate_hash=one.row.proposed_hash,
        decision=one.answer,
        reason=one.reason,
        e_value=one.decision.e_value,
        pairs_used=one.decision.pairs_used,
        pairs_ignored=one.decision.pairs_ignored,
        nights=one.decision.nights,
        worth=one.decision.worth,
        pairs=tuple(
            PairLine(row.night, row.task, row.baseline, row.candidate, _why_lost(ledger, row))
            for row in kept_pairs(ledger, one.row.id)
        ),
    )


def _hear(court: Court, night: NightRow, row: CandidateRow, number: int) -> Heard:
    """What the gate makes of a candidate, and then the tasks that it must not lose."""
    applied = remade(row, court.document)
    if applied is None:
        raise DataError(
            "candidate-changed",
            f"the edits of {row.id} do not make its text any more",
            f"turn it down: `armarius sleep reject {row.id}`",
        )
    lab = msgspec.structs.replace(court.lab, experiment=row.experiment)
    candidate = Candidate(
        id=row.id,
        round=number,
        base=court.document.render(),
        proposed=applied.document.render(),
        held_out={task.task_id: task for task in court.held_out},
        shown=court.shown,
        metric=court.metric,
    )
    decision = try_candidate(candidate, bench=court.bench, lab=lab, ledger=court.ledger, clock=court.clock, night=night)
    heard = Heard(row, number, applied, decision, decision.answer.value, decision.reason)
    if decision.answer is not Answer.ADOPT:
        return heard
    retained = retained_on(court.bench, lab, court.suite, candidate.base, candidate.proposed)
    if retained.lost:
        why = f"it loses {', '.join(retained.lost)}"
        return msgspec.structs.replace(heard, answer="reject", reason=why, retained=retained)
    shares = shares_of(
        court.bench,
        lab,
        court.document,
        edits=applied.accepted,
        candidate=candidate,
        evidence=kept_pairs(court.ledger, row.id),
    )
    return msgspec.structs.replace(heard, retained=retained, shares=shares)


def _why_lost(ledger: Database, pair: EvidenceRow) -> str:
    """Why a pair has no score: what became of its first replay without one; empty when it has one."""
    runs = ((pair.baseline, pair.baseline_run), (pair.candidate, pair.candidate_run))
    name = next((run for score, run in runs if score is None), None)
    row = ledger.fetch_one(RUNS.run_by_id, RunRow, id=name) if name else None
    if row is None:
        return ""
    if row.state == "succeeded":
        return "its checks could not be applied"
    return redact(" ".join((row.error_message or row.state).split()))[:_LONGEST_WHY]


def _still_open(ledger: Database, name: str) -> CandidateRow | None:
    [row] = ledger.fetch(QUERIES.candidates_by_prefix, CandidateRow, prefix=name)
    return row if row.state == "open" else None
