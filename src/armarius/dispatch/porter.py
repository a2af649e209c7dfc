"""One run of the queue, done by a worker: looked up, claimed, seen through.

Owns the order: what is never stored is looked up again, the run is claimed, and carried to its record, however
often the database is away meanwhile. Does not own the choice of runs (`worker.py`), their rows (`queued.py`) nor
what follows a start (`carrying.py`).
Invariant: of one run there is at most one thread of this process that does it. A run that may not be started
ends with the reason; one that waits for what it needs stays in the queue; one that was started is left to its
guard, whatever happens to us.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.binary import Binary, find
from armarius.codex.home import read_owner
from armarius.codex.process import Exit
from armarius.dispatch.carrying import carry
from armarius.dispatch.desk import Desk
from armarius.dispatch.keeper import Begun
from armarius.dispatch.runner import Runner
from armarius.dispatch.standing import standing_of
from armarius.dispatch.workbench import Workbench, ledger_of, site_of
from armarius.errors import ArmariusError, HostError, NoAnswer
from armarius.lanes.lanes import Lanes
from armarius.runs.limits import check_budget
from armarius.runs.queued import Place, end_unclaimed, place_in, problem_of
from armarius.runs.records import RunRow
from armarius.runs.request import RunRequest
from armarius.settings import Settings

__all__ = ["Porter", "is_away", "is_short"]

_AWAY = frozenset({"ledger-lost", "ledger-unreachable", "ledger-busy"})

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""What the machine is short of for the moment; the run goes back into the queue, or never left it."""

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_REST_S = 2.0


class Porter:
    """Does runs, each in the thread that asks; `under_way` are those that it is at."""

    def __init__(self, settings: Settings, clock: Clock, pause: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._under_way = set[str]()

    @property
    def under_way(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._under_way)

    def do(self, run_id: str) -> None:
        """Do a run of the queue, or see through what somebody began who is gone; nothing for one that is over."""
        with self._lock:
            if run_id in self._under_way:
                return None
            self._under_way.add(run_id)
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    return self._once(run_id)
                except (ArmariusError, OSError) as error:
                    if not (is_away(error) or is_short(error)):
                        raise
                self._pause(pause_s)  # and look again: what was begun is taken up where it is
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            with self._lock:
                self._under_way.discard(run_id)

    def _once(self, run_id: str) -> None:
        with self._opened() as (runner, binary):
            run, place = runner.row(run_id), place_in(runner.ledger, run_id)
            if run.ended_at_us is not None or place is None:
                return
            try:
                request = self._request(runner, binary, run, place)
                begun = self._start(runner, run, request)
            except NoAnswer:  # what it needs is not free: it goes on waiting, and nobody's place is taken by it
                return
            except ArmariusError as error:
                if is_away(error) or is_short(error):
                    raise
                end_unclaimed(runner.ledger, run, "failed", problem_of(error), self._clock.now_us())
                return
            if begun is not None:
                carry(runner, begun)

    def _request(self, runner: Runner, binary: Binary, run: RunRow, place: Place) -> RunRequest:
        """What was asked, with what is this seat's own; refused when it may not be done any more."""
        request, settings = run.asked, self._settings
        if run.state == "queued" and place.seat is None:
            request = msgspec.structs.replace(
                request,
                home=str(settings.user_home),
                codex_home=str(Lanes(settings).home(place.lane)),
                tools_path=settings.search_path,
            )
        owner = read_owner(Path(request.codex_home))
        desk = Desk(settings, Workbench(owner, {}, binary, runner.ledger, runner, self._clock))
        if run.state != "queued":
            return request  # somebody began it, and it is only seen through
        for name in place.variables:
            if name not in settings.environ:  # another worker of this seat offered it, and has what we have not
                raise NoAnswer("worker-variable", f"this worker has no variable {name}")
        request = desk.refill(request)
        check_budget(request, runner.limits(request))
        desk.refresh(request)
        return request

    def _start(self, runner: Runner, run: RunRow, request: RunRequest) -> Begun | None:
        try:
            return runner.begin_queued(run.id, request)
        except OSError as error:
            begun = runner.begun(run, runner.last_attempt(run).number, request)
            if begun.attempt.liveness() == "alive":
                return begun
            is_short = error.errno in _SHORT
            runner.finish(begun, Exit(outcome="lost") if is_short else Exit(outcome="not_started", error=str(error)))
            if is_short:
                self._pause(_REST_S)
            return None

    @contextmanager
    def _opened(self) -> Generator[tuple[Runner, Binary]]:
        settings = self._settings
        binary = find(
            setting=settings.codex,
            search_path=settings.search_path,
            user_home=settings.user_home,
            cache=settings.home / "probes.json",
        )
        with ledger_of(settings) as ledger:
            standing = standing_of(settings, ledger, self._clock, binary)
            site = site_of(settings)
            yield (
                Runner(ledger, self._clock, settings.runs, binary, settings.environ, standing=standing, site=site),
                binary,
            )


def is_short(error: BaseException) -> bool:
    """Whether something failed only because the machine is short of something for the moment."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.errno in _SHORT:
            return True
        at = at.__cause__ or at.__context__
    # SQLite does not say why it could not open a file.
    return isinstance(error, HostError) and error.code == "ledger-unwritable" and not _can_open()


def _can_open() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def is_away(error: BaseException) -> bool:
    """Whether the ledger cannot be had for the moment: the server is restarted, somebody holds the writer's lock."""
    return isinstance(error, HostError) and error.code in _AWAY
