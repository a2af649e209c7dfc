"""What a run holds on a ledger that hosts share, and its fence: nobody gets in before the late one is out."""

import contextlib
import json
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.codex.process import Attempt, Launch
from armarius.dispatch.runner import Runner
from armarius.errors import NoAnswer
from armarius.files import write_atomic
from armarius.resources.catalogue import declare
from armarius.resources.leases import LENGTH_US, Leases, Owner
from armarius.settings import CounterSpec
from armarius.sharing.holding import FENCE
from armarius.sharing.site import NOW, Site
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from support.run_world import Gate, World, script


@pytest.fixture
def address(new_database: Callable[[], str]) -> str:
    """A server's ledger in which one unit of something is declared."""
    address = new_database()
    with contextlib.closing(open_ledger(address, SystemClock())) as ledger:
        declare(ledger, "lic", CounterSpec(), {}, now_us=1)
    return address


@contextlib.contextmanager
def runner_at(world: World, address: str, *, beat_s: float | None) -> Generator[Runner]:
    """A runner whose leases are renewed so often; never with None, as if it had stopped."""
    with contextlib.closing(open_ledger(address, SystemClock())) as ledger:
        site = Site() if beat_s is None else Site(reopen=lambda: open_ledger(address, SystemClock()), beat_s=beat_s)
        yield Runner(ledger, SystemClock(), world.state / "runs", world.binary, world.environ, site=site)


def elsewhere(ledger: Database) -> Leases:
    """The leases as a process of another host sees them."""
    return Leases(ledger, SystemClock(), Owner("far", "boot", "pid:[1]", 1, 1))


def test_on_a_server_a_lease_is_short_and_renewed_and_a_late_run_is_ended_before_it_is_free(
    world: World, gate: Gate, address: str
) -> None:
    request = world.request(script({"wait": str(gate.fifo)}, {"say": "late"}), needs=("lic",))
    with runner_at(world, address, beat_s=None) as runner:
        begun = runner.begin(request)
        gate.await_question()
        [seat] = elsewhere(runner.ledger).of_run(begun.run_id)
        assert (seat.state, seat.lease.length_us) == ("held", LENGTH_US)
        fence = begun.attempt.folder / FENCE
        left_us = int(fence.read_text()) - SystemClock().monotonic_us()
        assert 0 < left_us < seat.left_us  # it must be over before anybody gets in
        write_atomic(fence, b"1")  # the time has passed, and nobody has renewed
        result = runner.finish(begun, begun.attempt.wait())
        assert (result.problem and result.problem.code, result.exit_code is None or result.exit_code) == (
            "lease-lost",
            1,
        )
        assert runner.obtain(request, NOW).leases


def test_a_run_is_kept_alive_by_whoever_renews(world: World, gate: Gate, address: str) -> None:
    request = world.request(script({"wait": str(gate.fifo)}, {"say": "in time"}), needs=("lic",))
    with runner_at(world, address, beat_s=0.02) as runner:
        begun = runner.begin(request)
        gate.await_question()
        fence = begun.attempt.folder / FENCE
        first = int(fence.read_text())
        while int(fence.read_text()) == first:
            pass
        with pytest.raises(NoAnswer):
            runner.obtain(request, NOW)
        gate.open()
        assert runner.finish(begun, begun.attempt.wait()).answer == "in time"


def test_the_guard_ends_a_program_at_its_fence_and_not_while_it_is_moved_on(tmp_path: Path) -> None:
    fence = tmp_path / FENCE
    clock = SystemClock()
    write_atomic(fence, str(clock.monotonic_us() + 600_000_000).encode())
    attempt = Attempt(tmp_path / "1")
    attempt.start(Launch(("/bin/sleep", "600"), {}, "/", 60, fence=str(fence)), b"")
    assert attempt.liveness() == "alive"
    write_atomic(fence, str(clock.monotonic_us()).encode())
    end = attempt.wait()
    assert (end.outcome, end.stopped_by, end.signals_sent) == ("stopped", "lease", ("SIGINT",))
    assert json.loads((tmp_path / "1" / "exit.json").read_bytes())["stopped_by"] == "lease"
