"""Required commands, run by us after the agent, in the tree that it left.

Owns when they run, what they are given, and what their end means for the run. Does not own what a command is
(proof/required.py) nor its process: a guard has it, as it has Codex, so that none outlives its deadline or us.
Invariant: a run with required commands succeeds only when every one of them was run by whoever recorded its end, and
succeeded. One whose end somebody else has to record is said not to be proven: nobody looked.

Nothing keeps such a command in: it runs as the user, and what it runs may be the agent's work. It has an allow-listed
environment, the owner's PATH without the folders that the agent could write to, and no input.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from armarius.codex.process import Attempt, Exit, Launch
from armarius.errors import ArmariusError
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_file
from armarius.proof.contained import read_below
from armarius.proof.required import MOST_EXCERPT, Required, RequiredRun, path_outside, pin, shown
from armarius.proof.trees import TreeHasher, head_of
from armarius.redact import redact
from armarius.runs import workspace
from armarius.runs.receipts import EVIDENCE, pins_of
from armarius.runs.request import Problem, RunRequest, RunResult
from armarius.sharing.holding import FENCE

__all__ = ["end_living", "proven", "unproven"]

_FOLDER = "required"
_ALLOWED = frozenset({"LANG", "LANGUAGE", "LOGNAME", "SHELL", "TERM", "TZ", "USER"})
_GRACE_S = (2.0, 1.0)
_MOST_OUTPUT = 64 << 20
_TAIL = 64 << 10
_ROUND_S = 0.05


class _Site(msgspec.Struct, frozen=True):
    """Where commands are run: the tree, its folders, and the environment."""

    attempt: Attempt
    cwd: Path
    folders: tuple[Path, ...]
    environ: dict[str, str]
    home: Path


def proven(
    request: RunRequest,
    attempt: Attempt,
    result: RunResult,
    ambient: Mapping[str, str],
    held: Mapping[str, str],
    *,
    ends: Callable[[Attempt], object] | None = None,
) -> RunResult:
    """The result, once every required command was run; as it was when there are none or the agent has failed.

    `request` is as the attempt saw it. `ambient` is the owner's environment, `held` says what the run
    holds. `ends` is told each process that an interrupt is to end.
    """
    if result.state != "succeeded":
        return result
    missing = _kept(request, attempt.folder)
    if missing is not None:
        return msgspec.structs.replace(result, state="failed", problem=missing)
    if not request.required:
        return result
    site = _site(request, attempt, ambient, held)
    done = tuple(_run_all(site, request, ends))
    result = msgspec.structs.replace(result, required=done)
    if attempt.is_unwanted:
        stopped = Problem("cancelled", "the run was cancelled while its required commands ran", "", 130)
        return msgspec.structs.replace(result, state="cancelled", problem=stopped)
    failed = [one for one in done if not one.passed]
    if not failed:
        return result
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    said = f"required: `{shown(failed[0])}` {_why(failed[0])}{more}"
    where = f"see {failed[0].folder}"
    return msgspec.structs.replace(result, state="failed", problem=Problem("required-failed", redact(said), where))


def unproven(request: RunRequest, attempt: Attempt, result: RunResult) -> RunResult:
    """The result of a run whose end somebody else has to record: its required commands were not seen to succeed."""
    if not (request.required or request.evidence):
        return result
    end_living(attempt)
    if result.state != "succeeded":
        return result
    said = "whoever was to run its required commands and take its evidence in was gone before the end"
    problem = Problem("unproven", said, f"do it again: `armarius runs retry {result.id}`", 6)
    return msgspec.structs.replace(result, state="failed", problem=problem)


def _kept(request: RunRequest, folder: Path) -> Problem | None:
    """Take in the files that have to be there, as they are now; why one cannot be."""
    for number, name in enumerate(request.evidence, 1):
        try:
            data = read_below(name, Path(request.cwd), _MOST_OUTPUT, field="evidence")
        except ArmariusError as error:
            return Problem("evidence-missing", redact(error.message), error.hint)
        write_atomic(private_folder(folder / EVIDENCE) / str(number), data)
    return None


def end_living(attempt: Attempt) -> None:
    """End what is left of required commands that nobody waits for any more."""
    for folder in sorted((attempt.folder / _FOLDER).glob("[1-9]*")):
        command = Attempt(folder)
        if command.liveness() in ("alive", "lost"):
            command.cancel()
            command.wait()


def _site(request: RunRequest, attempt: Attempt, ambient: Mapping[str, str], held: Mapping[str, str]) -> _Site:
    folders = tuple(map(Path, (request.cwd, *request.add_dirs)))
    environ = {name: value for name, value in ambient.items() if name in _ALLOWED or name.startswith("LC_")}
    temporary = private_folder(private_folder(attempt.folder / _FOLDER) / "tmp")
    environ |= request.environment | dict(held)
    environ |= {"HOME": request.home, "PATH": path_outside(request.tools_path, folders), "TMPDIR": str(temporary)}
    return _Site(attempt, Path(request.cwd), folders, environ, Path(request.home))


def _run_all(site: _Site, request: RunRequest, ends: Callable[[Attempt], object] | None) -> Iterator[RequiredRun]:
    hasher = TreeHasher()
    pins = pins_of(site.attempt.folder)
    files = workspace.snapshot(*site.folders)
    head, tree = head_of(site.cwd, request.tools_path, site.home), hasher.hash(site.cwd, files)
    for number, required in enumerate(request.required, 1):
        if site.attempt.is_unwanted:
            return
        was = (pins.programs if pins else {}).get(required.program)
        folder = site.attempt.folder / _FOLDER / str(number)
        done = RequiredRun(required.argv, required.program, passed=False, folder=str(folder))
        if was is None or was != pin((required,), site.cwd)[required.program]:
            done = msgspec.structs.replace(done, problem="its program is not the one that was there before the agent")
        else:
            done = _run(site, required, done, ends)
        files_after = workspace.snapshot(*site.folders)
        head_after, tree_after = (
            head_of(site.cwd, request.tools_path, site.home),
            hasher.hash(site.cwd, files_after),
        )
        yield msgspec.structs.replace(
            done,
            head_before=head,
            head_after=head_after,
            tree_before=tree,
            tree_after=tree_after,
            files_changed=workspace.changed(files, files_after),
        )
        files, head, tree = files_after, head_after, tree_after


def _run(site: _Site, required: Required, done: RequiredRun, ends: Callable[[Attempt], object] | None) -> RequiredRun:
    command = Attempt(Path(done.folder))
    fence = site.attempt.folder / FENCE
    command.start(
        Launch(
            argv=(str(site.cwd / required.program), *required.argv[1:]),
            environ=site.environ,
            cwd=str(site.cwd),
            deadline_s=required.timeout_s,
            grace_s=_GRACE_S,
            output_cap_bytes=_MOST_OUTPUT,
            fence=str(fence) if fence.exists() else None,
        ),
        b"",
    )
    if ends is not None:
        ends(_Both(site.attempt, command))
    while command.liveness() == "alive":
        if site.attempt.is_unwanted:
            command.cancel()
        time.sleep(_ROUND_S)
    return _ended(done, command, command.wait())


class _Both(Attempt):
    """A run's attempt that is over and its command that goes on: an interrupt ends the run, and so the command."""

    def __init__(self, attempt: Attempt, command: Attempt) -> None:
        super().__init__(attempt.folder)
        self._command = command

    def cancel(self) -> bool:
        super().cancel()
        return self._command.cancel()


