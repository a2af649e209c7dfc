"""A run's work into a branch of the parent repository.

Owns the merge, moving the branch, and, for the branch that is checked out, its working tree and index. Does not own
the private reference, which stays until `drop`.
Invariant: a conflict, a change in the working tree or a file in the way is refused with its name, and nothing has
changed. The branch moves last and at once. A merge into the working tree is written down before the first file
changes; killed in the middle, the next merge in this repository finishes it first, and refuses when somebody has
edited these files since.

The result is worked out in a repository of ours, so no merge driver and no filter is run; a file under a filter
(Git LFS) arrives as it is in the commit. Hooks are not run either.
"""

import contextlib
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import msgspec

from armarius.checkout.base import clean_or_refuse, identity
from armarius.checkout.folder import Reader, walk
from armarius.checkout.git import Git, Repository, bring, locked, own_store, shown
from armarius.checkout.prepare import run_ref
from armarius.clock import Clock
from armarius.errors import DataError, Failed, Refused
from armarius.files import read_bounded, write_atomic

__all__ = ["Merged", "Strategy", "merge"]

Strategy = Literal["auto", "ff", "merge"]
"""Fast-forward if that is possible, or only that, or always a commit of two parents."""

_JOURNAL = "merge.json"
_LONGEST_JOURNAL = 64 << 10
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "sequencer")
_SHOWN = 50


class Merged(msgspec.Struct, frozen=True):
    """What a merge did. `branch` is the reference that moved, `HEAD` when none is checked out."""

    run_id: str
    branch: str
    before: str
    after: str
    how: Literal["already", "fast-forward", "merge"]


class _Journal(msgspec.Struct, frozen=True):
    """A merge into a working tree that has begun; `own` is the working tree's part of the repository, in bytes' hex."""

    own: str
    merged: Merged


def merge(
    repo: Repository,
    run_id: str,
    clock: Clock,
    *,
    strategy: Strategy = "auto",
    into: str | None = None,
    message: str = "",
) -> Merged:
    """Merge the work of a run into the branch that is checked out, which must be clean, or into another one.

    Refused for a conflict, with the paths; called again after a success it answers `already`.
    """
    with locked(repo) as private:
        _mend(repo, private)
        source = repo.commit_of(run_ref(run_id))
        if source is None:
            raise DataError(
                "run-work", f"{run_id} has no work in {repo.top or repo.own}", "it was dropped, or changed nothing"
            )
        branch, here = _target(repo, into)
        old = repo.commit_of(branch)
        if old is None:
            raise DataError("branch", f"{shown(branch)} is no branch with a commit", "name one that exists")
        git = _fresh(private / "merge.git", repo, old)
        new, how = _result(repo, git, old, source, strategy=strategy, clock=clock, run_id=run_id, message=message)
        merged = Merged(run_id, branch, old, new, how)
        if how == "already":
            return merged
        if here:
            _into_working_tree(repo, private, merged)
        else:
            repo.move_ref(branch, new, old, f"armarius: merge {run_id}")
        shutil.rmtree(private / "merge.git")
        return merged


def _target(repo: Repository, into: str | None) -> tuple[str, bool]:
    """The reference to move, and whether it is what the working tree shows."""
    current = repo.git.line("symbolic-ref", "--quiet", "HEAD", codes=(0, 1)) or "HEAD"
    branch = current if into is None else f"refs/heads/{into.removeprefix('refs/heads/')}"
    if branch == current and repo.top is not None:
        return branch, True
    if into is None:
        raise Refused("bare", f"{repo.own} has no working tree", "name the branch to merge into")
    entries = repo.git("worktree", "list", "--porcelain", "-z").split(b"\0")
    if f"branch {branch}".encode(errors="surrogateescape") in entries and repo.config.get("core.bare") != "true":
        raise Refused("branch-in-use", f"{shown(branch)} is checked out in another working tree", "merge there")
    return branch, False


def _fresh(folder: Path, repo: Repository, head: str, *, index: bool = False) -> Git:
    shutil.rmtree(folder, ignore_errors=True)  # of a merge that was killed
    return own_store(folder, repo, head=head, index=index)


