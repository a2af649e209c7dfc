"""Which night this is.

Owns what a course is, and opening its next night with what is known by then. Does not own candidates.
Invariant: a course is everything that evidence depends on but the text of a candidate: the skill and its bytes, the
tasks with their judges, the model, effort and provider, the version of Codex, who rates. How edits are asked for is no
part of it. It has one open night at most, and whoever goes on with that begins with the same memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import Clock
from armarius.evolve.memory import Memory, memory_of
from armarius.evolve.records import QUERIES, NightRow
from armarius.evolve.tasks import Task
from armarius.identity import hash_value, new_id
from armarius.store.database import Database
from armarius.store.ledger import append_event

__all__ = ["Beginning", "course_of", "open_night"]


class Beginning(msgspec.Struct, frozen=True):
    """What is written down of a night at its beginning."""

    edit_budget: int
    max_tasks: int
    memory: Memory = Memory()


def course_of(base_hash: str, train: Sequence[Task], held_out: Sequence[Task], **facts: Any) -> str:
    """The name of a course; `facts` are those besides skill and tasks."""
    tasks = hash_value([[task.facts for task in side] for side in (train, held_out)])
    return hash_value({"base": base_hash, "tasks": tasks, **facts})


def open_night(
    ledger: Database,
    clock: Clock,
    *,
    course: str,
    project: Path,
    target: Path,
    base_hash: str,
    edit_budget: int,
    max_tasks: int,
    gated: bool,
) -> tuple[NightRow, Memory]:
    """The open night of a course, or the next one, and the memory that it began with."""
    nights = ledger.fetch(QUERIES.nights_of, NightRow, experiment=course)
    if not nights or nights[-1].ended_at_us is not None:
        beginning = Beginning(edit_budget, max_tasks, memory_of(ledger, target, course, base_hash, gated=gated))
        night_id, now_us, number = new_id("night", clock), clock.now_us(), len(nights) + 1
        with ledger.transaction():
            ledger.execute(
                QUERIES.insert_night,
                id=night_id,
                experiment=course,
                number=number,
                project=str(project),
                target_path=str(target),
                base_hash=base_hash,
                settings=msgspec.json.encode(beginning).decode(),
                now_us=now_us,
            )
            append_event(ledger, at_us=now_us, subject=night_id, kind="night_opened", body={"number": number})
        nights = ledger.fetch(QUERIES.nights_of, NightRow, experiment=course)
    return nights[-1], msgspec.json.decode(nights[-1].settings, type=Beginning).memory
