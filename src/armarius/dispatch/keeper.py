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
from armarius.dispatch.proving import unproven
from armarius.errors import DataError
from armarius.files import private_folder, write_atomic
from armarius.identity import canonical_json
from armarius.proof.chain import Row
from armarius.rollouts.discovery import find_rollout, find_rollouts
from armarius.rollouts.reader import read_rollout
from armarius.runs import approvals, receipts, records, workspace
from armarius.runs.family import Family
from armarius.runs.passing import passed_of
from armarius.runs.records import QUERIES, AttemptRow, RunRow
from armarius.runs.request import RunRequest, RunResult
from armarius.runs.settle import Remains, commands_of, responses_of, settle
from armarius.sharing import checkouts
from armarius.sharing.holding import Holds
from armarius.sharing.site import NOWHERE, Site
from armarius.store.database import Database
from armarius.store.ledger import append_event, events_of
from armarius.thread import Command, ResponseUsage, Thread

__all__ = ["AGENT", "BEFORE", "Begun", "Keeper", "Past", "folders_of", "note_past", "past_of"]

BEFORE = "before.json"
"""The files of a run's folder as they were before it, beside the attempt."""

AGENT = "agent_started"
"""The event of a sub-agent of a run."""

_PAST = "past.json"
_CLOCKS_APART_US = 2_000_000
_NOBODY = -1
"""When no process ever began: an owner that does not live."""


class Past(msgspec.Struct, frozen=True):
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


class Judged(msgspec.Struct, frozen=True):
    """The end of an attempt, judged and not yet recorded. `agents` are the threads of its sub-agents.

    `is_recovered`: whoever answered for the run is gone, and somebody else records its end.
    """

    end: Exit
    result: RunResult
    responses: tuple[ResponseUsage, ...]
    agents: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    is_recovered: bool = False


