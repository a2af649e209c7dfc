"""The undecided candidates of a skill, side by side.

Owns what a candidate is, how it becomes open, is taken over to another base, gets its rounds and ends. Does not own
who proposes it, its replays, nor the decision.
Invariant: one text on one course is one candidate with one body of evidence, whoever proposes it again. Evidence on
one base is none on another: there the same edits are a new candidate with nothing behind it. The rounds of a night
are written down before the first of them begins, and are not dealt out again.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import Clock, rfc3339
from armarius.errors import ArmariusError, DataError
from armarius.evolve.echo import echoed, echoed_together
from armarius.evolve.propose import edit_line
from armarius.evolve.records import QUERIES, CandidateRow, NightRow, RoundRow, kept_pairs
from armarius.evolve.staging import Change
from armarius.evolve.tasks import Task, fold_task
from armarius.files import read_bounded
from armarius.gate.decision import Decision, decide
from armarius.gate.rounds import MOST_OPEN, Standing, in_excess, rounds_tonight
from armarius.identity import hash_bytes, hash_value, new_id
from armarius.redact import redact
from armarius.skills.document import MAX_SKILL, Document
from armarius.skills.edit import Applied, Delete, Edit, apply_edits
from armarius.store.database import Database
from armarius.store.ledger import append_event, events_of

__all__ = [
    "OpenCandidate",
    "befallen",
    "carry_over",
    "divide",
    "edits_of",
    "enter",
    "remade",
    "standing_of",
    "turn_down",
    "undecided",
]

_VOID, _DROPPED = "candidate_void", "candidate_dropped"
_CHANGED = "the skill changed"
_LONGEST_REASON = 2_000


def enter(
    ledger: Database, clock: Clock, night: NightRow, *, applied: Applied, train: Iterable[Task], gated: bool = True
) -> CandidateRow:
    """The candidate that these edits make: a new one, or the one that has this text already."""
    with ledger.transaction():
        return _enter(
            ledger,
            clock,
            night,
            applied=applied,
            shown=sorted({_mark(task) for task in train}),
            created_at_us=clock.now_us(),
            gated=gated,
        )


class OpenCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """An undecided candidate and its evidence so far; `rounds` of its `nights` are over. `note`: what is in its way."""

    id: str
    target: str
    edits: tuple[str, ...]
    rounds: int
    decision: str
    e_value: float
    pairs_used: int
    pairs_ignored: int
    nights: int
    wins: int
    losses: int
    ties: int
    proposed_in: str
    created_at: str
    note: str = ""


def undecided(ledger: Database, project: str = "") -> tuple[OpenCandidate, ...]:
    """Those of a project, or all of them, in the order in which they were proposed."""
    rows = ledger.fetch(QUERIES.open_candidates, CandidateRow, project=project)
    return tuple(_shown_open(ledger, row) for row in rows)


def carry_over(
    ledger: Database,
    clock: Clock,
    night: NightRow,
    document: Document,
    *,
    train: Sequence[Task],
    held_out: Sequence[Task],
) -> None:
    """Candidates on what the skill was before begin anew on what it is, where they still can; done once."""
    for row in ledger.fetch(QUERIES.open_candidates_of, CandidateRow, target_path=night.target_path):
        if row.base_hash == night.base_hash:
            continue
        applied = apply_edits(document, edits_of(row), len(edits_of(row)))
        why = _why_not_anew(ledger, night, row, document=document, applied=applied, train=train, held_out=held_out)
        with ledger.transaction():
            anew = ""
            if why is None:
                seen = sorted({*_shown(row), *map(_mark, train)})
                anew = _enter(ledger, clock, night, applied=applied, shown=seen, created_at_us=row.created_at_us).id
            now_us = clock.now_us()
            reason = _CHANGED if why is None else f"{_CHANGED}, and {why}"
            ledger.execute(QUERIES.end_candidate, id=row.id, state="void", reason=reason, now_us=now_us)
            body = {"candidate": row.id, "reason": reason, "anew": anew}
            append_event(ledger, at_us=now_us, subject=night.id, kind=_VOID, body=body)


def divide(ledger: Database, clock: Clock, night: NightRow) -> list[RoundRow]:
    """Deal out the rounds of a night, or read how they were dealt out."""
    with ledger.transaction():
        known = ledger.fetch(QUERIES.rounds_of_night, RoundRow, night_id=night.id)
        if known:
            return known
        rows = ledger.fetch(QUERIES.open_candidates_of, CandidateRow, target_path=night.target_path)
        here = [_standing(ledger, row) for row in rows if row.course == night.experiment]
        elsewhere = [_standing(ledger, row) for row in rows if row.course != night.experiment]
        gone = in_excess(here)
        # What waits for other tasks or another model to come back has no claim to the room of those at work.
        gone += in_excess(elsewhere, MOST_OPEN - len(here) + len(gone))
        for name in gone:
            now_us, reason = clock.now_us(), "others promised more, and there is room for so many only"
            ledger.execute(QUERIES.end_candidate, id=name, state="dropped", reason=reason, now_us=now_us)
            body = {"candidate": name, "reason": reason}
            append_event(ledger, at_us=now_us, subject=night.id, kind=_DROPPED, body=body)
        for place, name in enumerate(rounds_tonight([one for one in here if one.name not in gone])):
            ledger.execute(QUERIES.insert_round, candidate_id=name, night_id=night.id, place=place)
        return ledger.fetch(QUERIES.rounds_of_night, RoundRow, night_id=night.id)


def standing_of(ledger: Database, row: CandidateRow) -> tuple[int, Decision]:
    """How many rounds of a candidate are over, and what its evidence says so far."""
    [over] = ledger.fetch(QUERIES.rounds_over, candidate_id=row.id)
    pairs = [kept.pair for kept in kept_pairs(ledger, row.id)]
    return over["number"], decide(pairs, nights_over=over["number"])


def befallen(ledger: Database, night_id: str) -> tuple[str, ...]:
    """What became of candidates in a night before any was judged, in sentences."""
    found = [event for event in events_of(ledger, night_id) if event.kind in (_VOID, _DROPPED)]
    return tuple(_said(event.kind, msgspec.json.decode(event.body)) for event in found)


def turn_down(ledger: Database, clock: Clock, row: CandidateRow, reason: str) -> Change:
    """A person does not want it; nothing live changes."""
    if row.state not in ("open", "rejected"):
        raise DataError("candidate-state", f"{row.id} is {row.state}: {row.reason}", "see `armarius sleep status`")
    now_us, why = clock.now_us(), "a person turned it down"
    with ledger.transaction():
        changed = bool(ledger.execute(QUERIES.end_candidate, id=row.id, state="rejected", reason=why, now_us=now_us))
        if changed:
            body = {"reason": redact(reason)[:_LONGEST_REASON]}
            append_event(ledger, at_us=now_us, subject=row.id, kind="candidate_rejected", body=body)
    return Change(
        proposal=row.id,
        state="rejected",
        target=row.target_path,
        hash_before=row.base_hash,
        hash_after=row.base_hash,
        backup="",
        changed=changed,
    )


def edits_of(row: CandidateRow) -> tuple[Edit, ...]:
    return msgspec.json.decode(row.edits, type=tuple[Edit, ...])


def remade(row: CandidateRow, document: Document) -> Applied | None:
    """The candidate's text; None when its edits do not make it any more."""
    applied = apply_edits(document, edits_of(row), len(edits_of(row)))
    return applied if hash_bytes(applied.document.render()) == row.proposed_hash else None


