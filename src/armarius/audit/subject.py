"""What is to be judged: a run's work or a commit, where it began, and who did it.

Owns finding these. Does not own how it is judged.
Invariant: the base is never the worker's: work that goes on from an earlier run's begins where that one began, unless
a person has taken it over into a branch. Work in a shared tree is captured as it is, outside of every sandbox; the
tree stays as it is.
"""

import os
from pathlib import Path

import msgspec

from armarius.checkout.base import choose
from armarius.checkout.git import Repository, bring, find, user_environ
from armarius.checkout.prepare import run_ref
from armarius.clock import Clock
from armarius.errors import DataError, Refused
from armarius.lanes.lanes import Lanes
from armarius.runs.records import RunRow, find_run
from armarius.settings import Settings
from armarius.sharing.checkouts import repository_of, work_of
from armarius.store.database import Database

__all__ = ["Author", "Subject", "lane_of", "subject_of"]

_CAPTURED = "Uncommitted work at the start of "
_OURS = "@armarius.invalid"
_MOST_STEPS = 1_000


class Author(msgspec.Struct, frozen=True):
    """Who did the work: the run, its thread, its lane, the model that was seen."""

    run: str | None = None
    thread_id: str | None = None
    lane: str | None = None
    model: str | None = None


class Subject(msgspec.Struct, frozen=True):
    """`name` is the run's id, or the commit that a person named; the work is what `commit` changes of `base`.

    `writable` are the folders that the author could write to, besides a checkout of its own, `touched` the files there
    that it was seen to change, by their real names.
    """

    name: str
    repo: Repository
    commit: str
    base: str
    author: Author = Author()
    writable: tuple[Path, ...] = ()
    touched: frozenset[str] = frozenset()

    def diff(self, *, context: int = 3) -> str:
        """What the work changes, as git prints it; nothing of anybody's configuration is run for it."""
        words = ("diff-tree", "-p", "-r", "--no-color", "--no-ext-diff", "--no-textconv", "-M", f"-U{context}")
        return self.repo.git(*words, self.base, self.commit).decode(errors="replace")


def subject_of(
    settings: Settings, ledger: Database, clock: Clock, name: str, folder: Path, *, repo: Path | None, base: str | None
) -> Subject:
    """The subject that `name` means: a run when there is one, else a commit of the repository at `repo`.

    `folder` is a private one of ours, for a snapshot.
    """
    row = _run(ledger, name)
    if row is not None:
        return _of_run(settings, row, folder, clock, base)
    place = Path.cwd() if repo is None else repo.absolute()
    found = find(place, user_environ(settings.search_path, settings.user_home))
    commit = found.commit_of(name)
    if commit is None:
        hint = "see `armarius runs list` and `git log --oneline`"
        raise DataError("subject", f"{name!r} is neither a run nor a commit of {place}", hint)
    return Subject(commit, found, commit, _base(found, base or f"{commit}^"))


def lane_of(settings: Settings, codex_home: str) -> str:
    """The name of the lane that a CODEX_HOME is."""
    lanes, real = Lanes(settings), os.path.realpath(codex_home)
    names = (lane.name for lane in lanes.all() if os.path.realpath(lanes.home(lane.name)) == real)
    return next(names, "own" if real == os.path.realpath(settings.codex_home) else "unknown")


def _run(ledger: Database, name: str) -> RunRow | None:
    plain = name.removeprefix(run_ref("run_")[: -len("run_")])
    try:
        return find_run(ledger, plain)
    except DataError as error:
        if error.code != "run-unknown" or plain.startswith("run_"):
            raise
        return None


def _of_run(settings: Settings, row: RunRow, folder: Path, clock: Clock, base: str | None) -> Subject:
    if row.ended_at_us is None:
        raise Refused("run-live", f"{row.id} is {row.state}", f"`armarius runs wait {row.id}` first")
    asked, result = row.asked, row.outcome
    repo = repository_of(asked)
    lane = lane_of(settings, asked.codex_home)
    author = Author(row.id, row.thread_id, lane, result.model if result is not None else asked.model)
    if asked.checkout:
        if result is None or result.work is None:
            raise DataError(
                "run-work", f"the work of {row.id} was not taken in", f"`armarius runs keep {row.id}` first"
            )
        if result.work.ref is not None and work_of(row.id, asked) is None:
            raise DataError("run-work", f"the work of {row.id} was dropped", "run it again")
        commit = result.work.commit or result.work.base
        begun = _base(repo, base) if base is not None else _begun(repo, result.work.base)
        return Subject(row.id, repo, commit, begun, author, tuple(map(Path, asked.add_dirs)))
    chosen = choose(repo, folder, row.id, clock, base=None, dirty="capture", untracked="copy")
    if chosen.maker is not None:
        bring(repo, chosen.maker, chosen.commit)
    begun = chosen.head if base is None else _base(repo, base)
    writable = (repo.top or Path(asked.cwd), *map(Path, asked.add_dirs))
    changed = result.files_changed if result is not None else ()
    touched = frozenset(os.path.realpath(Path(asked.cwd) / path) for path in changed)
    return Subject(row.id, repo, chosen.commit, begun, author, writable, touched)


def _base(repo: Repository, name: str) -> str:
    commit = repo.commit_of(name)
    if commit is None:
        raise DataError("base", f"{name!r} is no commit of {repo.top or repo.own}", "name one with --base")
    return commit


def _begun(repo: Repository, commit: str) -> str:
    """The commit of a person's that a chain of runs began with."""
    for _ in range(_MOST_STEPS):
        email, _, title = repo.git.line("show", "-s", "--no-show-signature", "--format=%ae %s", commit).partition(" ")
        if not email.endswith(_OURS) or title.startswith(_CAPTURED) or _is_a_persons(repo, commit):
            return commit
        commit = _base(repo, f"{commit}^")
    raise DataError("base", f"no commit of a person's before {commit}", "name one with --base")


def _is_a_persons(repo: Repository, commit: str) -> bool:
    """Whether a branch or tag has it: somebody has merged it."""
    words = ("for-each-ref", "--count=1", f"--contains={commit}", "refs/heads", "refs/tags", "refs/remotes")
    return bool(repo.git.line(*words))
