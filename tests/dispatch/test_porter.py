"""A run of the queue when the machine has nothing left for it."""

import contextlib
import os
import resource
from collections.abc import Generator
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.dispatch.porter import Porter
from armarius.runs.records import AttemptRow, find_run
from armarius.store.queries import Query
from support.queue_world import QueueWorld

ATTEMPTS = Query("attempts", "Every attempt.", "SELECT * FROM attempt ORDER BY run_id, number")


@contextlib.contextmanager
def only(left: int) -> Generator[list[int]]:
    """Leave so many descriptors; whoever closes those in the list has all back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    # What is started inherits the limit and not what was taken: Codex itself needs some two hundred.
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 512, limits[1]))
    taken = list[int]()
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(left):
            os.close(taken.pop())
        yield taken
    finally:
        while taken:
            os.close(taken.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("left", [0, 1, 2, 3, 4, 5, 6, 8, 10])
def test_without_descriptors_a_run_waits_and_is_done_once_when_there_are_some(
    file_queue: QueueWorld, left: int
) -> None:
    [run] = file_queue.hand_in(1)
    waited = list[float]()

    def pause(seconds: float) -> None:
        waited.append(seconds)
        while taken:
            os.close(taken.pop())

    with only(left) as taken:
        Porter(file_queue.settings, SystemClock(), pause).do(run)
        Porter(file_queue.settings, SystemClock(), pause).do(run)  # as the worker offers it that was put back
    with file_queue.ledger() as ledger:
        row, attempts = find_run(ledger, run), ledger.fetch(ATTEMPTS, AttemptRow)
    assert row.state == "succeeded", row.error_message
    assert [attempt.outcome for attempt in attempts if attempt.outcome == "succeeded"] == ["succeeded"]
    assert waited or left > 5
