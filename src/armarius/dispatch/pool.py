"""Several runs at a time.

Owns how many live at once, waiting for them, and results in the order of their requests. Does not own a
run's life (runner.py) nor which may begin (batch.py).
Invariant: the ledger is used by the calling thread alone; threads do nothing but wait. When the
caller stops early or an error comes through, what was started is still waited for and recorded,
because it is paid for. After an interrupt, at whatever moment and however often it comes, everything
that was started has been cancelled and recorded.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeAlias

import msgspec

from armarius.codex.process import Exit
from armarius.dispatch.carrying import Step, next_step
from armarius.dispatch.keeper import Begun, Judged
from armarius.dispatch.meter import Meter
from armarius.dispatch.runner import Runner
from armarius.runs.limits import is_metered
from armarius.runs.request import RunRequest, RunResult
from armarius.signals import interrupting, set_handler

__all__ = ["Pool", "Try", "in_order", "try_of", "undisturbed"]

Try: TypeAlias = tuple[str, int]

_LOOK_S = 0.1


class _Live(msgspec.Struct, frozen=True):
    """A run whose attempt lives. `homes` are those that it has been to."""

    begun: Begun
    meter: Meter | None
    homes: frozenset[str]


class _Pause(msgspec.Struct, frozen=True):
    """A run between two attempts: the next one comes at `due` (monotonic)."""

    live: _Live
    judged: Judged
    step: Step
    due: float


class Pool:
    """Runs that live at once, for the length of a block; at its end none is left.

    They are kept within their budgets. With `carries`, another attempt follows where it may help. `ended` is
    told of each run as it ends, also of those whose result nobody asks for any more.
    """

    def __init__(
        self,
        runner: Runner,
        workers: int,
        ended: Callable[[RunResult], object] = lambda _: None,
        *,
        carries: bool = False,
    ) -> None:
        self._runner = runner
        self._workers = workers
        self._ended = ended
        self._carries = carries
        self._waiting: dict[Future[Exit | Judged], _Live] = {}
        self._pauses: list[_Pause] = []
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="await")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                self._end_all()
            while not self.is_idle:
                self.collect()
        except KeyboardInterrupt:
            self._end_all()
            raise
        finally:
            self._threads.shutdown()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) + len(self._pauses) >= self._workers

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._pauses

    def begin(self, request: RunRequest, note: Callable[[Begun], object] = lambda _: None) -> Begun:
        """Claim and start a request, or take up what there is of its paid unit; `note` hears of it undisturbed."""
        with undisturbed():
            begun = self._runner.begin(request)
            note(begun)
            if begun.done is not None:
                self._ended(begun.done)
            elif all(try_of(live.begun) != try_of(begun) for live in self._waiting.values()):
                self._await(begun, frozenset({begun.request.codex_home}))
            return begun

    def collect(self, timeout_s: float | None = None) -> dict[Try, RunResult]:
        """Wait until some have ended, or for so long; what came of those."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        done: dict[Try, RunResult] = {}
        while not done and not self.is_idle:
            left_s = None if end is None else max(0.0, end - time.monotonic())
            for future in self._wait(left_s):
                done |= self._over(future)
            for pause in [pause for pause in self._pauses if _is_due(pause)]:
                done |= self._after(pause)
            if left_s is not None and left_s <= 0:
                break
        return done

    def _await(self, begun: Begun, homes: frozenset[str]) -> None:
        limits = self._runner.limits(begun.request)
        meter = Meter(self._runner, begun, limits) if is_metered(begun.request, limits) else None
        end: Future[Exit | Judged] = self._threads.submit(begun.attempt.wait)
        self._waiting[end] = _Live(begun, meter, homes)

    def _wait(self, left_s: float | None) -> set[Future[Exit | Judged]]:
        """Attempts that are over by now; while some are to be looked at from time to time, not for long."""
        meters = [live.meter for live in self._waiting.values() if live.meter is not None]
        if meters or self._pauses:
            left_s = _LOOK_S if left_s is None else min(left_s, _LOOK_S)
        for meter in meters:
            meter.look()
        if not self._waiting:
            time.sleep(left_s or 0.0)  # only pauses are left, so it is not for long
        return wait(self._waiting, left_s, return_when=FIRST_COMPLETED).done

    def _over(self, future: Future[Exit | Judged]) -> dict[Try, RunResult]:
        """An attempt is over, or its required commands are: what came of the run, or nothing yet."""
        live, came = self._waiting[future], future.result()
        judged = came if isinstance(came, Judged) else self._runner.judge(live.begun, came)
        step = next_step(self._runner, live.begun, judged.result, set(live.homes)) if self._carries else None
        if step is not None and not live.begun.attempt.is_unwanted:
            with undisturbed():
                self._pauses.append(_Pause(live, judged, step, time.monotonic() + step.pause_s))
                del self._waiting[future]
            return {}
        if (live.begun.request.required or live.begun.request.evidence) and not isinstance(came, Judged):
            with undisturbed():
                proof: Future[Exit | Judged] = self._threads.submit(self._runner.proof(live.begun, judged))
                self._waiting[proof] = msgspec.structs.replace(live, meter=None)
                del self._waiting[future]
            return {}
        result = self._runner.record(live.begun, judged)
        del self._waiting[future]  # only now: an interrupt before this line makes it be recorded again
        self._ended(result)
        return {try_of(live.begun): result}

    def _after(self, pause: _Pause) -> dict[Try, RunResult]:
        """A pause is over: another attempt, unless somebody wants the run ended."""
        begun, step = pause.live.begun, pause.step
        if begun.attempt.is_unwanted:
            result = self._runner.record(begun, pause.judged)
            self._pauses.remove(pause)
            self._ended(result)
            return {try_of(begun): result}
        with undisturbed():
            self._pauses.remove(pause)
            again = self._runner.again(begun, pause.judged, step.request, step.kind)
            if again.done is not None:
                self._ended(again.done)
                return {try_of(again): again.done}
            self._await(again, pause.live.homes | {step.request.codex_home})
            return {}

    def _end_all(self) -> None:
        """Cancel and record all; it takes a guard a few seconds at most."""
        with undisturbed():
            for begun in [*(live.begun for live in self._waiting.values()), *(one.live.begun for one in self._pauses)]:
                begun.attempt.cancel()
            while not self.is_idle:
                self.collect()


