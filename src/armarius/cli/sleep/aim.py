"""Which skill the tasks of a file are for, by what was typed and what the file says.

Owns the order in which it is asked for, for a plan and for a night alike. Does not own what may be changed
(`skills.target`), nor the making of a skill.
"""

import os
from pathlib import Path

from armarius.cli.sleep.harvesting import Wish, project_of
from armarius.cli.sleep.options import roots_of
from armarius.evolve.targets import LEARNED, Target, learned_place
from armarius.evolve.tasks import TaskFile
from armarius.settings import Settings
from armarius.skills.target import resolve_target

__all__ = ["aim_at", "aim_of"]


def aim_of(settings: Settings, project: Path, wish: Wish, path: Path, tasks: TaskFile) -> Target:
    """The skill for the tasks in `path`: the one that is named, else what the harvest has found, else the learned one.

    A file that a project brings along has no say in that: its skill may lie outside of the project.
    """
    if named := wish.target or settings.project_skill:
        return aim_at(settings, project, wish, named, "named")
    if tasks.harvest and tasks.harvest.target and path != settings.project_tasks:
        return aim_at(settings, project, wish, Path(tasks.harvest.target), "found by the harvest")
    return aim_at(settings, project, wish, project_of(project) / LEARNED, "none was named")


def aim_at(settings: Settings, project: Path, wish: Wish, skill: Path, why: str) -> Target:
    """The real place of a skill that may be changed; the one for all that is learned need not be there yet."""
    own = project_of(project)
    if not os.path.lexists(skill) and os.path.realpath(skill) == os.path.realpath(own / LEARNED):
        return Target(learned_place(own), why, exists=False)
    return Target(resolve_target(skill, (*wish.roots, *roots_of(settings, project))), why)
