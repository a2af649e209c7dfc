"""One attempt at one task with one skill text, alone in its own world.

Owns the world of a replay (home, CODEX_HOME, folder, skill, tools), its paid key and its score.
Does not own which replays are made (night.py).
Invariant: a replay sees the candidate skill and no other, nothing of the user's but the provider
and the login; both arms differ in the skill text alone. A replay that did not complete has no
score: an error is never a score.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from armarius.codex.home import Owner, make_private_home
from armarius.evolve.checks import CommandPasses, FileHolds
from armarius.evolve.directly import Directly, Question, ask_in, is_direct
from armarius.evolve.judge import Check, Judge, Score, ToolCalled, ToolNotCalled, Unjudged, World, score
from armarius.evolve.start import begins_in, holds_tasks, lay_out
from armarius.evolve.tasks import Task
from armarius.evolve.witness import NO_TESTIMONY, make_tools, read_testimony
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_bytes, hash_value
from armarius.rollouts.reader import read_rollout
from armarius.runs.request import RunRequest, RunResult
from armarius.skills.document import MEMORY
from armarius.thread import Sandbox

__all__ = ["Lab", "Look", "Metric", "Trial", "companions_of", "key_of", "request_for", "sweep", "trial_of"]

_SKILL = "SKILL.md"
_PROJECT = "project"
_ROLE = "replay"

Metric: TypeAlias = Literal["hard", "soft", "mixed"]
"""What a pair is about: all checks together, the share of them, or half and half."""

_VALUES: dict[Metric, Callable[[Score], float]] = {
    "hard": lambda score: float(score.hard),
    "soft": lambda score: score.soft,
    "mixed": lambda score: 0.5 * score.hard + 0.5 * score.soft,
}


Look = Callable[[Task, RunResult, Path], World]
"""(task, its replay, the folder it worked in) -> what it left behind, for checks that look beyond the answer."""


class Lab(msgspec.Struct, frozen=True):
    """What all replays of an experiment have in common.

    `folder` holds their worlds; `skill_folder` is the live skill, whose other files come along: `companions` names
    them as they are. Without a `look`, a task whose checks look beyond the answer has no score. Where `is_memory`, the
    text is that of the project's AGENTS.md and no skill. `directly` answers instead of Codex.
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
    look: Look | None = None
    is_memory: bool = False
    directly: Directly | None = None
    companions: str = ""


class Trial(msgspec.Struct, frozen=True):
    """One replay, judged. `score` is None when there is none, and `error` says why; `second` is the hidden judge's."""

    task_id: str
    run_id: str
    answer: str | None = None
    score: Score | None = None
    second: Score | None = None
    error: str | None = None
    witnesses_disagree: bool = False

    def valued(self, metric: Metric) -> float | None:
        """What the gate reads, by default half for all checks together and half for their share.

        Where there is a second judge, the lower of both counts: who pleases one alone has gamed it.
        """
        values = [_VALUES[metric](score) for score in (self.score, self.second) if score is not None]
        return min(values) if self.score is not None else None


def key_of(lab: Lab, task: Task, skill: bytes, *, arm: str, replicate: int) -> str:
    """The paid unit that a replay is.

    `arm` and `replicate` tell repetitions apart that are equal in all else: separate paid units.
    """
    beside = {"companions": lab.companions} if lab.companions else {}
    return hash_value(
        {
            **beside,
            "experiment": lab.experiment,
            "task": task.task_id,
            "prompt": hash_bytes(task.task.encode()),
            "judge": task.judge.hash if task.hidden_judge is None else [task.judge.hash, task.hidden_judge.hash],
            "start": msgspec.to_builtins(task.start),
            "skill": hash_bytes(skill),
            "tools": sorted(_tools_of(task)),
            "arm": arm,
            "replicate": replicate,
            "codex": lab.codex_version,
            "model": lab.model,
            "effort": lab.effort,
        }
    )


