"""Several runs at a time, their results in the order in which they were asked for.

Owns how many live at once. Does not own a run's life (runner.py).
Invariant: the ledger is used by the calling thread alone; threads do nothing but wait. When the
caller stops early or an error comes through, what was started is still waited for and recorded,
because it is paid for. After an interrupt, at whatever moment and however often it comes, everything
that was started has been cancelled and recorded.
"""

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias

from armarius.codex.process import Exit
from armarius.dispatch.keeper import Begun
from armarius.dispatch.request import RunRequest, RunResult
from armarius.dispatch.runner import Runner

__all__ = ["in_order", "undisturbed"]

_Try: TypeAlias = tuple[str, int]


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
    done: dict[_Try, RunResult] = {}
    waiting: dict[Future[Exit], Begun] = {}
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="await") as threads:
        try:
            while True:
                while len(waiting) < workers and (request := next(coming, None)) is not None:
                    with undisturbed():
                        begun = runner.begin(request)
                        queue.append(begun)
                        if begun.done is not None:
                            done[_try(begun)] = begun.done
                            ended(begun.done)
                        elif all(_try(other) != _try(begun) for other in waiting.values()):
                            waiting[threads.submit(begun.attempt.wait)] = begun
                while queue and _try(queue[0]) in done:
                    yield done[_try(queue.popleft())]
                if not waiting:
                    return
                _collect(runner, waiting, done, ended)
        except KeyboardInterrupt:
            _end_all(runner, waiting, done, ended)
            raise
        finally:
            try:
                while waiting:
                    _collect(runner, waiting, done, ended)
            except KeyboardInterrupt:
                _end_all(runner, waiting, done, ended)
                raise


@contextlib.contextmanager
def undisturbed() -> Generator[None]:
    """An interrupt that comes within the block is raised at its end.

    Between the spawn of a guard and the note of it, a KeyboardInterrupt would leave a codex that
    nobody waits for. Blocking the signal would not do: the guard and codex would inherit that.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield  # Python raises it in the main thread alone
        return
    came = list[int]()
    usual = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


def _try(begun: Begun) -> _Try:
    """A run that is asked for again after it failed is tried again: its results are told apart."""
    return begun.run_id, begun.number


def _end_all(
    runner: Runner,
    waiting: dict[Future[Exit], Begun],
    done: dict[_Try, RunResult],
    ended: Callable[[RunResult], object],
) -> None:
    """Cancel and record all; it takes a guard a few seconds at most."""
    with undisturbed():
        for begun in waiting.values():
            begun.attempt.cancel()
        while waiting:
            _collect(runner, waiting, done, ended)


def _collect(
    runner: Runner,
    waiting: dict[Future[Exit], Begun],
    done: dict[_Try, RunResult],
    ended: Callable[[RunResult], object],
) -> None:
    over, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in over:
        begun = waiting[future]
        done[_try(begun)] = runner.finish(begun, future.result())
        del waiting[future]  # only now: an interrupt before this line makes it be recorded again
        ended(done[_try(begun)])