def _ended(done: RequiredRun, command: Attempt, end: Exit) -> RequiredRun:
    passed = end.outcome == "exited" and end.exit_code == 0 and end.signal is None
    return msgspec.structs.replace(
        done,
        passed=passed,
        exit_code=end.exit_code if end.outcome == "exited" else None,
        timed_out=end.outcome == "deadline",
        problem=None if passed or end.outcome == "exited" else _told(end),
        duration_us=end.duration_us,
        output=_excerpt(command),
        stdout_sha256=hash_file(command.events) if command.events.exists() else None,
        stdout_bytes=command.events.stat().st_size if command.events.exists() else 0,
        stderr_sha256=hash_file(command.stderr) if command.stderr.exists() else None,
        stderr_bytes=command.stderr.stat().st_size if command.stderr.exists() else 0,
    )


def _told(end: Exit) -> str:
    return {
        "deadline": "did not end in its time",
        "cancelled": "was ended",
        "output_cap": "printed too much",
        "not_started": f"could not be started: {end.error}",
        "stopped": "was ended: the run lost what it held",
        "lost": "was lost: its guard was killed",
    }.get(end.outcome, end.outcome)


def _why(done: RequiredRun) -> str:
    if done.problem is not None:
        return done.problem
    return "was ended by a signal" if done.exit_code is None else f"ended with {done.exit_code}"


def _excerpt(command: Attempt) -> str:
    """The end of what a command printed, without secrets: of both outputs, the errors last."""
    both = "".join(redact(_tail(path)) for path in (command.events, command.stderr))
    return both[-MOST_EXCERPT:].replace("\0", "\ufffd")


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read(_TAIL).decode(errors="replace")
