"""A worker: takes runs from the ledger, has them carried, and mends what a crash left.

Owns which runs are taken and when, the reconciler between ledger and engine, and the worker's own life. Does
not own carrying a run (`porter.py`), rows (`queued.py`, `workers.py`) nor DBOS (`engine.py`).
Invariant: the ledger decides. What it has waiting is offered to the engine until it is claimed, whatever the
engine believes; what it has ended is taken out of the engine. A worker that ends leaves runs to their guards
and to the next worker.

    the ledger says             the engine says                  the worker
    queued                      nothing, or over                 offers it (anew)
    queued                      taken by an executor that is     puts it back in the engine's queue
                                gone
    queued, for any host        in the queue of a seat without   takes it over into its own queue
                                a living worker
    claimed here by a process   anything                         offers it: it is adopted, not started
    that is gone
    ended, or unknown           waiting or taken                 takes it out
"""

import contextlib
import hashlib
import signal
import time
from collections.abc import Callable, Generator

from armarius.clock import Clock
from armarius.dispatch import schedules, workers
from armarius.dispatch.engine import FINAL, Engine, Known
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.porter import Porter, is_away, is_short
from armarius.dispatch.workbench import ledger_of
from armarius.dispatch.workers import WorkerRow
from armarius.errors import HostError
from armarius.identity import new_id
from armarius.lanes.lanes import Lanes
from armarius.runs import queued
from armarius.runs.queued import QUERIES, Waiting
from armarius.runs.records import QUERIES as RUNS
from armarius.runs.records import AttemptRow, RunRow
from armarius.settings import Settings
from armarius.signals import set_handler
from armarius.store.database import Database

__all__ = ["Worker", "queue_of"]

_PAUSE_S = 0.02
_PAUSE_OF_SERVER_S = 0.04
_MEND_US = 1_000_000
_QUIET_MEND_US = 2_500_000
"""Without work of its own a worker looks less often after what others left."""

_STALE_US = 2_000_000
"""So long an offer may lie before it is looked at again; longer than the engine needs on a busy machine."""

_STUCK_US = 10_000_000
"""So long the engine may say that we have a run before we do; then its dispatch has failed."""

_PAGE = 64
_WHOLE_LINE = 10_000