def _result(
    repo: Repository, git: Git, old: str, source: str, *, strategy: Strategy, clock: Clock, run_id: str, message: str
) -> tuple[str, Literal["already", "fast-forward", "merge"]]:
    """The commit that the branch will stand at; its objects are in the repository."""
    if git.answer("merge-base", "--is-ancestor", source, old, codes=(0, 1))[0] == 0:
        return old, "already"
    forward = git.answer("merge-base", "--is-ancestor", old, source, codes=(0, 1))[0] == 0
    if forward and strategy != "merge":
        return source, "fast-forward"
    if strategy == "ff":
        raise Refused("not-forward", f"the branch has moved on since {run_id} began", "merge without `ff`")
    code, said = git.answer(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", old, source, codes=(0, 1)
    )
    tree, *paths = said.rstrip(b"\0").split(b"\0")
    if code == 1:
        some = ", ".join(shown(path) for path in sorted(set(paths))[:_SHOWN])
        raise Refused(
            "conflict", f"{run_id} conflicts in {some}", "nothing was changed; merge by hand, or run it again"
        )
    text = message.replace("\0", " ").strip() or f"Merge the work of {run_id}"
    data = text.encode(errors="replace") + b"\n"
    new = git.plus(identity(run_id, clock)).line(
        "commit-tree", tree.decode(), "-p", old, "-p", source, "-F", "-", data=data
    )
    bring(repo, git, new)
    return new, "merge"


def _into_working_tree(repo: Repository, private: Path, merged: Merged) -> None:
    assert repo.top is not None  # `_target` has seen one
    for name in _UNDER_WAY:
        if (repo.own / name).exists():
            raise Refused("under-way", f"{repo.top} is in the middle of something ({name})", "finish or abort it first")
    with _index_lock(repo, private) as held:
        beside = _fresh(private / "tree.git", repo, merged.before, index=True)
        clean_or_refuse(beside)
        lost = _in_the_way(repo.top, beside, merged)
        if lost:
            some = ", ".join(shown(path) for path in lost[:_SHOWN])
            raise Refused("in-the-way", f"{some} would be overwritten", "nothing was changed; move it away")
        try:
            beside("read-tree", "-m", "-u", "--dry-run", merged.before, merged.after)
        except Failed as error:
            raise Refused("in-the-way", error.message, "nothing was changed; move these files away") from error
        journal = _Journal(os.fsencode(repo.own).hex(), merged)
        write_atomic(private / _JOURNAL, msgspec.json.encode(journal))
        held.append(True)
        beside("read-tree", "-m", "-u", merged.before, merged.after)
        _publish(repo, private, merged)
    shutil.rmtree(private / "tree.git")


def _in_the_way(top: Path, git: Git, merged: Merged) -> list[str]:
    """Files that git does not know, or ignores, where the merge puts others: git itself spares only the former."""
    words = git("diff-tree", "-r", "-z", "--name-status", "--no-renames", merged.before, merged.after).split(b"\0")
    status = {os.fsdecode(path): kind for kind, path in zip(words[0::2], words[1::2], strict=False)}
    gone = {path for path, kind in status.items() if kind == b"D"}
    found: set[str] = set()
    for path in (path for path, kind in status.items() if kind == b"A"):
        place = top / path
        for above in (path, *(str(parent) for parent in Path(path).parents if parent.name)):
            at = top / above
            if os.path.lexists(at) and (at.is_symlink() or not at.is_dir()) and above not in gone:
                found.add(above)
        if place.is_dir() and not place.is_symlink():
            found.update(f"{path}/{inner}" for inner in walk(place).files if f"{path}/{inner}" not in gone)
    return sorted(found)


def _publish(repo: Repository, private: Path, merged: Merged) -> None:
    """The new index, then the branch: from then on the merge has happened."""
    fresh = repo.own / "index.armarius"
    shutil.copy2(private / "tree.git" / "index", fresh)
    fresh.replace(repo.own / "index")
    repo.move_ref(merged.branch, merged.after, merged.before, f"armarius: merge {merged.run_id}")
    _close(repo, private)


def _close(repo: Repository, private: Path) -> None:
    """The lock goes before the journal, or nobody would know any more whose it is."""
    if _holds_lock(repo, private):
        (repo.own / "index.lock").unlink()
    (private / _JOURNAL).unlink()


