"""What a run uses up while it runs, and its end when that is too much.

Owns reading it from the session files of the run's threads as they grow, noting it in the ledger as it
comes, and ending the attempt. Does not own the limits themselves (`standing.py`, `armarius.budget`).
Invariant: each response is counted once, by its id, whoever meters it and however often; why an attempt
is ended lies beside it before it is asked to end, so that a crash between the two loses no reason.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.budget import Passed, Spent
from armarius.clock import Clock
from armarius.codex.events import fold
from armarius.codex.follow import Follower
from armarius.codex.process import Exit
from armarius.counts.scan import Scan
from armarius.dispatch.keeper import AGENT, Begun, Keeper, past_of
from armarius.dispatch.runner import Runner
from armarius.runs.family import Family
from armarius.runs.limits import Limit, is_metered
from armarius.runs.passing import note_passed, passed_of
from armarius.runs.records import QUERIES, RunRow, record_usage
from armarius.store.ledger import append_event, events_of
from armarius.thread import ResponseUsage

__all__ = ["Meter", "attend", "look_of", "meter_of", "spent_by"]

_PAUSE_S = 0.1
_LOOK_US = 200_000
_LOOK_AT_SHARED_US = 500_000
_MINUTE_US = 60_000_000


class _Row(msgspec.Struct, frozen=True):
    response_id: str
    turn_id: str
    tokens: int


class Meter:
    """What one run uses up; it belongs to the thread that has the ledger."""

    def __init__(self, keeper: Keeper, begun: Begun, limits: Sequence[Limit] = (), *, notes: bool = True) -> None:
        """`notes` is False for whoever only looks on."""
        self._notes = notes
        self._keeper = keeper
        self._begun = begun
        self._limits = limits
        self._clock: Clock = keeper.clock
        self._since_us, elapsed_us = self._times()
        self._began_us = self._clock.monotonic_us() - elapsed_us
        self._follower = Follower(begun.attempt)
        self._family: Family | None = None
        self._scans: dict[str, Scan] = {}
        rows = keeper.ledger.fetch(QUERIES.usage_of_run, _Row, run_id=begun.run_id)
        self._tokens = {row.response_id: row.tokens for row in rows}
        self._turns = {row.turn_id for row in rows if row.turn_id}
        self._agents = {
            msgspec.json.decode(event.body)["thread"]
            for event in events_of(keeper.ledger, begun.run_id)
            if event.kind == AGENT
        }
        self._past = past_of(begun.attempt.folder)
        self._next_us = self._next_shared_us = 0
        self._asked = False

    @property
    def spent(self) -> Spent:
        """As of the last look."""
        return Spent(
            tokens=sum(self._tokens.values()),
            requests=len(self._tokens),
            turns=len(self._turns),
            minutes=(self._clock.monotonic_us() - self._began_us) / _MINUTE_US,
            agents=len(self._agents),
        )

    def look(self) -> None:
        """Take in what was written since, note it, and end the attempt if that is too much; cheap when called often."""
        now_us = self._clock.monotonic_us()
        if now_us < self._next_us or self._asked:
            return
        self._next_us = now_us + _LOOK_US
        self.measure()
        passed = self._begun.request.budget.passed(self.spent)
        if passed is None and now_us >= self._next_shared_us:
            self._next_shared_us = now_us + _LOOK_AT_SHARED_US
            found = (limit.budget.passed(limit.spent(), limit.scope) for limit in self._limits)
            passed = next(filter(None, found), None)
        if passed is not None:
            self._end(passed)

    def measure(self) -> None:
        """Take in what was written since, and note it in the ledger."""
        fresh = list[ResponseUsage]()
        agents = list[str]()
        for thread_id, path in self._files():
            scan = self._scans.get(thread_id)
            if scan is None:
                scan = self._scans[thread_id] = Scan(path)
            try:
                if not scan.advance():
                    continue
            except OSError:
                continue  # it was only just made, or is being moved
            summary = scan.summary()
            is_root = self._family is not None and path == self._family.root()
            known = self._past if is_root else None
            for turn in summary.turns:
                if known is None or turn.id not in known.turns:
                    self._turns.add(turn.id)
            for response in summary.responses:
                name = response.response_id
                if name not in self._tokens and (known is None or name not in known.responses):
                    self._tokens[name] = response.usage.total
                    fresh.append(response)
            if not is_root and thread_id not in self._agents:
                self._agents.add(thread_id)
                agents.append(thread_id)
        if self._notes and (fresh or agents):
            self._note(fresh, agents)

    def _note(self, fresh: Sequence[ResponseUsage], agents: Sequence[str]) -> None:
        ledger, run_id = self._keeper.ledger, self._begun.run_id
        with ledger.transaction():
            record_usage(ledger, run_id, fresh)
            for thread_id in agents:
                body = {"thread": thread_id}
                append_event(ledger, at_us=self._clock.now_us(), subject=run_id, kind=AGENT, body=body)

    def _files(self) -> list[tuple[str, Path]]:
        if self._family is None:
            thread_id = fold(self._follower.lines(wait=False), name="events").thread_id
            if thread_id is None:
                return []
            self._family = Family(Path(self._begun.request.codex_home), thread_id, self._since_us)
            self._root = thread_id
        root = self._family.root()
        if root is None:
            return []
        return [(self._root, root), *self._family.agents(self._clock.now_us()).items()]

    def _times(self) -> tuple[int, int]:
        """When the attempt was claimed, and how long the run has lived by then and since."""
        row = self._keeper.row(self._begun.run_id)
        attempt = self._keeper.last_attempt(row)
        now_us = self._clock.now_us()
        return attempt.claimed_at_us, max(0, now_us - (row.started_at_us or now_us))

    def _end(self, passed: Passed) -> None:
        """Say why, then ask the guard; a second time changes nothing."""
        attempt, self._asked = self._begun.attempt, True
        if attempt.liveness() != "alive":
            return
        if passed_of(attempt.folder) is None:
            note_passed(attempt.folder, passed)
            with self._keeper.ledger.transaction():
                append_event(
                    self._keeper.ledger,
                    at_us=self._clock.now_us(),
                    subject=self._begun.run_id,
                    kind="budget_passed",
                    body=msgspec.to_builtins(passed),
                )
        attempt.cancel()


def spent_by(keeper: Keeper, run: RunRow) -> Spent:
    """What a run has used up so far, also while somebody else has it run."""
    newest = keeper.newest_attempt(run)
    if newest is None:
        return Spent()
    begun = keeper.begun(run, newest.number, run.asked)
    meter = Meter(keeper, begun, notes=False)
    if run.ended_at_us is None:
        meter.measure()
        return meter.spent
    minutes = (run.ended_at_us - (run.started_at_us or run.ended_at_us)) / _MINUTE_US
    return msgspec.structs.replace(meter.spent, minutes=minutes)


def meter_of(runner: Runner, begun: Begun) -> Meter | None:
    """The meter of a run that something limits besides its time; None when nothing does."""
    limits = runner.limits(begun.request)
    return Meter(runner, begun, limits) if begun.done is None and is_metered(begun.request, limits) else None


def attend(runner: Runner, begun: Begun, *, each: Callable[[bytes], object] | None = None) -> Exit:
    """Wait for the end of an attempt, keep it within its budgets, and write down what it asks a person meanwhile.

    `each` is handed every line of Codex's events.
    """
    look = look_of(runner, begun)
    if each is not None:
        for line in Follower(begun.attempt).lines(meanwhile=look):
            each(line)
    elif look is not None:
        while begun.attempt.liveness() == "alive":
            look()
            time.sleep(_PAUSE_S)
    return begun.attempt.wait()


def look_of(runner: Runner, begun: Begun) -> Callable[[], object] | None:
    """What is to be done again and again while an attempt lives; cheap when called often."""
    meter = meter_of(runner, begun)
    if begun.request.approval == "never" or begun.done is not None:
        return meter.look if meter else None
    next_us = 0

    def look() -> None:
        nonlocal next_us
        if meter:
            meter.look()
        if (now_us := runner.clock.monotonic_us()) >= next_us:
            next_us = now_us + _LOOK_US
            runner.note(begun)

    return look
