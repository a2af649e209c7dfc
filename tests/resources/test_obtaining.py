"""Getting what is needed: it is seen free while it is held, and given up when it is not."""

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from armarius.errors import DataError, HostError, NoAnswer, Refused, UsageError
from armarius.resources.catalogue import declare, declared_in, readings, withdraw
from armarius.resources.leases import Held, Leases
from armarius.resources.needs import parse_needs
from armarius.resources.obtaining import Heartbeat, Obtaining, Renewal, environ_of
from armarius.resources.probes import Prober
from armarius.settings import CounterSpec, GpuSpec, ProbeSpec, ResourceSpec
from armarius.store.database import Database
from armarius.testing.clock import FakeClock

LENGTH_US = 60_000_000


class Desk:
    """Two who need things, on a clock that moves by their waiting alone."""

    def __init__(self, ledger: Database, folder: Path, configured: dict[str, ResourceSpec]) -> None:
        self.clock, self.ledger = FakeClock(), ledger
        self.leases = Leases(ledger, self.clock)
        self.pauses = list[float]()
        prober = Prober({"PATH": f"{folder}:/usr/bin:/bin"}, folder)
        declared = declared_in(ledger, configured)
        self.desk = Obtaining(ledger, self.leases, prober, self.clock, declared, self.pause)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(int(seconds * 1e6) + 1)

    def obtain(self, *needs: str, wait_s: float = 0) -> Held:
        return self.desk.obtain(parse_needs(needs), wait_us=int(wait_s * 1e6), length_us=LENGTH_US)


@pytest.fixture
def desk(ledger: Database, tmp_path: Path) -> Desk:
    return Desk(ledger, tmp_path, {"lic": CounterSpec(2), "other": CounterSpec()})


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_what_is_not_free_is_said_with_its_holder(desk: Desk) -> None:
    desk.obtain("lic:2")
    with pytest.raises(NoAnswer) as caught:
        desk.obtain("lic:1", "other")
    assert (caught.value.code, caught.value.exit_code) == ("resource-busy", 6)
    assert f"process {desk.leases.me.owner_pid} on {desk.leases.me.host} since 20" in caught.value.message
    assert {seat.lease.resource for seat in desk.leases.all()} == {"lic"}
    with pytest.raises(DataError, match="no resource called 'licc'; did you mean 'lic'"):
        desk.obtain("licc")


def test_waiting_ends_at_its_time_and_asks_less_and_less_often(desk: Desk) -> None:
    desk.obtain("lic:2")
    with pytest.raises(NoAnswer) as caught:
        desk.obtain("lic", wait_s=40)
    assert caught.value.code == "resource-timeout"
    assert sum(desk.pauses) == pytest.approx(40, abs=0.001)
    assert max(desk.pauses) <= 5
    assert len(desk.pauses) < 25


def test_whoever_waits_gets_it_when_it_is_given_back(desk: Desk) -> None:
    first = desk.obtain("lic:2")
    told = list[str]()

    def give_back(seconds: float) -> None:
        desk.clock.advance(int(seconds * 1e6))
        if desk.leases.all():
            desk.leases.release(first.leases)

    desk.desk.pause = give_back
    got = desk.desk.obtain(parse_needs(["lic:2"]), wait_us=None, tell=told.append)
    assert [lease.token for lease in got.leases] == [3, 4]
    assert len(told) == 1


def test_what_a_stranger_took_between_the_look_and_the_lease_is_given_back(ledger: Database, tmp_path: Path) -> None:
    """The probe says free once and then never again."""
    mark = tmp_path / "looked"
    probe = script(tmp_path, "probe", f"[ ! -e {mark} ] && : > {mark}")
    desk = Desk(ledger, tmp_path, {"thing": ProbeSpec([str(probe)])})
    with pytest.raises(NoAnswer, match="the probe ended with 1"):
        desk.obtain("thing")
    assert desk.leases.all() == ()


