"""The flags that say which sessions a night learns from, and the work in those sessions.

Owns the words that may be typed and what they mean. Does not own harvesting or mining.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.numbers import Within
from armarius.cli.output import say
from armarius.cli.sessions.synced import index_of
from armarius.cli.sleep.options import roots_of
from armarius.clock import SystemClock
from armarius.errors import DataError, UsageError
from armarius.evolve.episodes import Episode
from armarius.evolve.gather import Gathered, Want, gather
from armarius.evolve.harvest import HarvestCache, Scope, Source, chosen_files, harvest
from armarius.evolve.mine import Improve
from armarius.evolve.start import ThisMachine
from armarius.evolve.tasks import TaskFile
from armarius.sessions.folders import Place
from armarius.sessions.index import default_places
from armarius.settings import Settings
from armarius.skills.target import resolve_target

__all__ = [
    "HARVESTING",
    "TARGET",
    "Wish",
    "episodes_of_project",
    "gathered_of",
    "most_tasks_of",
    "night_from_sessions",
    "project_of",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_HOUR_US = 3_600_000_000
_DAYS_30 = 720
_SESSIONS_A_TASK = 3
_MOST_WATCHED = 1_000


class Wish(msgspec.Struct, frozen=True):
    """The values of HARVESTING and TARGET, by their names."""

    source: Source = "auto"
    codex_homes: tuple[Path, ...] = ()
    claude_home: Path | None = None
    max_sessions: int | None = None
    lookback_hours: float = _DAYS_30
    target: Path | None = None
    roots: tuple[Path, ...] = ()
    max_tasks: int | None = None


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_HARVESTING = (
    click.option(
        "--source",
        type=click.Choice(["codex", "claude", "auto"]),
        default="auto",
        show_default=True,
        help="Whose sessions; auto takes those of Claude Code only when Codex has none.",
    ),
    click.option("--codex-home", "codex_homes", type=_FOLDER, multiple=True, help="Look here for Codex's; repeatable."),
    click.option("--claude-home", type=_FOLDER, help="Look here for Claude Code's."),
    click.option("--max-sessions", type=click.IntRange(1), help="The newest so many.  [default: 3 for each task]"),
    click.option(
        "--lookback-hours",
        type=Within(0, 1_000_000),
        default=_DAYS_30,
        show_default=True,
        help="Sessions that were active since then; 0 is all.",
    ),
)
_TARGET = (
    click.option("--target-skill-path", "target", type=click.Path(path_type=Path), help="The SKILL.md to improve."),
    click.option(
        "--skill-root", "roots", type=click.Path(path_type=Path), multiple=True, help="A further folder of skills."
    ),
    click.option("--max-tasks", type=click.IntRange(1), help="Use at most this many tasks."),
)


def HARVESTING(command: _Command) -> _Command:  # noqa: N802  # stands among the other options
    """All flags that choose sessions."""
    for option in reversed(_HARVESTING):
        command = option(command)
    return command


def TARGET(command: _Command) -> _Command:  # noqa: N802  # as above
    """The flags that say for which skill, and how many tasks."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def project_of(project: Path) -> Path:
    """The folder whose sessions count: the one that was named, else the repository that we are in."""
    return configuration.project_root(project) if project == Path() else project.absolute()


def most_tasks_of(settings: Settings, asked: int | None) -> int:
    """How many tasks; UsageError for more than the settings allow."""
    if asked is not None and asked > settings.max_tasks:
        raise UsageError("max-tasks", f"--max-tasks {asked} is over the limit of {settings.max_tasks}")
    return asked or settings.max_tasks


def gathered_of(
    settings: Settings, project: Path, wish: Wish, *, tells: bool = False, improve: Improve | None = None
) -> Gathered:
    """The recurring work in the sessions that were asked for; `tells` of what is being read."""
    most = most_tasks_of(settings, wish.max_tasks)
    roots = (*wish.roots, *roots_of(settings, project))
    named = wish.target or settings.project_skill
    now_us = SystemClock().now_us()
    scope = Scope(
        project=project_of(project),
        own_folder=settings.home,
        source=wish.source,
        since_us=now_us - int(wish.lookback_hours * _HOUR_US) if wish.lookback_hours else None,
        most_sessions=wish.max_sessions or _SESSIONS_A_TASK * most,
    )
    want = Want(scope=scope, most_tasks=most, roots=roots, target=resolve_target(named, roots) if named else None)
    places = _places(settings, wish)
    machine = ThisMachine(settings.search_path, settings.user_home)
    with (
        index_of(settings) as index,
        contextlib.closing(HarvestCache.open(settings.home / "harvest.sqlite")) as cache,
    ):
        synced = index.sync(places, SystemClock())
        for folder in synced.closed:
            say(f"{folder} could not be listed", err=True)
        return gather(index, places, cache, want, machine, on_read=_say_read if tells else None, improve=improve)


def night_from_sessions(
    settings: Settings, project: Path, wish: Wish, improve: Improve | None
) -> tuple[TaskFile, Path]:
    """The tasks that the sessions give and the skill that they are about; DataError when there are none."""
    gathered = gathered_of(settings, project, wish, improve=improve)
    if not gathered.mined.tasks:
        raise DataError(
            "tasks-none",
            f"{gathered.sessions} sessions gave no task with a usable check: {gathered.mined.groups} kinds of work "
            f"recur, {len(gathered.mined.drafts)} of them ask for a check",
            "see `armarius sleep harvest`, or write a task file",
        )
    return TaskFile("armarius.tasks.v1", reviewed=False, tasks=gathered.mined.tasks), Path(gathered.target)


def episodes_of_project(settings: Settings, project: Path) -> tuple[Episode, ...]:
    """All turns that are known of a project, as far as its sessions can be read."""
    wish = Wish(lookback_hours=0)
    scope = Scope(project=project, own_folder=settings.home, source=wish.source, most_sessions=_MOST_WATCHED)
    places = _places(settings, wish)
    with (
        index_of(settings) as index,
        contextlib.closing(HarvestCache.open(settings.home / "harvest.sqlite")) as cache,
    ):
        index.sync(places, SystemClock())
        return harvest(cache, chosen_files(index, places, scope), None).episodes


def _places(settings: Settings, wish: Wish) -> list[Place]:
    places = [] if wish.source == "claude" else default_places(settings, wish.codex_homes)
    places = [place for place in places if place.kind == "codex"]
    claude = wish.claude_home or settings.claude_home
    # Who names a home of Codex's alone, and asks for no other's sessions, wants to look nowhere else.
    wants = wish.source == "claude" or (wish.source == "auto" and bool(wish.claude_home or not wish.codex_homes))
    if wants and (claude / "projects").is_dir():
        places.append(Place("claude", claude.absolute()))
    return places


def _say_read(done: int, of: int) -> None:
    say(f"harvest {done}/{of}", err=True)