def request_for(lab: Lab, task: Task, skill: bytes, *, arm: str, replicate: int) -> RunRequest:
    """The run that replays `task` with `skill`; makes its world unless it is there."""
    tools = _tools_of(task)
    key = key_of(lab, task, skill, arm=arm, replicate=replicate)
    world = private_folder(lab.folder / key.removeprefix("sha256:")[:24])
    if lab.directly is not None:
        text = skill.decode()  # a document that was read is UTF-8
        ask_in(lab.directly, world, task, Question(lab.skill_folder.name, text, task.task, lab.is_memory))
        return RunRequest(
            role=_ROLE,
            prompt=task.task,
            cwd=str(world),
            sandbox=Sandbox.READ_ONLY.flag,
            home=str(world),
            codex_home=str(world),
            tools_path="",
            deadline_s=lab.deadline_s,
            model=lab.directly.model,
            paid_key=key,
            replicate=replicate,
        )
    codex_home = make_private_home(world / "codex", lab.owner)
    if lab.is_memory:
        # Not in the project: a run's folder is untrusted, and there Codex reads no instructions.
        write_atomic(codex_home / MEMORY, skill, durable=False)
    else:
        _install(lab.skill_folder, skill, codex_home / "skills" / lab.skill_folder.name)
    bin_folder, fifo = make_tools(world, tools)
    project = private_folder(world / _PROJECT)
    if task.start is not None:
        lay_out(task.start, project, world / "git", lab.search_path, world / "home")
        project = begins_in(task.start, project)
    return RunRequest(
        role=_ROLE,
        prompt=task.task,
        cwd=str(project),
        sandbox=_sandbox_of(task).flag,
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


def trial_of(task: Task, result: RunResult, look: Look | None = None) -> Trial:
    """The score of a finished replay."""
    if result.state != "succeeded" or result.answer is None or (result.rollout is None and not is_direct(result)):
        reason = result.problem.message if result.problem else "no answer"
        return Trial(task.task_id, result.id, error=f"{result.state}: {reason}")
    if result.rollout is None:
        testimony, folder = NO_TESTIMONY, result.folder
    else:
        thread = read_rollout(Path(result.rollout))
        testimony = read_testimony(Path(result.folder) / "witness.log", thread, _tools_of(task))
        folder = thread.cwd
    world = look(task, result, Path(folder)) if look and folder else None
    try:
        held = score(task.judge, result.answer, testimony.called(_unwanted(task.judge)), world)
        hidden = task.hidden_judge
        second = None if hidden is None else score(hidden, result.answer, testimony.called(_unwanted(hidden)), world)
    except Unjudged as error:
        return Trial(task.task_id, result.id, answer=result.answer, error=f"unjudged: {error}")
    return Trial(
        task.task_id,
        result.id,
        answer=result.answer,
        score=held,
        second=second,
        witnesses_disagree=testimony.reported != testimony.recorded,
    )


def sweep(request: RunRequest, *, is_over: bool) -> None:
    """Remove what Codex leaves in a finished world but its session files: databases and caches.

    Of a replay that is over without an end, what it was at work on, too: whoever makes it again begins at the start.
    """
    if request.codex_home == request.cwd:  # no Codex was there
        return
    project = Path(request.codex_home).parent / _PROJECT
    if is_over and request.role == _ROLE and project.exists():
        shutil.rmtree(project)
    for entry in Path(request.codex_home).iterdir():
        if entry.name in ("sessions", "skills", "config.toml"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _sandbox_of(task: Task) -> Sandbox:
    """A task that begins with files, or whose check looks at some, must be able to write them: in its own folder."""
    writes = task.start is not None or any(isinstance(check, CommandPasses | FileHolds) for check in _checks_of(task))
    return Sandbox.WORKSPACE_WRITE if writes else Sandbox.READ_ONLY


def _tools_of(task: Task) -> frozenset[str]:
    return frozenset(check.arg for check in _checks_of(task) if isinstance(check, ToolCalled | ToolNotCalled))


def _unwanted(judge: Judge) -> frozenset[str]:
    """Tools that must not be called, and that nothing asks for."""
    wanted = {check.arg for check in judge.checks if isinstance(check, ToolCalled)}
    return frozenset(check.arg for check in judge.checks if isinstance(check, ToolNotCalled)) - wanted


def _checks_of(task: Task) -> tuple[Check, ...]:
    """Those of both judges."""
    return (*task.judge.checks, *(task.hidden_judge.checks if task.hidden_judge else ()))


def companions_of(folder: Path) -> str:
    """Names the files that come along with a skill, by path, content and whether they can be started; "" for none."""
    found = list[tuple[str, str, bool]]()
    for top, folders, names in os.walk(folder):
        left_out = set(_left_out(top, [*folders, *names]))
        folders[:] = [name for name in folders if name not in left_out]
        for name in names:
            if name not in left_out:
                path = Path(top, name)
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append((os.fsencode(path.relative_to(folder)).hex(), digest, _can_start(path)))
    return hash_value(sorted(found)) if found else ""


def _install(source: Path, skill: bytes, target: Path) -> None:
    """The skill's folder as it is, with `skill` as its text, and without what belongs to no skill."""
    if not target.exists():
        shutil.copytree(source, target, ignore=_left_out, copy_function=_copy)
    write_atomic(target / _SKILL, skill, durable=False)


def _copy(source: str, target: str) -> None:
    """A file of the skill, which can be started where it could be before; its other rights are not ours to grant."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if _can_start(Path(source)) else 0o644)


def _can_start(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def _left_out(folder: str, names: list[str]) -> list[str]:
    """Links, pipes and the like, a repository's own folder where it is a skill as a whole, and files of tasks."""
    return [name for name in names if name in (_SKILL, ".git") or not _is_of_a_skill(Path(folder, name))]


def _is_of_a_skill(path: Path) -> bool:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return True
    if not stat.S_ISREG(mode):
        return False
    return not holds_tasks(path)
