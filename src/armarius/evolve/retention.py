"""What a skill has learned before stays learned, and what must never happen does not begin to.

Owns the suite (tasks of earlier adoptions, and those marked as safety) and the test of non-inferiority on it. Does
not own the decision on the gain (gate/).
Invariant: a loss is one that the skill before does not have, seen again in two of two further replays. A replay
without a score is no loss; it is told of.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.errors import ArmariusError
from armarius.evolve.bench import Bench
from armarius.evolve.records import QUERIES, ProposalRow
from armarius.evolve.replay import Lab, request_for, trial_of
from armarius.evolve.report import Retained
from armarius.evolve.tasks import Task, fold_task, join_rows, read_tasks, render_tasks
from armarius.files import write_atomic
from armarius.store.database import Database

__all__ = ["KEPT", "MOST_LOOKS", "Suite", "retained_on", "suite_for", "write_kept"]

KEPT = "held-out.json"
"""The tasks that judged a proposal, in its folder."""

_MOST = 20
_AGAIN = 2

MOST_LOOKS = 2 + _AGAIN
"""Replays of a task: with the candidate, with the skill before, and again with the candidate."""


class Suite(msgspec.Struct, frozen=True):
    """The tasks that a candidate must not lose."""

    safety: tuple[Task, ...] = ()
    earlier: tuple[Task, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (*self.safety, *self.earlier)


def suite_for(ledger: Database, target: Path, tasks: Sequence[Task], held_out: Sequence[Task]) -> Suite:
    """The suite of a skill: safety tasks of the file at hand, and what judged its adopted proposals, newest first."""
    known = {fold_task(task.task) for task in held_out}
    earlier = list[Task]()
    for proposal in ledger.fetch(QUERIES.proposals_of_target, ProposalRow, target_path=str(target)):
        if proposal.state != "adopted":
            continue
        for task in _judges_of(proposal):
            text = fold_task(task.task)
            if text not in known:
                known.add(text)
                earlier.append(task)
    return Suite(tuple(task for task in tasks if task.split == "safety"), tuple(earlier[:_MOST]))


def retained_on(bench: Bench, lab: Lab, suite: Suite, base: bytes, proposed: bytes) -> Retained:
    """Replay the suite with the candidate; what fails is replayed with the skill before, and again."""
    firsts = _passes(bench, lab, suite.tasks, proposed, arm="retain-candidate", replicate=1)
    failed = [task for task, passed in zip(suite.tasks, firsts, strict=True) if passed is False]
    before = _passes(bench, lab, failed, base, arm="retain-baseline", replicate=1)
    suspects = [task for task, passed in zip(failed, before, strict=True) if passed]
    again = range(2, 2 + _AGAIN)
    rounds = [_passes(bench, lab, suspects, proposed, arm="retain-candidate", replicate=n) for n in again]
    lost = [task for place, task in enumerate(suspects) if all(one[place] is False for one in rounds)]
    return Retained(
        len(suite.tasks),
        tuple(task.task_id for task in lost),
        tuple(task.task_id for task, passed in zip(suite.tasks, firsts, strict=True) if passed is None),
    )


def write_kept(folder: Path, held_out: Sequence[Task]) -> None:
    """Keep what judged a proposal beside it."""
    if held_out:
        write_atomic(folder / KEPT, render_tasks(join_rows((), held_out, reviewed=True)))


def _passes(
    bench: Bench, lab: Lab, tasks: Sequence[Task], skill: bytes, *, arm: str, replicate: int
) -> list[bool | None]:
    """Whether each task holds all its checks; None where there is no score."""
    if not tasks:
        return []
    requests = [request_for(lab, task, skill, arm=arm, replicate=replicate) for task in tasks]
    trials = [
        trial_of(task, result, lab.look) for task, result in zip(tasks, bench.all(requests, "retain"), strict=True)
    ]
    return [None if (value := trial.valued("hard")) is None else value == 1 for trial in trials]


def _judges_of(proposal: ProposalRow) -> tuple[Task, ...]:
    """The tasks in the folder of a proposal; none when they are not there any more, or not readable by us."""
    try:
        return read_tasks(Path(proposal.folder) / KEPT).tasks
    except ArmariusError:
        return ()
