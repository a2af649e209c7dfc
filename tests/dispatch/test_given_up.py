"""A run of a host that never comes back: who may say so, and what is left of it."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest

from armarius.clock import SystemClock
from armarius.dispatch import workers
from armarius.dispatch.afterwards import cancel, give_up
from armarius.dispatch.keeper import Keeper
from armarius.errors import HostError, Refused
from armarius.identity import new_id
from armarius.resources.leases import Held, Leases, Owner, Units
from armarius.runs import queued, records
from armarius.runs.queued import Place
from armarius.runs.records import RunRow, find_run
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.queries import Query
from support.queue_world import QueueWorld
from support.run_world import World, script

FAR = {"host": "far", "boot_id": "boot", "pid": 1, "start": 1}
HUSH = Query("hush", "Let a worker be unheard of for a minute.", "UPDATE worker SET until_us = until_us - 60000000")


def far_run(queue: QueueWorld, ledger: Database, request: RunRequest) -> RunRow:
    """A run of the queue that a host elsewhere has claimed."""
    clock, settings = SystemClock(), queue.settings
    run_id = queued.hand_in(ledger, clock, settings.runs, request, Place(None, "own"))
    now_us = clock.now_us()
    queued.claim(ledger, run_id, folder=queue.world.folder / "far", codex_version="1", me=FAR, now_us=now_us)
    return find_run(ledger, run_id)


def test_a_run_of_a_host_that_is_gone_can_be_given_up_and_asked_for_again(queue: QueueWorld) -> None:
    with queue.ledger() as ledger:
        run = far_run(queue, ledger, queue.world.request(script({"say": "42"})))
        keeper = Keeper(ledger, SystemClock())
        with pytest.raises(HostError, match="runs on far") as caught:
            cancel(keeper, run)
        assert "--force" in caught.value.hint
        ended = give_up(keeper, run)
        assert (ended.state, ended.error_code) == ("cancelled", "given-up")
        # The host comes back after all: its run is over, and what it says changes nothing.
        late = msgspec.structs.replace(ended.outcome, state="succeeded") if ended.outcome else None
        assert late is not None
        now_us = SystemClock().now_us()
        assert not records.close_attempt(ledger, number=1, result=late, responses=(), now_us=now_us)
        assert find_run(ledger, run.id) == ended


def test_a_run_is_not_given_up_while_its_host_is_heard_of(queue: QueueWorld) -> None:
    clock = SystemClock()
    with queue.ledger() as ledger:
        run, keeper = far_run(queue, ledger, queue.world.request(script({"say": "42"}))), Keeper(ledger, clock)
        me = workers.enlist(ledger, clock, new_id("worker", clock), "far:/home", 1)
        ledger.execute(
            Query("move", "It is one of elsewhere.", "UPDATE worker SET host = 'far' WHERE id = :id"), id=me.id
        )
        with pytest.raises(Refused, match="a worker on far was heard of"):
            give_up(keeper, run)
        ledger.execute(HUSH)
        assert give_up(keeper, run).state == "cancelled"


def test_a_run_that_renews_what_it_holds_is_given_up_only_when_it_has_stopped_to(
    world: World, new_database: Callable[[], str]
) -> None:
    with contextlib.closing(QueueWorld(world, new_database())) as queue, queue.ledger() as ledger:
        run, keeper = far_run(queue, ledger, world.request(script({"say": "42"}))), Keeper(ledger, SystemClock())
        theirs = Leases(ledger, SystemClock(), Owner("far", "boot", "pid:[1]", 1, 1))
        held = theirs.acquire([Units("lic", ("0",), 1)], run_id=run.id)
        assert isinstance(held, Held)
        with pytest.raises(Refused, match="renewed"):
            give_up(keeper, run)
        ledger.execute(Query("late", "It was not renewed.", "UPDATE lease SET until_us = until_us - 120000000"))
        assert give_up(keeper, run).state == "cancelled"
        assert keeper.holds.leases.of_run(run.id) == ()
        with pytest.raises(Refused):  # by which its guard is told to end Codex
            theirs.renew(held)
