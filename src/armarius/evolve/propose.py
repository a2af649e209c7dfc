"""From training tasks to a candidate.

Owns the training replays, the reflection run and the edited document. Does not own the judgement.
Invariant: nothing that the reflection reads says anything of a held-out task. Held-out tasks are known here for
one purpose: a rule that repeats the words of their judges is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from armarius.errors import HostError
from armarius.evolve import reflect
from armarius.evolve.bench import Bench
from armarius.evolve.echo import echoed, echoed_together
from armarius.evolve.reading import reading_request
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.tasks import Task
from armarius.evolve.thinkers import Thinker
from armarius.identity import hash_bytes
from armarius.skills.document import Document
from armarius.skills.edit import Applied, Delete, Edit, Rejected, apply_edits

__all__ = ["Proposed", "Terms", "edit_line", "propose"]


class Terms(msgspec.Struct, frozen=True):
    """How edits are asked for and which are out of the question.

    `budget` edits at most, from `rollouts` tries of each training task. `told` are edits that did not help before,
    `on_trial` those that are before the gate, `barred` the hashes of texts that were judged. `sealed` are the tasks
    that judge.
    """

    budget: int = 4
    rollouts: int = 1
    preferences: str = ""
    told: tuple[str, ...] = ()
    on_trial: tuple[str, ...] = ()
    barred: frozenset[str] = frozenset()
    sealed: tuple[Task, ...] = ()


class Proposed(msgspec.Struct, frozen=True):
    """What came of the reflection: `applied` is None when no training task fails."""

    failing: int
    applied: Applied | None = None

    @property
    def why_nothing(self) -> str | None:
        """The reason why there is no candidate; None when there is one."""
        if self.applied is None:
            return "no training task fails its checks"
        return None if self.applied.accepted else "the reflection proposed no usable edit"


def propose(
    bench: Bench,
    lab: Lab,
    base: Document,
    train: Sequence[Task],
    *,
    observed: Mapping[str, Trial],
    terms: Terms,
    optimizer: Lab | None = None,
    think: Thinker | None = None,
) -> Proposed:
    """Find what fails, ask for edits, apply those that fit. HostError when replays or the reflection cannot be run.

    `optimizer` is the lab in which the reflection runs, if another model is to think about it; `think` is asked
    instead of Codex.
    """
    trials = _training(bench, lab, base, train, observed=observed, rollouts=terms.rollouts)
    failures = reflect.failures_of(train, trials)
    every = [trial for tries in trials for trial in tries]
    errors = [trial.error for trial in every if trial.score is None]
    if errors and not failures:  # nothing is known to fail, and nothing to be well either
        raise HostError(
            "training-failed",
            f"{len(errors)} of {len(every)} training replays have no score: {errors[0]}",
            "mend it and run the night again",
        )
    if not failures:
        return Proposed(0)
    known = {"rejected": terms.told, "on_trial": terms.on_trial}
    prompt = reflect.prompt_for(base.text, failures, terms.budget, terms.preferences, **known)
    parsed = _reflected(bench, optimizer or lab, prompt) if think is None else think.ask(prompt, reflect.SCHEMA)
    asked = reflect.read_edits(parsed)
    tasks = (*train, *terms.sealed)
    alone = [(one.edit, _why_not(one, failures, tasks)) for one in asked]
    refused = _together(base, alone, terms.budget, tasks)
    fit = [edit for edit, why in refused if why is None]
    applied = apply_edits(base, fit, terms.budget)
    if hash_bytes(applied.document.render()) in terms.barred:
        again = tuple(Rejected(edit, "this very text was judged before, and did not help") for edit in applied.accepted)
        applied = Applied(base, (), (*again, *applied.rejected))
    unfit = tuple(Rejected(edit, why) for edit, why in refused if why is not None)
    return Proposed(len(failures), msgspec.structs.replace(applied, rejected=(*unfit, *applied.rejected)))


def _reflected(bench: Bench, lab: Lab, prompt: str) -> Any:
    """What Codex makes of the prompt."""
    [result] = bench.all([reading_request(lab, "reflection", prompt, reflect.SCHEMA)], "reflect")
    if result.state != "succeeded":
        reason = result.problem.message if result.problem else result.state
        raise HostError("reflection-failed", f"the reflection run failed: {reason}", "mend it and run the night again")
    return result.parsed


def edit_line(edit: Edit) -> str:
    """An edit in one line, as reports and the memory of rejected ones have it."""
    fields = msgspec.to_builtins(edit)
    return " ".join(str(fields[name]) for name in ("op", "anchor", "text") if fields.get(name))


def _why_not(asked: reflect.Asked, failures: Sequence[reflect.Failure], tasks: Sequence[Task]) -> str | None:
    """Why an edit is not even tried; None when it is."""
    if (why := reflect.why_unsupported(asked, failures)) is not None:
        return why
    if isinstance(asked.edit, Delete):
        return None
    said = echoed(asked.edit.text, tasks)
    return None if said is None else f"it repeats {said}"


def _together(
    base: Document, judged: Sequence[tuple[Edit, str | None]], budget: int, tasks: Sequence[Task]
) -> list[tuple[Edit, str | None]]:
    """Each edit, and why it is refused: also because of what it would say with the rules around it."""
    fit = list[Edit]()
    found = list[tuple[Edit, str | None]]()
    for edit, why in judged:
        reason = why
        if reason is None:
            after = apply_edits(base, [*fit, edit], budget).document.rules
            said = echoed_together(base.rules, after, tasks)
            reason = None if said is None else f"with the rules around it, it repeats {said}"
        if reason is None:
            fit.append(edit)
        found.append((edit, reason))
    return found


def _training(
    bench: Bench, lab: Lab, base: Document, train: Sequence[Task], *, observed: Mapping[str, Trial], rollouts: int
) -> list[tuple[Trial, ...]]:
    """So many tries of each training task; the first is what was observed in sessions, if anything was."""
    text = base.render()
    jobs = [
        (task, number)
        for number in range(1, rollouts + 1)
        for task in train
        if number > 1 or task.task_id not in observed
    ]
    requests = [request_for(lab, task, text, arm="train", replicate=number) for task, number in jobs]
    tries: dict[str, list[Trial]] = {task.task_id: [] for task in train}
    for task in train:
        if task.task_id in observed:
            tries[task.task_id].append(observed[task.task_id])
    for (task, _), result in zip(jobs, bench.all(requests, "train"), strict=True):
        tries[task.task_id].append(trial_of(task, result, lab.look))
    return [tuple(tries[task.task_id]) for task in train]