def _is_due(pause: _Pause) -> bool:
    return time.monotonic() >= pause.due or pause.live.begun.attempt.is_unwanted


def in_order(
    runner: Runner,
    requests: Iterable[RunRequest],
    workers: int,
    *,
    ended: Callable[[RunResult], object] = lambda _: None,
) -> Generator[RunResult]:
    """Results in the order of `requests`, which is read only as far as there are free workers.

    `ended` is told of each run as it ends, also of those whose result nobody asks for any more.
    """
    coming = iter(requests)
    queue: deque[Begun] = deque()
    done: dict[Try, RunResult] = {}
    with Pool(runner, workers, ended) as pool:
        while True:
            while not pool.is_full and (request := next(coming, None)) is not None:
                begun = pool.begin(request, queue.append)
                if begun.done is not None:
                    done[try_of(begun)] = begun.done
            while queue and try_of(queue[0]) in done:
                yield done[try_of(queue.popleft())]
            if pool.is_idle:
                return
            done |= pool.collect()


def try_of(begun: Begun) -> Try:
    """A run that is asked for again after it failed is tried again: its results are told apart."""
    return begun.run_id, begun.number


@contextlib.contextmanager
def undisturbed() -> Generator[None]:
    """An interrupt that comes within the block is raised at its end.

    Between the spawn of a guard and the note of it, a KeyboardInterrupt would leave a codex that
    nobody waits for. Blocking the signal would not do: the guard and codex would inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises it in the main thread alone
        return
    came = list[int]()
    usual = {number: set_handler(number, lambda number, _frame: came.append(number)) for number in interrupting()}
    try:
        yield
    finally:
        for number, handler in usual.items():
            set_handler(number, handler)
    if came:
        raise KeyboardInterrupt
