"""What a night would do, without doing any of it.

Owns the plan that the mock backend prints: sides, runs, sizes, and what this number of tasks can
show. Does not own a replay; it starts nothing, sends nothing and writes nothing.
Invariant: every number follows from the task file, the skill and the gate's own rules.
"""

from pathlib import Path

import msgspec

from armarius.evolve.tasks import Task, TaskFile, split_tasks
from armarius.gate.decision import DEFAULT, Answer, best_case
from armarius.gate.rounds import ROUNDS_A_NIGHT
from armarius.skills.document import read_document

__all__ = ["Rehearsal", "rehearse"]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a night (`armarius.rehearsal.v1`).

    `runs_least` is a night whose candidate wins every pair, `runs_most` one in which everybody uses every slot;
    both count the training replays and the reflection. `bytes_per_run` is the skill and the mean task.
    `certifies` names the nights it takes at best, None when this number of tasks can never certify.
    """

    target: str
    skill: str
    reviewed: bool
    train_tasks: int
    held_out_tasks: int
    shape_only: bool
    runs_least: int
    runs_most: int
    bytes_per_run: int
    certifies: int | None
    verdict: str
    backend: str = "mock"
    schema: str = "armarius.rehearsal.v1"


def rehearse(target: Path, tasks: TaskFile, most: int, *, undecided: int = 0) -> Rehearsal:
    """The plan for one night on the first `most` tasks, beside so many undecided candidates."""
    document = read_document(target)
    used = tasks.tasks[:most]
    train, sealed = split_tasks(used)
    held_out = tuple(task for task in sealed if task.why_uncertifiable is None)
    nights = range(1, DEFAULT.nights + 1)
    possible = [night for night in nights if held_out and best_case(len(held_out), night).answer is Answer.ADOPT]
    certifies = possible[0] if possible else None
    wins = (1 if undecided else best_case(len(held_out), 1).pairs_used) if held_out else 0
    rounds = min(undecided + 1, ROUNDS_A_NIGHT)
    return Rehearsal(
        target=str(target),
        skill=document.name,
        reviewed=tasks.reviewed,
        train_tasks=len(train),
        held_out_tasks=len(held_out),
        shape_only=all(task.judge.shape_only for task in held_out),
        runs_least=len(train) + 1 + 2 * wins,
        runs_most=len(train) + 1 + 2 * DEFAULT.pairs_a_night * len(held_out) * rounds,
        bytes_per_run=len(document.render()) + sum(len(task.task.encode()) for task in used) // len(used),
        certifies=certifies,
        verdict=_verdict(len(held_out), certifies) + _idle(sealed),
    )


def _idle(sealed: tuple[Task, ...]) -> str:
    """What is said of held-out tasks that prove nothing, and so are not replayed."""
    idle = [task for task in sealed if task.why_uncertifiable is not None]
    if not idle:
        return ""
    return f"; {len(idle)} more cannot certify, such as {idle[0].task_id}: {idle[0].why_uncertifiable}"


def _verdict(held_out: int, certifies: int | None) -> str:
    if certifies is None:
        return f"{held_out} held-out tasks cannot certify any candidate; add tasks"
    if certifies == 1:
        return f"{held_out} held-out tasks can certify a candidate tonight, if it wins clearly"
    return f"{held_out} held-out tasks cannot certify tonight; at best after {certifies} nights, the evidence is kept"