def test_two_never_get_one_gpu_and_each_is_told_which_it_has(ledger: Database, tmp_path: Path) -> None:
    lines = r"0, GPU-a, 3, 0, A100\n1, GPU-b, 3, 0, A100\n2, GPU-c, 900, 0, A100\n"
    script(tmp_path, "nvidia-smi", f'case "$1" in --query-gpu*) printf "{lines}";; esac')
    desk = Desk(ledger, tmp_path, {})
    first, second = desk.obtain("gpu"), desk.obtain("gpu")
    assert environ_of(first.leases) == {"CUDA_VISIBLE_DEVICES": "GPU-a", "ARMARIUS_LEASE": "gpu/GPU-a#1"}
    assert environ_of(second.leases)["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    with pytest.raises(NoAnswer, match="gpu is leased to process"):
        desk.obtain("gpu")
    seen = {reading.unit: reading.is_free for reading in readings(ledger)}
    assert seen == {"GPU-a": True, "GPU-b": True, "GPU-c": False}


def test_a_port_is_leased_only_while_it_can_be_bound(desk: Desk) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        number = server.getsockname()[1]
        with pytest.raises(NoAnswer, match="in use by"):
            desk.obtain(f"port:{number}")
    desk.obtain(f"port:{number}")
    with pytest.raises(NoAnswer, match="is leased to"):
        desk.obtain(f"port:{number}")


# ------------------------------------------------------------------- renewing


@contextlib.contextmanager
def giving(leases: Leases) -> Generator[Leases]:
    yield leases


def always(act: Callable[[], None]) -> None:
    while True:
        act()


def test_a_lease_is_renewed_after_a_third_of_its_time(desk: Desk) -> None:
    held = desk.obtain("lic")
    renewal = Renewal(held, desk.clock, lambda: giving(desk.leases))
    assert renewal.due_s() == pytest.approx(20)
    for _ in range(9):
        desk.clock.advance(LENGTH_US // 3)
        renewal.tick()
    assert renewal.held.good_until_us == desk.clock.monotonic_us() + LENGTH_US


def test_a_lost_lease_is_said_at_the_next_renewal(desk: Desk) -> None:
    held = desk.obtain("lic")
    renewal = Renewal(held, desk.clock, lambda: giving(desk.leases))
    desk.leases.release(held.leases)
    desk.clock.advance(LENGTH_US // 3 - 1)
    renewal.tick()
    desk.clock.advance(1)
    with pytest.raises(NoAnswer) as caught:
        renewal.tick()
    assert caught.value.code == "lease-lost"


def test_whoever_cannot_reach_the_ledger_stops_before_the_lease_has_ended(desk: Desk) -> None:
    held = desk.obtain("lic")
    asked = list[int]()

    def unreachable() -> contextlib.AbstractContextManager[Leases]:
        asked.append(desk.clock.monotonic_us())
        raise HostError("ledger-unreachable", "no server", "")

    renewal = Renewal(held, desk.clock, unreachable)

    def go_on() -> None:
        while True:
            desk.clock.advance(max(1, int(renewal.due_s() * 1e6)))
            renewal.tick()

    with pytest.raises(NoAnswer, match="could not be renewed in time"):
        go_on()
    assert len(asked) > 5
    assert held.good_until_us - LENGTH_US // 5 < desk.clock.monotonic_us() < held.good_until_us


def test_a_ledger_that_does_not_answer_holds_nobody_up(desk: Desk) -> None:
    is_asked, may_go_on = threading.Event(), threading.Event()

    def silent() -> contextlib.AbstractContextManager[Leases]:
        is_asked.set()
        may_go_on.wait()
        raise HostError("ledger-lost", "gone", "")

    renewal = Renewal(desk.obtain("lic"), desk.clock, silent)
    desk.clock.advance(LENGTH_US // 3)
    with Heartbeat(renewal) as heartbeat:
        assert is_asked.wait(60)
        heartbeat.check()
        desk.clock.advance(LENGTH_US // 2)
        with pytest.raises(NoAnswer, match="could not be renewed in time"):
            heartbeat.check()
        may_go_on.set()


def test_a_heartbeat_says_when_the_lease_is_lost(desk: Desk) -> None:
    held = desk.obtain("lic")
    is_over = threading.Event()

    @contextlib.contextmanager
    def opened() -> Generator[Leases]:
        is_over.set()
        raise Refused("lease-fenced", "the lease has ended", "stop")
        yield desk.leases

    desk.clock.advance(LENGTH_US // 3)
    with Heartbeat(Renewal(held, desk.clock, opened)) as heartbeat:
        assert is_over.wait(60)
        with pytest.raises(NoAnswer, match="has ended"):
            always(heartbeat.check)


# ------------------------------------------------------------------ declaring


def test_what_was_declared_is_there_for_all_who_share_the_ledger(ledger: Database) -> None:
    declare(ledger, "lic", CounterSpec(3), {}, now_us=1)
    declare(ledger, "gpu", GpuSpec(900), {}, now_us=1)
    found = declared_in(ledger, {"lic": CounterSpec(1)})
    assert {name: (one.spec, one.source) for name, one in found.items()} == {
        "gpu": (GpuSpec(900), "ledger"),
        "lic": (CounterSpec(1), "config.toml"),
    }


@pytest.mark.parametrize(
    ("name", "spec", "error"),
    [
        ("thing", ProbeSpec(["/bin/true"]), Refused),
        ("port", CounterSpec(), DataError),
        ("ram", CounterSpec(), DataError),
        ("mcp", CounterSpec(), DataError),
        ("gpu", CounterSpec(), DataError),
        ("cards", GpuSpec(), DataError),
        ("mine", CounterSpec(), UsageError),
        ("there", CounterSpec(), UsageError),
    ],
)
def test_what_may_not_be_declared_is_refused(
    ledger: Database, name: str, spec: ResourceSpec, error: type[Exception]
) -> None:
    configured: dict[str, ResourceSpec] = {"mine": CounterSpec()}
    declare(ledger, "there", CounterSpec(), configured, now_us=1)
    with pytest.raises(error):
        declare(ledger, name, spec, configured, now_us=1)


def test_a_probe_that_somebody_wrote_into_the_ledger_is_never_run(ledger: Database, tmp_path: Path) -> None:
    row = f'{{"kind":"probe","command":["/usr/bin/touch","{tmp_path}/run"]}}'
    ledger.script(f"INSERT INTO resource (name, spec, created_at_us) VALUES ('evil', '{row}', 1), ('odd', '[]', 1)")
    assert declared_in(ledger, {}) == {}
    with pytest.raises(DataError):
        Desk(ledger, tmp_path, {}).obtain("evil")


def test_what_somebody_holds_is_not_withdrawn(ledger: Database, tmp_path: Path) -> None:
    declare(ledger, "lic", CounterSpec(), {}, now_us=1)
    desk = Desk(ledger, tmp_path, {})
    held = desk.obtain("lic")
    with pytest.raises(Refused, match="is held by"):
        withdraw(ledger, desk.leases, "lic", {})
    desk.leases.release(held.leases)
    withdraw(ledger, desk.leases, "lic", {})
    with pytest.raises(DataError):
        withdraw(ledger, desk.leases, "lic", {})
