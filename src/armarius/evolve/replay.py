"""One attempt at one task with one skill text, alone in its own world.

Owns the world of a replay (home, CODEX_HOME, folder, skill, tools), its paid key and its score.
Does not own which replays are made (night.py).
Invariant: a replay sees the candidate skill and no other, nothing of the user's but the provider
and the login; both arms differ in the skill text alone. A replay that did not complete has no
score: an error is never a score.
"""

import shutil
from pathlib import Path

import msgspec

from armarius.codex.home import Owner, make_private_home
from armarius.dispatch.request import RunRequest, RunResult
from armarius.evolve.judge import Score, ToolCalled, ToolNotCalled, score
from armarius.evolve.tasks import Task
from armarius.evolve.witness import make_tools, read_testimony
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_bytes, hash_value
from armarius.rollouts.reader import read_rollout
from armarius.thread import Sandbox

__all__ = ["Lab", "Trial", "request_for", "trial_of"]

_SKILL = "SKILL.md"


class Lab(msgspec.Struct, frozen=True):
    """What all replays of an experiment have in common.

    `folder` holds their worlds; `skill_folder` is the live skill, whose other files come along.
    """

    experiment: str
    folder: Path
    skill_folder: Path
    owner: Owner
    search_path: str
    codex_version: str
    environ: dict[str, str]
    model: str | None = None
    effort: str | None = None
    deadline_s: float = 600.0


class Trial(msgspec.Struct, frozen=True):
    """One replay, judged. `score` is None when there is none, and `error` says why."""

    task_id: str
    run_id: str
    answer: str | None = None
    score: Score | None = None
    error: str | None = None
    witnesses_disagree: bool = False

    @property
    def value(self) -> float | None:
        """What the gate reads: half for all checks together, half for their share."""
        return None if self.score is None else 0.5 * self.score.hard + 0.5 * self.score.soft


def request_for(lab: Lab, task: Task, skill: bytes, *, arm: str, replicate: int) -> RunRequest:
    """The run that replays `task` with `skill`; makes its world unless it is there.

    `arm` and `replicate` tell repetitions apart that are equal in all else: separate paid units.
    """
    tools = _tools_of(task)
    key = hash_value(
        {
            "experiment": lab.experiment,
            "task": task.task_id,
            "prompt": hash_bytes(task.task.encode()),
            "judge": task.judge.hash,
            "skill": hash_bytes(skill),
            "tools": sorted(tools),
            "arm": arm,
            "replicate": replicate,
            "codex": lab.codex_version,
            "model": lab.model,
            "effort": lab.effort,
        }
    )
    world = private_folder(lab.folder / key.removeprefix("sha256:")[:24])
    codex_home = make_private_home(world / "codex", lab.owner)
    _install(lab.skill_folder, skill, codex_home / "skills" / lab.skill_folder.name)
    bin_folder, fifo = make_tools(world, tools)
    return RunRequest(
        role="replay",
        prompt=task.task,
        cwd=str(private_folder(world / "project")),
        sandbox=Sandbox.READ_ONLY.flag,
        home=str(private_folder(world / "home")),
        codex_home=str(codex_home),
        tools_path=f"{bin_folder}:{lab.search_path}",
        deadline_s=lab.deadline_s,
        model=lab.model,
        effort=lab.effort,
        lean=True,
        paid_key=key,
        replicate=replicate,
        witness=str(fifo),
        environ=lab.environ,
    )


def trial_of(task: Task, result: RunResult) -> Trial:
    """The score of a finished replay."""
    if result.state != "succeeded" or result.answer is None or result.rollout is None:
        reason = result.problem.message if result.problem else "no answer"
        return Trial(task.task_id, result.id, error=f"{result.state}: {reason}")
    thread = read_rollout(Path(result.rollout))
    testimony = read_testimony(Path(result.folder) / "witness.log", thread, _tools_of(task))
    return Trial(
        task.task_id,
        result.id,
        answer=result.answer,
        score=score(task.judge, result.answer, testimony.agreed),
        witnesses_disagree=testimony.reported != testimony.recorded,
    )


def sweep(request: RunRequest) -> None:
    """Remove what Codex leaves in a finished world but its session files: databases and caches."""
    for entry in Path(request.codex_home).iterdir():
        if entry.name in ("sessions", "skills", "config.toml"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _tools_of(task: Task) -> frozenset[str]:
    return frozenset(check.arg for check in task.judge.checks if isinstance(check, ToolCalled | ToolNotCalled))


def _install(source: Path, skill: bytes, target: Path) -> None:
    """The skill's folder as it is, with `skill` as its text; links are left out."""
    if not target.exists():
        shutil.copytree(source, target, ignore=_links, copy_function=shutil.copyfile)
    write_atomic(target / _SKILL, skill)


def _links(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_symlink() or name == _SKILL]
