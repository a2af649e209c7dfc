"""The state that a task starts from, made again in a folder of ours.

Owns asking whether a commit is still there, and writing its files. Does not own git (`checkout.git`), nor which
task has which start (`mine`).
Invariant: the repository is only read, and none of its hooks, filters or configuration is run. The folder gets the
files of the commit and nothing else: without its skills, as the one that is tried is the only one there is, and
without files of tasks, as nobody reads what they are judged by. What is there already is left as it is, so that a
replay that was begun goes on with what it has.
"""

import os
import posixpath
import re
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from armarius.checkout import git
from armarius.errors import ArmariusError, DataError
from armarius.evolve.origin import Start
from armarius.files import private_folder

__all__ = ["ThisMachine", "begins_in", "holds_tasks", "lay_out"]


class ThisMachine(msgspec.Struct, frozen=True):
    """What mining asks of the machine; see `mine.Machine`."""

    search_path: str
    user_home: Path

    def start_of(self, folder: str, commit: str) -> Start | None:
        """The commit, if the repository in which `folder` lies has it."""
        try:
            repo = self._find(folder)
            if repo.commit_of(commit) is None:
                return None
            # A worktree may be gone by the night; the one that has the store stays.
            main = repo.common.parent if repo.common.name == ".git" else repo.common
            return Start(str(main), commit, repo.prefix)
        except (ArmariusError, OSError, ValueError):  # no folder any more, no repository, somebody else's
            return None

    def lacks(self, start: Start, programs: Collection[str]) -> str | None:
        """What no commit holds: submodules, large files elsewhere, packages, programs that were built or installed."""
        try:
            store = self._find(start.repository).git
            listed = store("ls-tree", "-r", "-z", "--full-tree", start.commit).split(b"\0")
            tree = dict(_named(entry) for entry in listed if entry)
            if any(kind == "commit" for kind, _ in tree.values()):
                return "the files of submodules, which its commit does not hold"
            attributes = (name for path, (_, name) in tree.items() if PurePosixPath(path).name == ".gitattributes")
            if any(b"filter=" in store("cat-file", "blob", name) for name in attributes):
                return "files that a filter keeps elsewhere, such as those of Git LFS"
            for program in sorted(programs):
                if "/" in program and not program.startswith("/") and _inside(start, program) not in tree:
                    return f"{program}, which its commit does not hold"
            manifest = tree.get(_inside(start, "package.json"))
            if manifest and _PACKAGERS.intersection(programs) and not any("node_modules/" in path for path in tree):
                found = msgspec.json.decode(store("cat-file", "blob", manifest[1]), type=_Manifest)
                if found.dependencies or found.dev_dependencies:
                    return "packages that npm has installed, which its commit does not hold"
        except (ArmariusError, OSError, msgspec.MsgspecError) as error:
            return f"what cannot be read of its commit ({getattr(error, 'code', None) or type(error).__name__})"
        return None

    def _find(self, folder: str) -> git.Repository:
        return git.find(Path(folder), git.user_environ(self.search_path, self.user_home))

    def has_program(self, name: str) -> bool:
        return shutil.which(name, path=self.search_path) is not None


_HEAD = 64 << 10
_TASKS = re.compile(rb'"(?:armarius|skillopt_sleep)\.tasks\.v1"|"judge"\s*:\s*\{\s*"kind"')
_PACKAGERS = frozenset({"npm", "npx", "pnpm", "yarn", "bun"})


class _Manifest(msgspec.Struct, rename={"dev_dependencies": "devDependencies"}):
    """What a package.json says that it needs."""

    dependencies: dict[str, Any] = {}
    dev_dependencies: dict[str, Any] = {}


def _named(entry: bytes) -> tuple[str, tuple[str, str]]:
    """Of a line of `git ls-tree`: the path, and what and which it is."""
    about, _, path = entry.partition(b"\t")
    _, kind, name = about.decode().split(" ")
    return os.fsdecode(path), (kind, name)


def _inside(start: Start, path: str) -> str:
    """A path from the top, of one from the folder where the work begins."""
    return posixpath.normpath(posixpath.join(start.folder, path))


def begins_in(start: Start, folder: Path) -> Path:
    """Where in a folder that was laid out the work begins; made where the commit had nothing there."""
    place = folder / start.folder
    if _is_behind_a_link(folder, PurePosixPath(start.folder)):
        raise DataError(
            "start-link", f"{start.folder} is behind a link in {start.commit}", "take the task out of the file"
        )
    place.mkdir(parents=True, exist_ok=True)
    return place


def lay_out(start: Start, folder: Path, store: Path, search_path: str, user_home: Path) -> None:
    """Write the files of the commit into `folder`, unless something is in it; `store` is a folder of ours for git."""
    if any(folder.iterdir()):
        return
    repo = git.find(Path(start.repository), git.user_environ(search_path, user_home))
    if repo.commit_of(start.commit) is None:
        raise DataError(
            "start-gone", f"{start.repository} has no commit {start.commit} any more", "take the task out of the file"
        )
    tree = private_folder(store) / "tree"
    if tree.exists():
        shutil.rmtree(tree)
    private_folder(tree)
    ours = git.own_store(private_folder(store / "own"), repo, head=start.commit)
    ours.plus({"GIT_WORK_TREE": str(tree)})("read-tree", "--reset", "-u", start.commit)
    _without_skills(tree, start.folder)
    tree.rename(folder)  # all of it or nothing, should we be killed


def holds_tasks(path: Path) -> bool:
    """Whether a regular file has tasks with their judges, which nobody may read who does them."""
    if path.suffix not in (".json", ".jsonl"):
        return False
    with path.open("rb") as file:
        return _TASKS.search(file.read(_HEAD)) is not None


def _without_skills(tree: Path, folder: str) -> None:
    """Take away skills that Codex would find, and files of tasks, from the top to the folder where the work begins."""
    for within in (PurePosixPath(folder), *PurePosixPath(folder).parents):
        if _is_behind_a_link(tree, within) or not (tree / within).is_dir():
            continue
        for file in (tree / within).iterdir():
            if file.is_file() and not file.is_symlink() and holds_tasks(file):
                file.unlink()
        for home in (tree / within / ".agents", tree / within / ".codex"):
            skills = home / "skills"
            if home.is_symlink() or not home.is_dir():
                home.unlink(missing_ok=True)
            elif skills.is_symlink() or not skills.is_dir():
                skills.unlink(missing_ok=True)
            else:
                shutil.rmtree(skills)


def _is_behind_a_link(tree: Path, within: PurePosixPath) -> bool:
    return Path(os.path.realpath(tree / within)) != Path(os.path.realpath(tree)) / within
