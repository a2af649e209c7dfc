"""What a night on a task file and a skill would do, without doing any of it.

Owns the short plan that the mock backend prints where both were named. Does not own its numbers (`forecast`), nor a
replay; it starts nothing, sends nothing and writes nothing.
Invariant: every number is the forecast's, so that a plan and a rehearsal of the same night never differ.
"""

import msgspec

from armarius.evolve.forecast import Ceiling, Choices, Forecast, forecast
from armarius.evolve.targets import Target
from armarius.evolve.tasks import Task, TaskFile
from armarius.skills.document import Document

__all__ = ["Rehearsal", "rehearse"]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a night (`armarius.rehearsal.v1`).

    `runs_least` is a night whose candidate wins every pair, `runs_most` one in which everybody uses every slot;
    both count the training replays and the reflection, and end at the `budget`. `bytes_per_run` is the skill and the
    mean task. `certifies` names the nights it takes at best, None when this number of tasks can never certify.
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
    budget: Ceiling | None = None
    schema: str = "armarius.rehearsal.v1"


def rehearse(target: Target, document: Document, tasks: TaskFile, most: int, choices: Choices) -> Rehearsal:
    """The plan for one night on the first `most` tasks, with these choices."""
    used = tasks.tasks[:most]
    size = len(document.render())
    plan = forecast(
        used,
        project=target.path.parent,
        target=target,
        skill_bytes=size,
        choices=choices,
        reviewed=tasks.reviewed,
    )
    return Rehearsal(
        target=str(target.path),
        skill=document.name,
        reviewed=tasks.reviewed,
        train_tasks=plan.train_tasks,
        held_out_tasks=plan.held_out_tasks,
        shape_only=plan.shape_only,
        runs_least=int(plan.runs.least),
        runs_most=int(plan.runs.most),
        bytes_per_run=size + _mean(used),
        certifies=plan.certifies,
        verdict=_verdict(plan, choices) + _idle(plan),
        budget=plan.budget,
    )


def _mean(tasks: tuple[Task, ...]) -> int:
    return sum(len(task.task.encode()) for task in tasks) // len(tasks)


def _idle(plan: Forecast) -> str:
    """What is said of held-out tasks that prove nothing, and so are not replayed."""
    if not plan.uncertifiable:
        return ""
    name, why = next(iter(plan.uncertifiable.items()))
    return f"; {len(plan.uncertifiable)} more cannot certify, such as {name}: {why}"


def _verdict(plan: Forecast, choices: Choices) -> str:
    held_out = plan.held_out_tasks
    if not choices.gate or (plan.budget and plan.budget.ends_it):
        return plan.verdict
    if plan.certifies is None:
        return f"{held_out} held-out tasks cannot certify any candidate; add tasks"
    if plan.certifies == 1:
        return f"{held_out} held-out tasks can certify a candidate tonight, if it wins clearly"
    return (
        f"{held_out} held-out tasks cannot certify tonight; at best after {plan.certifies} nights, the evidence is kept"
    )
