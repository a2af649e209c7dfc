"""The state that a task starts from, made again in a folder of ours.

Owns asking whether a commit is still there, and writing its files. Does not own git (`checkout.git`), nor which
task has which start (`mine`).
Invariant: the repository is only read, and none of its hooks, filters or configuration is run; the folder gets
the files of the commit and nothing else. What is there already is left as it is, so that a replay that was begun
goes on with what it has.
"""

import shutil
from pathlib import Path

import msgspec

from armarius.checkout import git
from armarius.errors import ArmariusError, DataError
from armarius.evolve.origin import Start
from armarius.files import private_folder

__all__ = ["ThisMachine", "lay_out"]


class ThisMachine(msgspec.Struct, frozen=True):
    """What mining asks of the machine; see `mine.Machine`."""

    search_path: str
    user_home: Path

    def has_commit(self, folder: str, commit: str) -> str | None:
        """The repository in which `folder` lies, if it has the commit."""
        try:
            repo = git.find(Path(folder), git.user_environ(self.search_path, self.user_home))
            return str(repo.top or repo.common) if repo.commit_of(commit) else None
        except (ArmariusError, OSError, ValueError):  # no folder any more, no repository, somebody else's
            return None

    def has_program(self, name: str) -> bool:
        return shutil.which(name, path=self.search_path) is not None


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
    tree.rename(folder)  # all of it or nothing, should we be killed
