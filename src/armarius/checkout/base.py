"""The commit that a checkout begins with.

Owns resolving a name, looking whether the working tree has changes, and capturing them as a commit. Does not own
the checkout.
Invariant: the parent's working tree and index are read and never written; a file that a filter of the user's
configuration would change on its way into git is refused, because that filter is not run.
"""

import stat
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from armarius.checkout.folder import is_gits
from armarius.checkout.git import Git, Repository, own_store, shown
from armarius.clock import Clock
from armarius.errors import DataError, Refused

__all__ = ["Chosen", "Dirty", "LeftOut", "Untracked", "choose", "clean_or_refuse", "identity"]

Dirty = Literal["refuse", "capture"]
Untracked = Literal["ignore", "copy", "refuse"]

_LARGEST = 50 << 20
_LARGEST_TOGETHER = 500 << 20
_FEW = 5


class LeftOut(msgspec.Struct, frozen=True):
    """A path that did not come along, and why."""

    path: str
    reason: str


class Chosen(NamedTuple):
    """The first commit; `maker` is our repository that has it, when it was made just now."""

    commit: str
    head: str
    maker: Git | None = None
    left_out: tuple[LeftOut, ...] = ()


class _Status(NamedTuple):
    tracked: list[str]
    untracked: list[str]


def choose(
    repo: Repository, folder: Path, run_id: str, clock: Clock, *, base: str | None, dirty: Dirty, untracked: Untracked
) -> Chosen:
    """The commit for a run, its working tree looked at in a repository of ours below `folder`."""
    commit = repo.commit_of("HEAD" if base is None else base)
    if commit is None:
        if base is None:
            raise Refused("no-commit", f"{repo.top or repo.own} has no commit yet", "commit something first")
        raise DataError("base", f"{base!r} is no commit of {repo.top or repo.own}", "name a branch, tag or commit")
    if base is not None or repo.top is None:
        return Chosen(commit, commit)
    git = own_store(folder / "base.git", repo, head=commit, index=True)
    status = _status(git, with_untracked=untracked != "ignore")
    if status.untracked and untracked == "refuse":
        raise Refused("untracked", f"{_some(status.untracked)} is not under version control", "add, ignore or copy it")
    if status.tracked and dirty == "refuse":
        raise Refused("dirty", f"{_some(status.tracked)} has changes", "commit them, capture them, or name a base")
    wanted, left_out = _fit(repo.top, status.untracked if untracked == "copy" else [])
    if not status.tracked and not wanted:
        return Chosen(commit, commit, None, left_out)
    return Chosen(_capture(git, [*status.tracked, *wanted], commit, run_id, clock), commit, git, left_out)


def clean_or_refuse(git: Git) -> None:
    """Refuse a working tree with changes, or in the middle of a merge. `git` is our repository beside it."""
    status = _status(git, with_untracked=False)
    if status.tracked:
        raise Refused("dirty", f"{_some(status.tracked)} has changes", "commit or stash them, or merge into a branch")


def identity(run_id: str, clock: Clock) -> dict[str, str]:
    """Who makes a commit, and when."""
    at = f"@{clock.now_us() // 1_000_000} +0000"
    who = {"NAME": f"Armarius {run_id}", "EMAIL": f"{run_id}@armarius.invalid", "DATE": at}
    return {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}


def _status(git: Git, *, with_untracked: bool) -> _Status:
    """Paths that differ from HEAD, and those that git does not know; Refused during a conflict."""
    mode = "all" if with_untracked else "no"
    said = git(
        "status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=dirty", f"--untracked-files={mode}"
    )
    tracked: list[str] = []
    untracked: list[str] = []
    for entry in said.decode(errors="surrogateescape").split("\0"):
        kind = entry[:1]
        if kind == "1":
            tracked.append(entry.split(" ", 8)[8])
        elif kind == "u":
            raise Refused("conflict", f"{shown(entry.split(' ', 10)[10])} is in conflict", "finish the merge first")
        elif kind == "?":
            untracked.append(entry[2:])
    known = set(tracked)  # taken out of the index, but still there: one change, not two
    return _Status(tracked, [path for path in untracked if path not in known])


def _fit(top: Path, paths: list[str]) -> tuple[list[str], tuple[LeftOut, ...]]:
    """Which untracked files are copied: files and links of ordinary size, nothing else."""
    wanted: list[str] = []
    left_out: list[LeftOut] = []
    together = 0
    for path in paths:
        reason, size = "", 0
        try:
            status = (top / path).lstat()
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        else:
            size = status.st_size
            if path.endswith("/"):
                reason = "a repository of its own"
            elif any(is_gits(name) for name in path.split("/")):
                reason = "a name that git keeps for itself"
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                reason = "neither a file nor a link"
            elif size > _LARGEST or together + size > _LARGEST_TOGETHER:
                reason = f"too large: {size:,} bytes"
        if reason:
            left_out.append(LeftOut(shown(path), reason))
        else:
            together += size
            wanted.append(path)
    return wanted, tuple(left_out)


def _capture(git: Git, paths: list[str], commit: str, run_id: str, clock: Clock) -> str:
    """A commit of the working tree as it is, in our repository."""
    listed = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in paths)
    words = git("check-attr", "-z", "--stdin", "filter", data=listed).decode(errors="surrogateescape").split("\0")
    for path, value in zip(words[0::3], words[2::3], strict=False):
        if value not in {"unspecified", "unset"}:
            raise Refused(
                "filter",
                f"{shown(path)} goes through the filter {shown(value)!r}, which is not run here",
                "commit it yourself",
            )
    git("update-index", "-z", "--add", "--remove", "--stdin", data=listed)
    tree = git.line("write-tree")
    message = f"Uncommitted work at the start of {run_id}"
    return git.plus(identity(run_id, clock)).line("commit-tree", tree, "-p", commit, "-m", message)


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _FEW} more" if len(paths) > _FEW else ""
    return ", ".join(shown(path) for path in paths[:_FEW]) + more