class Worker:
    """One worker of one seat. `idle_s`: it ends after so long without work; None: it never does by itself."""

    def __init__(
        self, settings: Settings, clock: Clock, jobs: int, *, idle_s: float | None = None, keeps_schedules: bool = True
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._jobs = jobs
        self._idle_s = idle_s
        self._keeps_schedules = keeps_schedules
        self._seat = queued.seat_of(settings)
        self._queue = queue_of(self._seat)
        self._host = self._seat.partition(":")[0]
        self._porter = Porter(settings, clock)
        self._offered: dict[str, int] = {}
        self._elsewhere: dict[str, int] = {}
        self._orphans = set[str]()
        self._stopped = False
        self._quiet_since_us = clock.monotonic_us()

    def work(self, ready: Callable[[WorkerRow], object] = lambda _: None) -> WorkerRow:
        """Work until it is told to stop (SIGTERM, SIGINT) or idle for long enough; `ready` hears who it is."""
        worker_id = new_id("worker", self._clock)
        engine = Engine(
            self._settings.database or self._settings.home / "queue.sqlite",
            executor=worker_id,
            queue=self._queue,
            jobs=self._jobs,
            carry=self._porter.do,
        )
        with ledger_of(self._settings) as ledger:
            me = workers.enlist(ledger, self._clock, worker_id, self._seat, self._jobs)
        with _stopping(self._stop):
            engine.start()
            ready(me)
            while not self._stopped:
                try:
                    with ledger_of(self._settings) as ledger:
                        self._attend(ledger, engine, me)
                except (HostError, OSError) as error:  # the server is away: guards and their runs go on without it
                    if not (is_away(error) or is_short(error)):
                        raise
                    time.sleep(1)
        return me

    def _stop(self) -> None:
        self._stopped = True

    def _attend(self, ledger: Database, engine: Engine, me: WorkerRow) -> None:
        keeper, next_us = Keeper(ledger, self._clock), 0
        while not self._stopped:
            if self._clock.monotonic_us() >= next_us:
                self._mend(ledger, keeper, engine, me)
                is_quiet = not (self._offered or self._porter.under_way or self._orphans)
                next_us = self._clock.monotonic_us() + (_QUIET_MEND_US if is_quiet else _MEND_US)
            self._feed(ledger, engine)
            engine.expect(is_waiting=bool(self._offered))
            if self._is_done(ledger, me):
                self._stopped = True
                return
            time.sleep(_PAUSE_S if self._settings.database is None else _PAUSE_OF_SERVER_S)
        workers.leave(ledger, me.id)

    def _feed(self, ledger: Database, engine: Engine) -> None:
        """Offer what waits to the engine: no more than will soon have its turn, so that other workers have theirs."""
        line = queued.waiting(ledger, self._seat, _PAGE)
        ids = {run.id for run in line}
        self._offered = {run_id: at_us for run_id, at_us in self._offered.items() if run_id in ids}
        self._elsewhere = {run_id: at_us for run_id, at_us in self._elsewhere.items() if run_id in ids}
        chosen = self._choose(line)
        if len(line) == _PAGE and not chosen:
            chosen = self._choose(queued.waiting(ledger, self._seat, _WHOLE_LINE))
        if chosen:
            self._offer(engine, chosen)
        if chosen or self._offered or self._porter.under_way:
            self._quiet_since_us = self._clock.monotonic_us()

    def _choose(self, line: list[Waiting]) -> list[str]:
        """What of the line has its turn here and was not offered yet."""
        room = self._jobs - len(self._offered)
        free = room - len(self._porter.under_way)
        chosen = list[str]()
        for run in self._fit(line) if room > 0 else ():
            is_fresh = run.id not in self._offered and run.id not in self._elsewhere
            if is_fresh and len(chosen) < (free if run.seat is None else room):
                chosen.append(run.id)
        return chosen

    def _fit(self, line: list[Waiting]) -> list[Waiting]:
        lanes = frozenset(lane.name for lane in Lanes(self._settings).all()) if line else frozenset[str]()
        return [run for run in line if queued.lacks(run, self._settings, lanes) is None]

    def _offer(self, engine: Engine, run_ids: list[str]) -> None:
        known = engine.known(run_ids)
        engine.forget(run_id for run_id, found in known.items() if found.state in FINAL)
        now_us = self._clock.monotonic_us()
        for run_id in run_ids:
            found = known.get(run_id)
            if found is None or found.state in FINAL:
                engine.enqueue(run_id)
            is_elsewhere = found is not None and found.state not in FINAL and found.queue != self._queue
            (self._elsewhere if is_elsewhere else self._offered)[run_id] = now_us

    def _mend(self, ledger: Database, keeper: Keeper, engine: Engine, me: WorkerRow) -> None:
        """Let ledger and engine agree again, and see who is gone."""
        if not workers.beat(ledger, self._clock, me):
            workers.enlist(ledger, self._clock, me.id, me.seat, me.jobs)
        there = workers.sweep(ledger, self._clock, host=self._host)
        schedules.fire(ledger, self._clock, self._settings, self._seat)
        keeper.recover()
        held = engine.open()
        alive = {worker.id for worker in there} | {me.id}
        engine.recover({found.executor for found in held if found.state == "PENDING" and found.executor} - alive)
        self._take_out(ledger, engine, held, alive)
        self._mend_offers(engine, {worker.seat for worker in there} | {me.seat}, me)
        claimed = ledger.fetch(QUERIES.open_of_queue, AttemptRow, host=self._host, runs=str(self._settings.runs))
        self._orphans = {row.run_id for row in claimed if row.owner != keeper.me and not keeper.is_anothers(row)}
        self._offer(engine, sorted(self._orphans))

    def _take_out(self, ledger: Database, engine: Engine, held: list[Known], alive: set[str]) -> None:
        """Out of the engine with what the ledger has ended or never had, and with what the engine is done with.

        What a living worker has in its hands it ends itself.
        """
        over = [found.run_id for found in engine.over()]
        for found in held:
            run = ledger.fetch_one(RUNS.run_by_id, RunRow, id=found.run_id)
            is_over = run is None or run.ended_at_us is not None
            if is_over and not (found.state == "PENDING" and found.executor in alive):
                over.append(found.run_id)
        engine.forget(over)

    def _mend_offers(self, engine: Engine, seats: set[str], me: WorkerRow) -> None:
        """Look again at what was offered, here or elsewhere, and is still not claimed."""
        now_us = self._clock.monotonic_us()
        stale = {
            run_id: now_us - at_us
            for run_id, at_us in (self._offered | self._elsewhere).items()
            if now_us - at_us > _STALE_US
        }
        queues, known = {queue_of(seat) for seat in seats}, engine.known(stale)
        for run_id, age_us in stale.items():
            found = known.get(run_id)
            if found is not None and found.state not in FINAL:
                is_stuck = found.executor == me.id and found.state == "PENDING" and age_us > _STUCK_US
                if found.queue in queues and not (is_stuck and run_id not in self._porter.under_way):
                    continue
                engine.forget([run_id])
            self._offered.pop(run_id, None)
            self._elsewhere.pop(run_id, None)

    def _is_done(self, ledger: Database, me: WorkerRow) -> bool:
        """Whether it has been idle for long enough, and nobody is just counting on it."""
        if self._idle_s is None or self._clock.monotonic_us() - self._quiet_since_us < self._idle_s * 1_000_000:
            return False
        with ledger.transaction():
            if self._porter.under_way or self._orphans or self._fit(queued.waiting(ledger, self._seat, _WHOLE_LINE)):
                return False
            if self._keeps_schedules and schedules.in_force(ledger, self._seat):
                return False
            workers.leave(ledger, me.id)
        return True


def queue_of(seat: str) -> str:
    """A name that DBOS takes for a queue."""
    return f"seat-{hashlib.sha256(seat.encode()).hexdigest()[:32]}"


@contextlib.contextmanager
def _stopping(stop: Callable[[], object]) -> Generator[None]:
    """SIGTERM and SIGINT stop the worker, and only it."""

    def hear(_number: int, _frame: object) -> None:
        stop()

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            set_handler(number, handler)
