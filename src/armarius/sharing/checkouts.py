"""A run in a tree of its own, and taking in its work.

Owns when a checkout is made, what an attempt is told of it, and when its work is taken in. Does not own how any of it
is done (checkout/), nor what follows (works.py).
Invariant: what the agent wrote is taken in before the run is said to be over, however it ended, and by whoever
records that end; taken in again, it is the same. A change outside the declared scope fails the run.
"""

import os
from pathlib import Path

import msgspec

from armarius.checkout import scopes
from armarius.checkout.collect import Collected, collect
from armarius.checkout.git import Repository, find, own_store, user_environ
from armarius.checkout.prepare import Checkout, load, prepare, run_ref
from armarius.clock import Clock
from armarius.errors import ArmariusError, DataError
from armarius.redact import redact
from armarius.runs.request import Problem, RunRequest, RunResult

__all__ = ["collect_again", "diff_of", "folder_of", "make_checkout", "placed", "repository_of", "taken_in", "work_of"]

_FOLDER = "checkout"
_LONGEST_TITLE = 72
_SHOWN = 20


def repository_of(request: RunRequest) -> Repository:
    """The repository that a run's folder lies in."""
    return find(Path(request.cwd), user_environ(request.tools_path, Path(request.home)))


def make_checkout(request: RunRequest, run_folder: Path, run_id: str, clock: Clock) -> None:
    """The run's own tree, if it is to have one; the one that is there where a crash came in between."""
    if request.checkout:
        how = "capture" if request.with_uncommitted else "refuse"
        also = "copy" if request.with_uncommitted else "ignore"
        repo = repository_of(request)
        prepare(repo, run_folder / _FOLDER, run_id, clock, base=request.base, dirty=how, untracked=also)


def placed(request: RunRequest, run_folder: Path) -> RunRequest:
    """The request as its attempt sees it: in the checkout, if it has one."""
    try:
        made = _made(request, run_folder)
    except DataError:
        made = None  # its record is broken: `taken_in` says so, and the end of the run is recorded
    if made is None:
        return request
    opened = (str(made.tree / ".git"),) if request.allow_commit else ()
    return msgspec.structs.replace(request, cwd=made.cwd, add_dirs=(*request.add_dirs, *opened))


def taken_in(request: RunRequest, run_folder: Path, result: RunResult, clock: Clock) -> RunResult:
    """The result with the run's work, which is by then a commit in the repository."""
    try:
        made = _made(request, run_folder)
        if made is not None:
            work = _collect(request, made, clock)
            return _judged(msgspec.structs.replace(result, work=work, outside=work.outside))
        if request.scope and not request.checkout:
            outside = _outside(request, run_folder, result.files_changed)
            return _judged(msgspec.structs.replace(result, outside=outside))
    except (ArmariusError, OSError) as error:
        # The end of a run is recorded whatever became of its repository; the checkout is left as it is.
        told = error if isinstance(error, ArmariusError) else DataError("work", f"{run_folder}: {error.strerror}")
        hint = f"its files are still in {run_folder / _FOLDER}; `armarius runs keep {result.id}` takes them in again"
        return _failed(result, Problem("work-" + told.code, told.message, hint, told.exit_code))
    return result


def diff_of(request: RunRequest, result: RunResult) -> bytes | None:
    """What the work of a checkout changes, as a patch; None where there is none, or it cannot be had any more."""
    if result.work is None or result.work.commit is None:
        return None
    words = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", result.work.base)
    try:
        return repository_of(request).git(*words, result.work.commit, "--")
    except (ArmariusError, OSError):
        return None


def work_of(run_id: str, request: RunRequest) -> str | None:
    """The reference of a run's work, if it has any."""
    return run_ref(run_id) if repository_of(request).commit_of(run_ref(run_id)) else None


def folder_of(run_folder: Path) -> Path:
    """Where a run has its checkout."""
    return run_folder / _FOLDER


def collect_again(request: RunRequest, run_folder: Path, clock: Clock) -> None:
    """Take in the work of a checkout once more, where that failed when the run ended."""
    made = _made(request, run_folder)
    if made is not None:
        _collect(request, made, clock)


def _made(request: RunRequest, run_folder: Path) -> Checkout | None:
    folder = run_folder / _FOLDER
    return load(folder) if request.checkout and (folder / "checkout.json").exists() else None


def _collect(request: RunRequest, made: Checkout, clock: Clock) -> Collected:
    lines = redact(request.prompt).split("\n")
    title = next((line.strip() for line in lines if line.strip()), "")[:_LONGEST_TITLE] or f"Work of {made.run_id}"
    message = f"{title}\n\nArmarius-Run: {made.run_id}"
    return collect(repository_of(request), made, clock, message, scope=request.scope or None)


def _outside(request: RunRequest, run_folder: Path, changed: tuple[str, ...]) -> tuple[str, ...]:
    """Which files that were changed in a shared tree lie outside the scope, but for those that git ignores."""
    repo = repository_of(request)
    assert repo.top is not None  # a scope is refused where there is no working tree
    inside = [os.path.normpath(os.path.join(repo.prefix, path)) for path in changed if not os.path.isabs(path)]  # noqa: PTH117, PTH118  # names, not places
    beyond = [path for path in inside if not scopes.covers(request.scope, path)]
    elsewhere = [path for path in changed if os.path.isabs(path)]  # noqa: PTH117
    head = repo.commit_of("HEAD")
    if not beyond or head is None:
        return tuple(sorted((*beyond, *elsewhere)))
    store = own_store(run_folder / "scope.git", repo, head=head, index=True)
    asking = msgspec.structs.replace(store, environ=store.environ | {"GIT_LITERAL_PATHSPECS": "0"})
    names = b"".join(b"./" + os.fsencode(path) + b"\0" for path in beyond)
    said = asking("check-ignore", "-z", "--stdin", data=names, codes=(0, 1))
    ignored = {os.fsdecode(path[2:]) for path in said.split(b"\0") if path}
    return tuple(sorted((*(path for path in beyond if path not in ignored), *elsewhere)))


def _judged(result: RunResult) -> RunResult:
    if not result.outside:
        return result
    more = f" and {len(result.outside) - _SHOWN} more" if len(result.outside) > _SHOWN else ""
    some = ", ".join(result.outside[:_SHOWN]) + more
    why = f"changed outside of its scope: {some}"
    return _failed(result, Problem("outside-scope", why, "widen --scope, or drop its work"))


def _failed(result: RunResult, problem: Problem) -> RunResult:
    """The result as a failure, unless it is one for a reason of its own."""
    if result.problem is not None:
        return result
    return msgspec.structs.replace(result, state="failed", problem=problem)