def _standing(ledger: Database, row: CandidateRow) -> Standing:
    return Standing(row.id, standing_of(ledger, row)[1].e_value)


def _shown_open(ledger: Database, row: CandidateRow) -> OpenCandidate:
    rounds, now = standing_of(ledger, row)
    return OpenCandidate(
        id=row.id,
        target=row.target_path,
        edits=tuple(edit_line(edit) for edit in edits_of(row)),
        rounds=rounds,
        decision=now.answer.value,
        e_value=now.e_value,
        pairs_used=now.pairs_used,
        pairs_ignored=now.pairs_ignored,
        nights=now.nights,
        wins=now.wins,
        losses=now.losses,
        ties=now.ties,
        proposed_in=row.night_id,
        created_at=rfc3339(row.created_at_us),
        note=_in_the_way(row),
    )


def _in_the_way(row: CandidateRow) -> str:
    """Why its evidence is not carried on as things are; empty when nothing is in the way."""
    try:
        live = read_bounded(Path(row.target_path), MAX_SKILL)
    except ArmariusError as error:
        return error.message
    return "" if hash_bytes(live) == row.base_hash else f"{_CHANGED}: the next night judges its edits anew, if they fit"


def _enter(
    ledger: Database,
    clock: Clock,
    night: NightRow,
    *,
    applied: Applied,
    shown: list[str],
    created_at_us: int,
    gated: bool = True,
) -> CandidateRow:
    experiment = _experiment(night, applied)
    ledger.execute(
        QUERIES.insert_candidate,
        id=new_id("cand", clock),
        experiment=experiment,
        course=night.experiment,
        night_id=night.id,
        target_path=night.target_path,
        base_hash=night.base_hash,
        proposed_hash=hash_bytes(applied.document.render()),
        edits=msgspec.json.encode(applied.accepted).decode(),
        shown=msgspec.json.encode(shown).decode(),
        state="open" if gated else "ungated",
        created_at_us=created_at_us,
        ended_at_us=None if gated else created_at_us,
    )
    if gated:
        ledger.execute(QUERIES.reopen_candidate, experiment=experiment)
    [row] = ledger.fetch(QUERIES.candidate_of_experiment, CandidateRow, experiment=experiment)
    return row