@contextlib.contextmanager
def _index_lock(repo: Repository, private: Path) -> Generator[list[bool]]:
    """The lock of git's own, so that no other git touches the index. It is a second name of our file, so we know it.

    Once something is put on the list, leaving by an error leaves the lock to whoever finishes the merge.
    """
    if _holds_lock(repo, private):
        (repo.own / "index.lock").unlink()  # of a merge that was killed before it began
    mark = private / "held"
    mark.touch(mode=0o600)
    try:
        os.link(mark, repo.own / "index.lock")
    except FileExistsError as error:
        raise Refused(
            "index-lock", f"{repo.own / 'index.lock'} is there: another git is at work", "wait for it"
        ) from error
    held: list[bool] = []
    try:
        yield held
    finally:
        if not held and _holds_lock(repo, private):
            (repo.own / "index.lock").unlink()


def _holds_lock(repo: Repository, private: Path) -> bool:
    try:
        return (repo.own / "index.lock").samefile(private / "held")
    except FileNotFoundError:
        return False


def _mend(repo: Repository, private: Path) -> None:
    """Finish a merge into a working tree that was killed in the middle."""
    path = private / _JOURNAL
    if not path.exists():
        return
    try:
        journal = msgspec.json.decode(read_bounded(path, _LONGEST_JOURNAL), type=_Journal)
    except msgspec.MsgspecError as error:
        raise DataError(
            "merge-journal", f"{path}: {error}", "look at the working tree, then remove the file"
        ) from error
    merged = journal.merged
    if Path(os.fsdecode(bytes.fromhex(journal.own))) != repo.own:
        raise Refused(
            "merge-journal", f"a merge of {merged.run_id} was interrupted in another working tree", "merge there first"
        )
    now = repo.commit_of(merged.branch)
    if now == merged.after:
        _close(repo, private)
        return
    if now != merged.before:
        raise Refused(
            "merge-journal",
            f"a merge of {merged.run_id} was interrupted, and the branch has moved since",
            f"look at the working tree, then remove {path}",
        )
    beside = _fresh(private / "tree.git", repo, merged.before, index=True)
    edited = _edited(repo, beside, merged)
    if edited:
        some = ", ".join(shown(name) for name in edited[:_SHOWN])
        raise Refused(
            "merge-journal",
            f"a merge of {merged.run_id} was interrupted, and {some} was edited since",
            f"move it away, or remove {path}",
        )
    beside("read-tree", "--reset", "-u", merged.after)
    _publish(repo, private, merged)


def _edited(repo: Repository, git: Git, merged: Merged) -> list[str]:
    """Files that are neither as before nor as after nor in between."""
    assert repo.top is not None  # a journal is written for a working tree alone
    listed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", merged.before, merged.after).split(b"\0")
    touched = {os.fsdecode(path) for path in listed if path}
    git("read-tree", "--reset", merged.before)  # the copy of the index alone
    git("update-index", "-q", "--refresh", codes=(0, 1))  # a file written again as it was is no change
    changed = {
        os.fsdecode(path)
        for path in git("diff-files", "-z", "--name-only", "--ignore-submodules=all").split(b"\0")
        if path
    }
    edited = sorted(changed - touched)
    with Reader(repo.top) as reader:
        return edited + [path for path in sorted(touched) if not _is_between(reader, git, path, merged, changed)]


def _is_between(reader: Reader, git: Git, path: str, merged: Merged, changed: set[str]) -> bool:  # one caller
    after = git.answer("cat-file", "blob", f"{merged.after}:{path}", codes=(0, 128))
    before = git.answer("cat-file", "-e", f"{merged.before}:{path}", codes=(0, 1, 128))[0] == 0
    if before and path not in changed:
        return True
    try:
        try:
            seen = reader.link(path)
        except OSError:
            with os.fdopen(reader.open(path), "rb") as file:
                seen = file.read()
    except OSError:
        return True  # gone, or a folder now: nothing of anybody's is lost by writing it
    return after[0] == 0 and any(whole.startswith(seen) for whole in (after[1], after[1].replace(b"\n", b"\r\n")))
