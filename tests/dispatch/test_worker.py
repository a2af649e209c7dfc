"""What workers do with runs that wait, and what they mend: real Codex, real processes, each database in turn."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from armarius.clock import SystemClock
from armarius.codex.guard import identity_of
from armarius.dispatch.afterwards import cancel, wait_for
from armarius.dispatch.detached import LOG, see_to_worker
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.worker import queue_of
from armarius.runs import queued
from armarius.runs.queued import Place
from armarius.runs.records import AttemptRow, RunRow, find_run
from armarius.store.database import Database
from armarius.store.queries import Query
from support.queue_world import QueueWorld
from support.run_world import Gate, script

ATTEMPTS = Query("attempts", "Every attempt.", "SELECT * FROM attempt ORDER BY run_id, number")
OTHER = Path(__file__).parents[1] / "support" / "engine_other.py"


def outcomes(ledger: Database) -> list[tuple[int, str | None]]:
    return [(row.number, row.outcome) for row in ledger.fetch(ATTEMPTS, AttemptRow)]


def work(queue: QueueWorld, *words: str) -> None:
    assert queue.worker("--until-idle", *words).close() == 0


def states(queue: QueueWorld, runs: list[str]) -> list[str]:
    with queue.ledger() as ledger:
        return [find_run(ledger, run).state for run in runs]


def in_engine(queue: QueueWorld, runs: list[str], how: str) -> None:
    settings = queue.settings
    order = {
        "place": settings.database or str(settings.home / "queue.sqlite"),
        "queue": queue_of(queued.seat_of(settings)),
        "runs": runs,
        "how": how,
    }
    done = subprocess.run([sys.executable, str(OTHER), json.dumps(order)], env=queue.environ, check=False, timeout=60)
    assert done.returncode == (0 if how == "pretended" else -signal.SIGKILL)


@pytest.mark.parametrize("how", ["enqueued", pytest.param("taken", marks=pytest.mark.long), "pretended"])
def test_a_run_is_done_once_whatever_the_engine_was_left_believing(queue: QueueWorld, how: str) -> None:
    runs = queue.hand_in(3)
    in_engine(queue, runs, how)
    work(queue)
    queue.check_all_done_once(runs)


def test_what_the_ledger_never_had_or_has_ended_is_taken_out_of_the_engine(file_queue: QueueWorld) -> None:
    [run] = file_queue.hand_in(1)
    in_engine(file_queue, [run, "run_unheard_of"], "enqueued")
    with file_queue.ledger() as ledger:
        cancel(Keeper(ledger, SystemClock()), find_run(ledger, run))
    work(file_queue)
    assert states(file_queue, [run]) == ["cancelled"]
    assert file_queue.world.server.requests == 0


@pytest.mark.parametrize("damage", ["lost", "garbage"])
def test_an_engine_without_its_file_is_filled_again_from_the_ledger(file_queue: QueueWorld, damage: str) -> None:
    runs = file_queue.hand_in(2)
    file = file_queue.settings.home / "queue.sqlite"
    in_engine(file_queue, runs, "enqueued")
    file.unlink()
    if damage == "garbage":
        file.write_bytes(b"no database " * 1000)
    work(file_queue)
    file_queue.check_all_done_once(runs)


def test_a_run_whose_worker_was_killed_is_adopted_by_the_next_one_and_not_started_again(
    queue: QueueWorld, gate: Gate
) -> None:
    runs = queue.hand_in(1, {"wait": str(gate.fifo)})
    first = queue.worker()
    gate.await_question()
    [known] = queue.settings.runs.glob("run_*/1/guard.json")
    guard = json.loads(known.read_bytes())
    first.kill()
    second = queue.worker("--until-idle")
    me = second.ready()["pid"]
    with queue.ledger() as ledger:
        while ledger.fetch(ATTEMPTS, AttemptRow)[0].owner_pid != me:  # it takes over within a second
            assert second.process.poll() is None
    assert identity_of(guard["codex"]["pid"]) == guard["codex"]
    gate.open()
    assert second.close() == 0
    queue.check_all_done_once(runs)


def test_a_run_whose_guard_is_killed_is_tried_again_and_not_for_ever(file_queue: QueueWorld, gate: Gate) -> None:
    runs = file_queue.hand_in(1, {"wait": str(gate.fifo)})
    worker = file_queue.worker("--until-idle")
    for number in range(1, 4):
        gate.await_question()
        [known] = file_queue.settings.runs.glob(f"run_*/{number}/guard.json")
        descriptor = os.pidfd_open(json.loads(known.read_bytes())["pid"])
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 60)[0]
        os.close(descriptor)
    assert worker.close() == 0
    with file_queue.ledger() as ledger:
        assert outcomes(ledger) == [(1, "crashed"), (2, "crashed"), (3, "crashed")]
    assert states(file_queue, runs) == ["crashed"]


def test_a_run_that_waits_is_cancelled_without_a_worker_and_never_started(file_queue: QueueWorld) -> None:
    first, second = file_queue.hand_in(2)
    with file_queue.ledger() as ledger:
        keeper = Keeper(ledger, SystemClock())
        assert cancel(keeper, find_run(ledger, first)).state == "cancelled"
        assert queued.line(ledger) == {second: 1}
    work(file_queue)
    assert states(file_queue, [first, second]) == ["cancelled", "succeeded"]
    assert file_queue.world.server.requests == 1


def test_a_run_at_work_is_cancelled_and_not_put_back(file_queue: QueueWorld, gate: Gate) -> None:
    [run] = file_queue.hand_in(1, {"wait": str(gate.fifo)})
    worker = file_queue.worker("--until-idle")
    gate.await_question()
    with file_queue.ledger() as ledger:
        assert cancel(Keeper(ledger, SystemClock()), find_run(ledger, run)).state == "cancelled"
    assert worker.close() == 0
    assert states(file_queue, [run]) == ["cancelled"]


def test_a_run_for_any_host_is_left_alone_by_a_seat_that_lacks_what_it_needs(
    file_queue: QueueWorld, tmp_path: Path
) -> None:
    settings, clock = file_queue.settings, SystemClock()
    request = file_queue.world.request(script({"say": "42"}))
    lacking = {
        "folder": (msgspec.structs.replace(request, cwd=str(tmp_path / "elsewhere")), Place(None, "own")),
        "lane": (request, Place(None, "a-lane-of-another-host")),
        "variable": (request, Place(None, "own", ("KEY_OF_ANOTHER_HOST",))),
        "seat": (request, Place("elsewhere:/home/armarius", "own")),
    }
    with file_queue.ledger() as ledger:
        left = [queued.hand_in(ledger, clock, settings.runs, *what) for what in lacking.values()]
        done = queued.hand_in(ledger, clock, settings.runs, request, Place(None, "own"))
    work(file_queue)
    assert states(file_queue, [*left, done]) == ["queued"] * 4 + ["succeeded"]


def test_a_run_of_this_seat_that_cannot_be_started_ends_with_the_reason(file_queue: QueueWorld) -> None:
    [run] = file_queue.hand_in(1, cwd=str(file_queue.world.folder / "gone"))
    work(file_queue)
    with file_queue.ledger() as ledger:
        row = find_run(ledger, run)
    assert (row.state, row.error_code) == ("failed", "folder-missing")
    assert row.outcome is not None
    assert row.outcome.problem is not None
    assert row.outcome.problem.exit_code == 3


def test_no_value_of_a_variable_is_in_a_row_and_the_worker_brings_its_own(file_queue: QueueWorld) -> None:
    file_queue.world.configure({"env_key": "KEY_OF_PROVIDER"})
    secret = "value-of-the-key"
    settings, clock = file_queue.settings, SystemClock()
    request = file_queue.world.request(script({"say": "42"}), environ={"KEY_OF_PROVIDER": secret})
    with file_queue.ledger() as ledger:
        place = Place(queued.seat_of(settings), "own", tuple(request.environ))
        run = queued.hand_in(ledger, clock, settings.runs, request, place)
        assert secret not in find_run(ledger, run).request
        see_to_worker(settings, ledger, clock, [find_run(ledger, run)])
        assert not (settings.home / LOG).exists(), "a worker without it would stand in the way of one that has it"
    work(file_queue)
    assert states(file_queue, [run]) == ["queued"]
    file_queue.environ["KEY_OF_PROVIDER"] = secret
    work(file_queue)
    assert states(file_queue, [run]) == ["succeeded"]


def test_several_workers_of_a_seat_share_the_line_and_each_run_is_done_once(queue: QueueWorld) -> None:
    runs = queue.hand_in(6)
    both = [queue.worker("--until-idle", "--jobs", "2") for _ in range(2)]
    assert [worker.close() for worker in both] == [0, 0]
    queue.check_all_done_once(runs)


def test_a_worker_that_is_told_to_stop_leaves_its_runs_at_work(file_queue: QueueWorld, gate: Gate) -> None:
    [run] = file_queue.hand_in(1, {"wait": str(gate.fifo)})
    worker = file_queue.worker()
    gate.await_question()
    worker.process.terminate()
    assert worker.close() == 0
    gate.open()
    with file_queue.ledger() as ledger:
        [ended] = wait_for(Keeper(ledger, SystemClock()), [find_run(ledger, run)], 60)
        assert isinstance(ended, RunRow)
    assert ended.state == "succeeded"


def test_one_worker_in_the_background_is_enough(file_queue: QueueWorld) -> None:
    with contextlib.closing(file_queue.worker("--background")) as first:
        assert first.ready()["jobs"] == 4
        assert file_queue.worker("--background").close() == 0
        assert first.process.poll() is None
        first.process.terminate()
