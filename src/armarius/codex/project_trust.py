"""Whose project Codex may take configuration from.

Owns finding the folders that the owner has said nothing about. Does not own what the owner said, nor a line of it.
Invariant: a run never makes a project trusted. Codex takes a folder in which it may write for trusted, writes that into
the owner's `config.toml`, and starts, in the same run and outside of any sandbox, the MCP servers that the project's
own `.codex/config.toml` names: a cloned repository would bring programs along. Where the owner has decided, that holds.
"""

import os
from pathlib import Path

import msgspec

from armarius.codex.config_file import read_config
from armarius.codex.layers import SYSTEM
from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.settings import is_repository, project_root

__all__ = ["undecided"]

_LONGEST = 4096


class _Project(msgspec.Struct):
    trust_level: str | None = None


class _Projects(msgspec.Struct):
    projects: dict[str, _Project] = {}


def undecided(codex_home: Path, cwd: Path, profile: str | None = None, *, system: Path = SYSTEM) -> tuple[str, ...]:
    """The names by which Codex knows the project around `cwd`; none when its owner has said whether to trust it."""
    names = _names(cwd)
    files = [system / "config.toml", codex_home / "config.toml"]
    files += [codex_home / f"{profile}.config.toml"] if profile is not None else []
    said = {name for path in files for name in _decided(path)}
    return () if said & set(names) else names


def _names(cwd: Path) -> tuple[str, ...]:
    """The folder and its repository, by name and by where links lead; of a worktree the main one, too."""
    found = dict[str, None]()
    for folder in (cwd.absolute(), Path(os.path.realpath(cwd))):
        root = project_root(folder)
        found |= dict.fromkeys(map(str, (folder, root, *_main_worktree(root))))
    return tuple(found)


def _main_worktree(root: Path) -> tuple[Path, ...]:
    """The main worktree of a linked one, as Codex finds it: `gitdir:` leads to MAIN/.git/worktrees/NAME."""
    git = root / ".git"
    if not is_repository(root) or not git.is_file():
        return ()
    _, _, target = read_bounded(git, _LONGEST).decode(errors="surrogateescape").partition("gitdir:")
    store = Path(os.path.realpath(root / target.strip()))
    return (store.parents[2],) if store.parent.name == "worktrees" and len(store.parts) > 3 else ()  # noqa: PLR2004


def _decided(path: Path) -> list[str]:
    try:
        projects = msgspec.convert(read_config(path), _Projects).projects
    except msgspec.ValidationError as error:
        raise DataError("codex-config", f"{path}: {error}", "correct it; Armarius reads TOML 1.0") from error
    return [name for name, project in projects.items() if project.trust_level is not None]
