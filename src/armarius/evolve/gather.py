"""From sessions to tasks, in one go: harvest, choose the target, mine.

Owns the order of these steps, the file they make, and that nothing is done twice: where neither a session nor the
question changed, the answer is the one that was kept. Does not own any step.
Invariant: nothing is sent, and nothing but the cache is written. What is kept is what would be made anew.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.clock import rfc3339
from armarius.evolve.harvest import Harvest, HarvestCache, Scope, chosen_files, harvest
from armarius.evolve.mine import Improve, Machine, Mined, mine
from armarius.evolve.origin import Draft, HarvestNote
from armarius.evolve.targets import LEARNED, Target, choose_target, relevance_to
from armarius.evolve.tasks import Task
from armarius.identity import hash_value
from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex
from armarius.skills.document import read_document

__all__ = ["Gathered", "TaskDrafts", "Want", "gather", "task_drafts"]


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: a scope, how many tasks, and for which skill; without a target the sessions tell."""

    scope: Scope
    most_tasks: int
    roots: tuple[Path, ...]
    target: Path | None = None


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of a scope gave. `seconds` is how long a turn took in the median, None when nobody knows."""

    source: str
    sessions: int
    turns: int
    left_out: dict[str, int]
    notes: tuple[str, ...]
    seconds: float | None
    mined: Mined
    target: str
    target_why: str


class TaskDrafts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task file for a person to review: of the form of `armarius.tasks.v1`, which without a task is none yet."""

    schema: str
    reviewed: bool
    harvest: HarvestNote
    tasks: tuple[Task, ...]
    drafts: tuple[Draft, ...] = ()


def gather(
    index: SessionIndex,
    places: Sequence[Place],
    cache: HarvestCache,
    want: Want,
    machine: Machine,
    *,
    on_read: Callable[[int, int], None] | None = None,
    improve: Improve | None = None,
) -> Gathered:
    """The recurring work in the sessions of a scope; `improve` is asked anew each time."""
    chosen = chosen_files(index, places, want.scope)
    document = read_document(want.target) if want.target else None
    about = {
        "most": want.most_tasks,
        "roots": [str(root) for root in want.roots],
        "target": str(want.target),
        "skill": document.text if document else None,
    }
    question = chosen.question(want.scope, about)
    if improve is None and (kept := cache.outcome(question)):
        known = msgspec.msgpack.decode(kept, type=Gathered)
        if Path(known.target).is_file() or known.target == str(want.scope.project / LEARNED):
            return known
    harvested = harvest(cache, chosen, on_read)
    target = (
        Target(want.target, "named")
        if want.target
        else choose_target(harvested.episodes, want.scope.project, want.roots)
    )
    mined = mine(
        harvested.episodes,
        machine,
        most_tasks=want.most_tasks,
        relevance=relevance_to(want.target, document) if want.target and document else None,
        improve=improve,
    )
    found = Gathered(
        source=harvested.source,
        sessions=harvested.sessions,
        turns=harvested.turns,
        left_out=harvested.left_out,
        notes=harvested.notes + mined.notes,
        seconds=_median_s(harvested),
        mined=mined,
        target=str(target.path),
        target_why=target.why,
    )
    if improve is None:
        scope = hash_value([str(want.scope.project), str(want.target)])
        cache.keep_outcome(scope, question, msgspec.msgpack.encode(found))
    return found


def task_drafts(found: Gathered, project: Path, now_us: int) -> TaskDrafts:
    """What was found as a file to review; nobody has read it, so it says so."""
    note = HarvestNote(
        project=str(project),
        source=found.source,
        sessions=found.sessions,
        turns=found.turns,
        at=rfc3339(now_us),
        target=found.target,
        notes=found.notes,
    )
    return TaskDrafts(
        schema="armarius.tasks.v1",
        reviewed=False,
        harvest=note,
        tasks=found.mined.tasks,
        drafts=found.mined.drafts,
    )


def _median_s(harvested: Harvest) -> float | None:
    took = sorted(one.duration_us for one in harvested.episodes if one.duration_us)
    return took[len(took) // 2] / 1_000_000 if took else None