def _why_not_anew(
    ledger: Database,
    night: NightRow,
    row: CandidateRow,
    *,
    document: Document,
    applied: Applied,
    train: Sequence[Task],
    held_out: Sequence[Task],
) -> str | None:
    """Why a candidate does not begin anew on this night's base; None when it does."""
    if applied.rejected:
        return f"its edits do not fit any more: {applied.rejected[0].reason}"
    if any(_mark(task) in _shown(row) for task in held_out):
        return "its proposer saw a task that judges now"
    tasks = (*train, *held_out)
    said = (echoed(edit.text, tasks) for edit in edits_of(row) if not isinstance(edit, Delete))
    if words := next(filter(None, said), None) or echoed_together(document.rules, applied.document.rules, tasks):
        return f"it repeats {words}"
    known = ledger.fetch_one(QUERIES.candidate_of_experiment, CandidateRow, experiment=_experiment(night, applied))
    if known is not None and known.state in ("rejected", "certified"):
        return "the text that it would make was judged before"
    return None


def _experiment(night: NightRow, applied: Applied) -> str:
    return hash_value({"course": night.experiment, "text": hash_bytes(applied.document.render())})


def _mark(task: Task) -> str:
    """Stands for the text of a task, whatever its name."""
    return hash_bytes(fold_task(task.task).encode())


def _shown(row: CandidateRow) -> frozenset[str]:
    return frozenset(msgspec.json.decode(row.shown, type=list[str]))


def _said(kind: str, body: dict[str, Any]) -> str:
    if kind == _DROPPED:
        return f"{body['candidate']} was dropped: {body['reason']}."
    if body["anew"]:
        return f"{body['candidate']} is void: {body['reason']}. Its edits are judged anew as {body['anew']}."
    return f"{body['candidate']} is void: {body['reason']}."
