"""What exists of a run: its attempts, whoever started them, and their end.

Owns finding an attempt again, answering for it, and recording how it ended. Does not own starting
one (runner.py) nor the judgement (settle.py).
Invariant: an attempt's end is committed once. A run whose owner lives is its owner's, one whose
guard lives is left running; every other open run of this host can be settled from its folder.
"""

import os
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.command import Review
from armarius.codex.events import read_stream
from armarius.codex.guard import Identity, identity_of
from armarius.codex.process import Attempt, Exit
from armarius.dispatch import records, workspace
from armarius.dispatch.records import QUERIES, AttemptRow, RunRow
from armarius.dispatch.request import RunRequest, RunResult
from armarius.dispatch.settle import Remains, responses_of, settle
from armarius.files import private_folder, write_atomic
from armarius.rollouts.discovery import find_rollout, find_rollouts
from armarius.rollouts.reader import read_rollout
from armarius.store.database import Database
from armarius.thread import Thread

__all__ = ["BEFORE", "Begun", "Keeper", "folders_of", "note_past"]

BEFORE = "before.json"
"""The files of a run's folder as they were before it, beside the attempt."""

_PAST = "past.json"
_CLOCKS_APART_US = 2_000_000


class _Past(msgspec.Struct, frozen=True):
    """What a thread held before a run resumed it; the rest is the run's own."""

    turns: frozenset[str]
    responses: frozenset[str]


class Begun(msgspec.Struct, frozen=True):
    """A run that somebody is responsible for. `done` is its result when it needs nothing more."""

    run_id: str
    number: int
    request: RunRequest
    attempt: Attempt
    codex_version: str
    done: RunResult | None = None


class Keeper:
    """The runs of a ledger, as one Armarius process answers for them. The ledger belongs to its thread."""

    def __init__(self, ledger: Database, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.me: Identity = identity_of(os.getpid()) or {}

    def finish(self, begun: Begun, end: Exit) -> RunResult:
        """Settle an attempt that is over and record the result."""
        folder = begun.attempt.folder
        remains = self._gather(begun, end)
        result = settle(begun.run_id, str(folder), begun.request, begun.codex_version, remains)
        with self.ledger.transaction():
            records.close_run(
                self.ledger,
                number=begun.number,
                result=result,
                end=end,
                responses=responses_of(remains),
                now_us=self.clock.now_us(),
            )
        return result

    def recover(self) -> list[RunResult]:
        """Record every run of this host that ended while nobody was there to see it.

        Runs whose owner lives are left to it, runs whose guard lives are left running.
        """
        recovered = list[RunResult]()
        for run in self.ledger.fetch(QUERIES.open_runs, RunRow):
            attempt_row = self.last_attempt(run)
            if attempt_row.owner == self.me or self.is_anothers(attempt_row):
                continue
            begun = self.begun(run, attempt_row.number, run.asked)
            if begun.attempt.liveness() == "alive" or not self.take_over(attempt_row):
                continue
            recovered.append(self.finish(begun, begun.attempt.wait()))
        return recovered

    def is_anothers(self, row: AttemptRow) -> bool:
        """Whether somebody else answers for an attempt; of another host nobody can know that they are gone."""
        return row.owner != self.me and (row.host != self.me["host"] or _lives(row.owner))

    def _gather(self, begun: Begun, end: Exit) -> Remains:
        attempt = begun.attempt
        if not attempt.events.exists():
            attempt.events.touch(mode=0o600)
        stream = read_stream(attempt.events)
        stderr = attempt.stderr.read_text(errors="replace") if attempt.stderr.exists() else ""
        before = attempt.folder / BEFORE
        files = None
        if before.exists():
            now = workspace.snapshot(*folders_of(begun.request))
            files = workspace.changed(workspace.decode(before.read_bytes()), now)
        thread = _own(_thread(begun.request, stream.thread_id), attempt.folder)
        children = _reviewers(begun.request, thread, end) if thread is not None else ()
        return Remains(end, stream, stderr, thread, files, children, is_fresh=begun.request.origin is None)

    def begun(self, run: RunRow, number: int, request: RunRequest) -> Begun:
        attempt = Attempt(private_folder(Path(run.folder) / str(number)))
        return Begun(run.id, number, request, attempt, run.codex_version or "")

    def last_attempt(self, run: RunRow) -> AttemptRow:
        row = self.ledger.fetch_one(QUERIES.last_attempt, AttemptRow, run_id=run.id)
        if row is None:
            raise RuntimeError(f"{run.id} has no attempt, though both are written in one transaction")
        return row

    def take_over(self, row: AttemptRow) -> bool:
        """Become the owner of an attempt; False when somebody else just did."""
        return (
            row.owner == self.me
            or self.ledger.execute(
                QUERIES.take_over_attempt,
                run_id=row.run_id,
                number=row.number,
                host=self.me["host"],
                boot_id=self.me["boot_id"],
                owner_pid=self.me["pid"],
                owner_start=self.me["start"],
                old_pid=row.owner_pid,
                old_start=row.owner_start,
            )
            == 1
        )


def folders_of(request: RunRequest) -> tuple[Path, ...]:
    """The folders that a run may write to: its own first."""
    return tuple(map(Path, (request.cwd, *request.add_dirs)))


def note_past(folder: Path, request: RunRequest, thread_id: str) -> None:
    """Keep beside an attempt what the thread that it resumes holds already."""
    thread = _thread(request, thread_id)
    turns = frozenset(turn.id for turn in thread.turns) if thread else frozenset[str]()
    responses = frozenset(response.response_id for response in thread.responses) if thread else frozenset[str]()
    write_atomic(folder / _PAST, msgspec.json.encode(_Past(turns, responses)))


def _thread(request: RunRequest, thread_id: str | None) -> Thread | None:
    path = None if thread_id is None else find_rollout(Path(request.codex_home), thread_id)
    return None if path is None else read_rollout(path)


def _own(thread: Thread | None, folder: Path) -> Thread | None:
    """The part of a thread that an attempt added to it."""
    path = folder / _PAST
    if thread is None or not path.exists():
        return thread
    past = msgspec.json.decode(path.read_bytes(), type=_Past)
    return msgspec.structs.replace(
        thread,
        turns=tuple(turn for turn in thread.turns if turn.id not in past.turns),
        responses=tuple(response for response in thread.responses if response.response_id not in past.responses),
    )


def _reviewers(request: RunRequest, thread: Thread, end: Exit) -> tuple[Thread, ...]:
    """The threads in which Codex does a review; the one that was started holds only its words."""
    if not isinstance(request.origin, Review) or end.started_at_us is None:
        return ()
    since_us = end.started_at_us - _CLOCKS_APART_US
    files = (file for file in find_rollouts(Path(request.codex_home)) if file.changed_us >= since_us)
    threads = (read_rollout(file.path) for file in files if file.thread_id > thread.id)  # born later: ids sort by birth
    return tuple(child for child in threads if child.parent_id == thread.id)


def _lives(owner: Identity) -> bool:
    return identity_of(owner["pid"]) == owner
