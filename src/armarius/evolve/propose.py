"""From training tasks to a candidate.

Owns the training replays, the reflection run and the edited document. Does not own the judgement.
Invariant: nothing here is told of a held-out task.
"""

from collections.abc import Mapping, Sequence

import msgspec

from armarius.codex.home import make_private_home
from armarius.dispatch.request import RunRequest
from armarius.errors import HostError
from armarius.evolve import reflect
from armarius.evolve.bench import Bench
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.tasks import Task
from armarius.files import private_folder
from armarius.identity import hash_bytes, hash_value
from armarius.skills.document import Document
from armarius.skills.edit import Applied, apply_edits
from armarius.thread import Sandbox

__all__ = ["Proposed", "propose"]


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
    bench: Bench, lab: Lab, base: Document, train: Sequence[Task], *, observed: Mapping[str, Trial], budget: int
) -> Proposed:
    """Find what fails, ask for edits, apply those that fit. HostError when replays or the reflection cannot be run."""
    trials = _training(bench, lab, base, train, observed)
    failures = reflect.failures_of(train, trials)
    errors = [trial.error for trial in trials if trial.score is None]
    if errors and not failures:  # nothing is known to fail, and nothing to be well either
        raise HostError(
            "training-failed",
            f"{len(errors)} of {len(trials)} training replays have no score: {errors[0]}",
            "mend it and run the night again",
        )
    if not failures:
        return Proposed(0)
    prompt = reflect.prompt_for(base.text, failures, budget)
    [result] = bench.all([_reflection(lab, prompt)], "reflect")
    if result.state != "succeeded":
        reason = result.problem.message if result.problem else result.state
        raise HostError("reflection-failed", f"the reflection run failed: {reason}", "mend it and run the night again")
    return Proposed(len(failures), apply_edits(base, reflect.read_edits(result.parsed), budget))


def _training(
    bench: Bench, lab: Lab, base: Document, train: Sequence[Task], observed: Mapping[str, Trial]
) -> list[Trial]:
    """A trial for each training task: as observed in sessions, else replayed."""
    unseen = [task for task in train if task.task_id not in observed]
    requests = [request_for(lab, task, base.render(), arm="train", replicate=1) for task in unseen]
    results = bench.all(requests, "train")
    fresh = {task.task_id: trial_of(task, result) for task, result in zip(unseen, results, strict=True)}
    return [fresh.get(task.task_id) or observed[task.task_id] for task in train]


def _reflection(lab: Lab, prompt: str) -> RunRequest:
    """The run that reads the failures: read-only, without skills, its answer bound by a schema."""
    key = hash_value({"experiment": lab.experiment, "reflection": hash_bytes(prompt.encode())})
    world = private_folder(lab.folder / key.removeprefix("sha256:")[:24])
    return RunRequest(
        role="reflection",
        prompt=prompt,
        cwd=str(private_folder(world / "project")),
        sandbox=Sandbox.READ_ONLY.flag,
        home=str(private_folder(world / "home")),
        codex_home=str(make_private_home(world / "codex", lab.owner)),
        tools_path=lab.search_path,
        deadline_s=lab.deadline_s,
        model=lab.model,
        effort=lab.effort,
        schema=reflect.SCHEMA,
        lean=True,
        paid_key=key,
        environ=lab.environ,
    )
