"""What becomes of the work that a run did in its own checkout: merged, kept, dropped.

Owns these verbs. Does not own how they are done (checkout/) nor taking the work in (checkouts.py).
Invariant: a run that is not over is left alone; a merge into a working tree holds it, so that no writer of ours and
no session of others is in it meanwhile. Made again after a kill, each comes to the same.
"""

from pathlib import Path

import msgspec

from armarius.checkout.git import Repository, shown
from armarius.checkout.merge import Merged, Strategy, merge
from armarius.checkout.prepare import drop, keep, run_ref
from armarius.clock import Clock
from armarius.dispatch.keeper import Keeper
from armarius.errors import DataError, NoAnswer, Refused
from armarius.runs.records import RunRow
from armarius.sharing.checkouts import collect_again, folder_of, repository_of
from armarius.sharing.holding import NOTHING

__all__ = ["RunWork", "drop_work", "keep_work", "merge_work"]


class RunWork(msgspec.Struct, frozen=True):
    """What became of a run's work (`armarius.run_work.v1`).

    `commit` is None where nothing had been changed. `merged` is set by a merge, `branch` by one that was asked for.
    """

    run: str
    action: str
    repository: str
    ref: str | None = None
    commit: str | None = None
    branch: str | None = None
    merged: Merged | None = None
    schema: str = "armarius.run_work.v1"


def merge_work(runs: Keeper, run: RunRow, *, into: str | None, strategy: Strategy) -> RunWork:
    """Merge a run's work into the branch that is checked out or another one, and give up its checkout.

    Refused while somebody else writes to that tree.
    """
    repo = _over(run, runs.clock)
    here = into is None or _is_checked_out(repo, into)
    try:
        held = runs.holds.tree_now(Path(run.cwd)) if here else NOTHING
    except NoAnswer as busy:
        raise NoAnswer(busy.code, busy.message, "merge again when it is free: `armarius resources list`") from busy
    try:
        merged = merge(repo, run.id, runs.clock, strategy=strategy, into=into)
    finally:
        runs.holds.leases.release(held.leases)
    if merged.how == "already":
        raise Refused("merged-already", f"{run.id} is part of {shown(merged.branch)} already", "")
    commit = keep(repo, run.id, folder_of(Path(run.folder)))
    return RunWork(run.id, "merged", run.cwd, run_ref(run.id), commit, merged.branch, merged)


def keep_work(run: RunRow, clock: Clock, *, branch: str | None) -> RunWork:
    """Give up the checkout and keep its work at the private reference, and at a branch if one is named."""
    repo = _over(run, clock)
    commit = repo.commit_of(run_ref(run.id))
    if branch is not None:
        _make_branch(repo, run, branch, commit)
    keep(repo, run.id, folder_of(Path(run.folder)))
    return RunWork(run.id, "kept", run.cwd, run_ref(run.id) if commit else None, commit, branch)


def drop_work(run: RunRow, clock: Clock) -> RunWork:
    """Give up the checkout and its work; what was merged stays."""
    repo = _over(run, clock, take_in=False)
    commit = repo.commit_of(run_ref(run.id))
    drop(repo, run.id, folder_of(Path(run.folder)))
    return RunWork(run.id, "dropped", run.cwd, None, commit)


def _is_checked_out(repo: Repository, branch: str) -> bool:
    current = repo.git.line("symbolic-ref", "--quiet", "HEAD", codes=(0, 1))
    return current == f"refs/heads/{branch.removeprefix('refs/heads/')}"


def _over(run: RunRow, clock: Clock, *, take_in: bool = True) -> Repository:
    """The repository of a run that is over, with its work in it, also where that failed when the run ended."""
    asked = run.asked
    if not asked.checkout:
        raise DataError("run-checkout", f"{run.id} had no checkout of its own", "what it changed lies in its folder")
    if run.ended_at_us is None:
        raise Refused("run-live", f"{run.id} is {run.state}", f"`armarius runs wait {run.id}` first")
    if take_in and (run.outcome is None or run.outcome.work is None):
        collect_again(asked, Path(run.folder), clock)
    return repository_of(asked)


def _make_branch(repo: Repository, run: RunRow, branch: str, commit: str | None) -> None:
    name = f"refs/heads/{branch.removeprefix('refs/heads/')}"
    if commit is None:
        raise DataError("run-work", f"{run.id} has no work: it changed nothing, or was dropped", "")
    if repo.git.answer("check-ref-format", name, codes=(0, 1))[0] != 0:
        raise DataError("branch", f"{branch!r} is no name of a branch", "see `git help check-ref-format`")
    old = repo.commit_of(name)
    if old is not None and old != commit:
        raise Refused("branch-exists", f"{branch} stands at {old[:12]}", "choose another name, or merge into it")
    if old is None:
        repo.move_ref(name, commit, None, f"armarius: keep {run.id}")