class Keeper:
    """The runs of a ledger, as one Armarius process answers for them. The ledger belongs to its thread."""

    def __init__(self, ledger: Database, clock: Clock, site: Site = NOWHERE) -> None:
        self.ledger = ledger
        self.clock = clock
        self.me: Identity = identity_of(os.getpid()) or {}
        self.holds = Holds(ledger, clock, site, self.recover)

    def finish(self, begun: Begun, end: Exit) -> RunResult:
        """Settle an attempt that ended while nobody who answers for it was there, and record the result."""
        judged = self.judge(begun, end)
        result = unproven(begun.request, begun.attempt, judged.result)
        return self.record(begun, msgspec.structs.replace(judged, result=result, is_recovered=True))

    def judge(self, begun: Begun, end: Exit) -> Judged:
        """What came of an attempt that is over; nobody else knows yet."""
        folder = begun.attempt.folder
        request = checkouts.placed(begun.request, folder.parent)
        remains = self._gather(msgspec.structs.replace(begun, request=request), end)
        result = settle(begun.run_id, str(folder), request, begun.codex_version, remains)
        result = checkouts.taken_in(begun.request, folder.parent, result, self.clock)
        agents = tuple(agent.id for agent in remains.agents)
        return Judged(end, result, responses_of(remains), agents, commands_of(remains))

    def record(self, begun: Begun, judged: Judged) -> RunResult:
        """Commit the end of a run."""
        self.note(begun)
        self.holds.stop(begun.run_id)
        paper, row = self._paper(begun, judged), None
        with self.ledger.transaction():
            self.note_agents(begun.run_id, judged.agents)
            is_new = records.close_run(
                self.ledger,
                number=begun.number,
                result=judged.result,
                end=judged.end,
                responses=judged.responses,
                now_us=self.clock.now_us(),
            )
            if is_new:
                row = self._seal(begun, judged, paper)
                self.holds.end_within(begun.run_id)
        if row is not None:
            receipts.mark(self.ledger, str(begun.attempt.folder.parent), row)
        return judged.result

    def _paper(self, begun: Begun, judged: Judged) -> receipts.Paper:
        request = checkouts.placed(begun.request, begun.attempt.folder.parent)
        diff = checkouts.diff_of(begun.request, judged.result)
        if diff is not None:
            write_atomic(begun.attempt.folder / receipts.DIFF, diff)
        return receipts.prepare(request, begun.attempt.folder, judged.result, is_recovered=judged.is_recovered)

    def _seal(self, begun: Begun, judged: Judged, paper: receipts.Paper) -> Row | None:
        return receipts.seal(
            self.ledger,
            self.clock.now_us(),
            self.me,
            number=begun.number,
            result=judged.result,
            end=judged.end,
            commands=judged.commands,
            agents=judged.agents,
            leases=[seat.lease for seat in self.holds.leases.of_run(begun.run_id)],
            paper=paper,
        )

    def note(self, begun: Begun) -> None:
        """Write down what a run asked and was told, as far as that is not in the ledger yet."""
        approvals.note(self.ledger, self.clock, begun.run_id, begun.attempt.folder.parent, begun.number)

    def note_agents(self, run_id: str, agents: tuple[str, ...]) -> None:
        """Note sub-agents of a run, each once."""
        known = (
            {event.body for event in events_of(self.ledger, run_id) if event.kind == AGENT} if agents else set[str]()
        )
        for thread_id in agents:
            body = {"thread": thread_id}
            if canonical_json(body).decode() not in known:
                append_event(self.ledger, at_us=self.clock.now_us(), subject=run_id, kind=AGENT, body=body)

    def recover(self) -> list[RunResult]:
        """Record every run of this host that ended while nobody was there to see it.

        Runs whose owner lives are left to it, runs whose guard lives are left running.
        """
        recovered = list[RunResult]()
        for run in self.ledger.fetch(QUERIES.open_runs, RunRow):
            attempt_row = self.last_attempt(run)
            if not _is_our_users(Path(run.folder)):
                continue
            if attempt_row.host == self.me["host"]:
                approvals.note(self.ledger, self.clock, run.id, Path(run.folder), attempt_row.number)
            if attempt_row.owner == self.me or self.is_anothers(attempt_row):
                continue
            try:
                asked = run.asked
            except DataError:
                continue  # whoever asks for this run is told; the others have nothing to do with it
            begun = self.begun(run, attempt_row.number, asked)
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
        return Remains(
            end,
            stream,
            stderr,
            thread,
            files,
            children,
            is_fresh=begun.request.origin is None,
            agents=() if thread is None or children else self._agents(begun.request, thread, end),
            passed=passed_of(attempt.folder),
        )

    def _agents(self, request: RunRequest, thread: Thread, end: Exit) -> tuple[Thread, ...]:
        """The threads of sub-agents, as far as this attempt started them."""
        if end.started_at_us is None:
            return ()
        family = Family(Path(request.codex_home), thread.id, end.started_at_us)
        return tuple(read_rollout(path) for path in family.agents(self.clock.now_us()).values())

    def begun(self, run: RunRow, number: int, request: RunRequest) -> Begun:
        attempt = Attempt(private_folder(Path(run.folder) / str(number)))
        return Begun(run.id, number, request, attempt, run.codex_version or "")

    def last_attempt(self, run: RunRow) -> AttemptRow:
        """The newest attempt of a run that somebody has claimed."""
        row = self.newest_attempt(run)
        if row is None:
            raise RuntimeError(f"{run.id} has no attempt, though both are written in one transaction")
        return row

    def newest_attempt(self, run: RunRow) -> AttemptRow | None:
        """The newest attempt; None for a run that waits, or ended as it waited."""
        return self.ledger.fetch_one(QUERIES.last_attempt, AttemptRow, run_id=run.id)

    def row(self, run_id: str) -> RunRow:
        row = self.ledger.fetch_one(QUERIES.run_by_id, RunRow, id=run_id)
        if row is None:
            raise RuntimeError(f"{run_id} is gone from the ledger, of which nothing is ever deleted")
        return row

    def take_over(self, row: AttemptRow) -> bool:
        """Become the owner of an attempt; False when somebody else just did."""
        return row.owner == self.me or self._hand_on(row, self.me)

    def let_go(self, begun: Begun) -> None:
        """Answer for an attempt no longer, though this process lives: whoever comes after its end records it."""
        row = self.newest_attempt(self.row(begun.run_id))
        if row is not None and row.number == begun.number and row.owner == self.me:
            self._hand_on(row, {**self.me, "start": _NOBODY})
            begun.attempt.leave()

    def _hand_on(self, row: AttemptRow, owner: Identity) -> bool:
        changed = self.ledger.execute(
            QUERIES.take_over_attempt,
            run_id=row.run_id,
            number=row.number,
            host=owner["host"],
            boot_id=owner["boot_id"],
            owner_pid=owner["pid"],
            owner_start=owner["start"],
            old_pid=row.owner_pid,
            old_start=row.owner_start,
        )
        return changed == 1


def folders_of(request: RunRequest) -> tuple[Path, ...]:
    """The folders that a run may write to: its own first."""
    return tuple(map(Path, (request.cwd, *request.add_dirs)))


def note_past(folder: Path, request: RunRequest, thread_id: str) -> None:
    """Keep beside an attempt what the thread that it resumes holds already."""
    thread = _thread(request, thread_id)
    turns = frozenset(turn.id for turn in thread.turns) if thread else frozenset[str]()
    responses = frozenset(response.response_id for response in thread.responses) if thread else frozenset[str]()
    write_atomic(folder / _PAST, msgspec.json.encode(Past(turns, responses)))


def past_of(folder: Path) -> Past | None:
    """What the thread of the attempt in `folder` held before; None for a thread of its own."""
    path = folder / _PAST
    return msgspec.json.decode(path.read_bytes(), type=Past) if path.exists() else None


def _thread(request: RunRequest, thread_id: str | None) -> Thread | None:
    path = None if thread_id is None else find_rollout(Path(request.codex_home), thread_id)
    return None if path is None else read_rollout(path)


def _own(thread: Thread | None, folder: Path) -> Thread | None:
    """The part of a thread that an attempt added to it."""
    past = past_of(folder)
    if thread is None or past is None:
        return thread
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


def _is_our_users(folder: Path) -> bool:
    """Whether a run's folder lies among our own; a ledger on a server may have runs of several users of a host."""
    try:
        return folder.parent.stat().st_uid == os.geteuid()
    except FileNotFoundError:  # claimed, and nothing else
        return True
    except OSError:
        return False


def _lives(owner: Identity) -> bool:
    return identity_of(owner["pid"]) == owner
