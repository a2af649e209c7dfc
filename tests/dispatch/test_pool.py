"""Several runs at a time on real Codex: their order, their number, and what happens to the rest."""

import itertools
from contextlib import closing
from pathlib import Path

import pytest

from armarius.dispatch.pool import Pool, in_order
from armarius.errors import HostError
from armarius.runs import records
from armarius.runs.records import RunRow
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.ledger import events_after
from armarius.store.queries import Query
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from support.run_world import Gate, World, script

RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY created_at_us, id")


def saying(world: World, *texts: str) -> list[RunRequest]:
    return [world.request(script({"say": text})) for text in texts]


def waiting(world: World, gate: Gate, text: str) -> RunRequest:
    return world.request(script({"wait": str(gate.fifo)}, {"say": text}))


def states(ledger: Database) -> list[str]:
    return [run.state for run in ledger.fetch(RUNS, RunRow)]


def most_at_once(ledger: Database) -> int:
    change = {"run_started": 1, "run_ended": -1}
    steps = [change.get(event.kind, 0) for event in events_after(ledger, 0, 1_000)]
    return max(itertools.accumulate(steps))


def test_results_come_in_the_order_of_the_requests_though_runs_end_in_another(world: World, gate: Gate) -> None:
    gate.opened_by = "last"  # which begins when another run has ended, while the first one waits
    requests = [waiting(world, gate, "first"), *saying(world, "second", "third", "last")]
    with world.ledger() as ledger:
        results = list(in_order(world.runner_on(ledger), requests, workers=3))
    assert [result.answer for result in results] == ["first", "second", "third", "last"]
    ends = [result.ended_at_us or 0 for result in results]
    assert ends[0] > min(ends[1:3])


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 2), (8, 5)])
def test_never_more_live_at_once_than_there_are_workers(world: World, workers: int, most: int) -> None:
    with world.ledger() as ledger:
        results = list(in_order(world.runner_on(ledger), saying(world, *"abcde"), workers))
        assert most_at_once(ledger) == most
    assert [result.answer for result in results] == list("abcde")


def test_a_run_that_fails_does_not_stop_the_others(world: World) -> None:
    requests = saying(world, "a", "b", "c")
    requests[1] = world.request("Say something. [[fault:400]]")
    with world.ledger() as ledger:
        results = list(in_order(world.runner_on(ledger), requests, workers=2))
        assert states(ledger) == [result.state for result in results] == ["succeeded", "failed", "succeeded"]


def test_nothing_asked_is_nothing_done(world: World) -> None:
    with world.ledger() as ledger:
        assert list(in_order(world.runner_on(ledger), [], workers=2)) == []


def test_an_early_stop_waits_for_what_was_started_and_starts_nothing_more(world: World, gate: Gate) -> None:
    endless = itertools.chain(
        [*saying(world, "a"), waiting(world, gate, "b")],
        (request for _ in itertools.count() for request in saying(world, "c")),
    )
    with world.ledger() as ledger:
        results = in_order(world.runner_on(ledger), endless, workers=2)
        assert next(results).answer == "a"
        gate.open()
        results.close()
        assert states(ledger) == ["succeeded"] * 3
        assert all(run.outcome for run in ledger.fetch(RUNS, RunRow))
    assert world.server.requests == 3


def test_an_interrupt_cancels_what_runs_and_records_it(world: World, gate: Gate) -> None:
    requests = [*saying(world, "a"), waiting(world, gate, "b"), waiting(world, gate, "c")]
    with world.ledger() as ledger:
        results = in_order(world.runner_on(ledger), requests, workers=2)
        assert next(results).answer == "a"
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt())
        assert states(ledger) == ["succeeded", "cancelled", "cancelled"]


def test_what_was_started_is_recorded_before_an_error_comes_through(world: World) -> None:
    requests = saying(world, "a", "b", "c")
    requests[1] = world.request("Say something.", paid_key="unit")
    elsewhere = {"host": "elsewhere", "boot_id": "x", "pid": 1, "start": 1}
    with world.ledger() as ledger:
        with ledger.transaction():
            folder = str(Path(world.state) / "runs" / "run_1")
            records.open_run(
                ledger, run_id="run_1", folder=folder, request=requests[1], codex_version="", me=elsewhere, now_us=1
            )
        with (
            closing(in_order(world.runner_on(ledger), requests, workers=2)) as results,
            pytest.raises(HostError, match="elsewhere"),
        ):
            next(results)
        assert states(ledger) == ["claimed", "succeeded"]


def test_one_unit_asked_for_twice_in_a_row_is_one_run_with_two_places(world: World) -> None:
    request = world.request(script({"say": "once"}), paid_key="unit")
    with world.ledger() as ledger:
        first, second = in_order(world.runner_on(ledger), [request, request], workers=2)
        assert (first, states(ledger)) == (second, ["succeeded"])
    assert world.server.requests == 1


def test_one_unit_that_fails_and_is_asked_for_again_gives_the_result_of_each_try(world: World) -> None:
    with ModelServer(faults={1: Fault("400")}) as server:
        world.configure({"base_url": server.base_url})
        request = world.request(script({"say": "at last"}), paid_key="unit")
        with world.ledger() as ledger:
            results = list(in_order(world.runner_on(ledger), [request, request, request], workers=1))
    assert [(result.state, result.answer) for result in results] == [
        ("failed", None),
        ("succeeded", "at last"),
        ("succeeded", "at last"),
    ]
    assert server.requests == 2


def test_what_passes_by_itself_is_tried_again_while_the_others_go_on(world: World) -> None:
    with ModelServer(faults={1: Fault("cut"), 2: Fault("cut")}) as server:
        world.configure({"base_url": server.base_url})
        ended: list[str | None] = []
        with (
            world.ledger() as ledger,
            Pool(world.runner_on(ledger), 1, lambda result: ended.append(result.answer), carries=True) as pool,
        ):
            pool.begin(world.request(script({"say": "late"})))
            assert pool.is_full
            while not pool.is_idle:
                pool.collect(0.5)
            kinds = [event.kind for event in events_after(ledger, 0, 100)]
    assert (ended, server.requests) == (["late"], 3)
    assert kinds.count("run_retried") == 1


def test_an_interrupt_between_two_tries_leaves_a_failure_and_no_third_one(world: World) -> None:
    with ModelServer(faults={1: Fault("cut"), 2: Fault("cut")}) as server:
        world.configure({"base_url": server.base_url})
        with world.ledger() as ledger:

            def interrupted() -> None:
                with Pool(world.runner_on(ledger), 1, carries=True) as pool:
                    pool.begin(world.request(script({"say": "late"}))).attempt.wait()
                    pool.collect(0.5)
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                interrupted()
            assert states(ledger) == ["failed"]
        assert server.requests == 2
