"""What did not help before, so that nobody pays for it twice.

Owns which edits of earlier nights are remembered as unwanted, which are on trial, and which texts were judged. Does
not own what is done about them.
Invariant: only what a gate or a person turned down is remembered as unwanted, and only for the skill that it was for.
What was set aside for want of room, or because the skill changed, was not turned down.
"""

from pathlib import Path

import msgspec

from armarius.evolve.candidates import edits_of
from armarius.evolve.propose import edit_line
from armarius.evolve.records import QUERIES, CandidateRow, NightRow
from armarius.store.database import Database

__all__ = ["Memory", "memory_of"]

_MOST = 50


class Memory(msgspec.Struct, frozen=True):
    """What a night knows at its beginning, in words: unwanted edits, those on trial, and hashes of judged texts."""

    told: tuple[str, ...] = ()
    on_trial: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()


def memory_of(ledger: Database, target: Path, course: str, base_hash: str, *, gated: bool) -> Memory:
    """The memory for a night of this course. Without the gate, what was staged so before does not come again."""
    undecided = ledger.fetch(QUERIES.open_candidates_of, CandidateRow, target_path=str(target))
    # Those on another base begin anew on this one; those on other tasks or another model wait for these.
    under_way = [row for row in undecided if row.course == course or row.base_hash != base_hash]
    over = ("rejected", "certified") if gated else ("rejected", "certified", "ungated")
    judged = [
        row.proposed_hash
        for row in ledger.fetch(QUERIES.candidates_of_course, CandidateRow, course=course)
        if row.state in over
    ]
    return Memory(
        told=_unwanted(ledger, target),
        on_trial=tuple(dict.fromkeys(line for row in under_way for line in _lines(row))),
        barred=tuple(sorted(judged)),
    )


def _unwanted(ledger: Database, target: Path) -> tuple[str, ...]:
    """Edits of this skill that a gate or a person turned down; the newest first."""
    found = dict[str, int]()
    for row in ledger.fetch(QUERIES.rejected_candidates_of, CandidateRow, target_path=str(target), most=_MOST):
        for line in _lines(row):
            found.setdefault(line, row.ended_at_us or 0)
    nights = ledger.fetch(QUERIES.nights_turned_down, NightRow, target_path=str(target))
    for night in nights:
        for line in night.outcome.accepted if night.outcome else ():
            found.setdefault(line, night.ended_at_us or 0)
    return tuple(sorted(found, key=lambda line: -found[line]))


def _lines(row: CandidateRow) -> list[str]:
    return [edit_line(edit) for edit in edits_of(row)]
