"""Leases on both databases: one holder a unit, whatever happens to holders and their clocks."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armarius.clock import SystemClock
from armarius.errors import Refused
from armarius.resources.leases import Amount, Busy, Held, Leases, Owner, Units, owner_of
from armarius.store.database import Database
from armarius.store.ledger import events_after, open_ledger
from armarius.testing.clock import FakeClock

HOLDER = Path(__file__).parents[1] / "support" / "lease_holder.py"
LENGTH_US = 10_000_000
ELSEWHERE = Owner("elsewhere", "another-boot", "pid:[1]", 1, 1)
GPU = Units("gpu", ("a", "b"))


class Holder:
    """Another process with leases."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin
        assert process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    def tell(self, line: str) -> None:
        self._in.write(f"{line}\n")
        self._in.flush()

    def hear(self) -> str:
        return self._out.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


Start = Callable[..., Holder]


@pytest.fixture
def start(place: str, tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start_one(host: str = "here", skew_s: float = 0, length_s: float = 10, units: str = "a") -> Holder:
            words = (place, host, str(skew_s), str(length_s), units, str(tmp_path))
            process = subprocess.Popen(
                [sys.executable, str(HOLDER), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            holder = Holder(process)
            assert holder.hear() == "ready"
            return holder

        yield start_one


def held(answer: Held | Busy) -> Held:
    assert isinstance(answer, Held)
    return answer


def units_of(answer: Held | Busy) -> list[str]:
    return [lease.unit for lease in held(answer).leases]


# --------------------------------------------------------------- one process


def test_each_unit_has_one_holder_and_comes_back_with_a_higher_token(ledger: Database) -> None:
    leases = Leases(ledger, FakeClock())
    first, second = held(leases.acquire([GPU])), held(leases.acquire([GPU]))
    assert (units_of(first), units_of(second)) == (["a"], ["b"])
    busy = leases.acquire([GPU])
    assert isinstance(busy, Busy)
    assert [lease.token for lease in busy.holders] == [1, 2]
    leases.release(first.leases)
    again = held(leases.acquire([GPU]))
    assert [(lease.unit, lease.token) for lease in again.leases] == [("a", 3)]
    leases.release(first.leases)  # a second time: it is somebody else's by now
    leases.check(again.leases)
    kinds = [event.kind for event in events_after(ledger, 0, 100)]
    assert kinds == ["lease_acquired", "lease_acquired", "lease_released", "lease_acquired"]


def test_all_that_is_claimed_is_had_or_nothing(ledger: Database) -> None:
    leases = Leases(ledger, FakeClock())
    held(leases.acquire([Units("port", ("80",))]))
    assert isinstance(leases.acquire([Units("gpu", ("a", "b"), 2), Units("port", ("80",))]), Busy)
    assert [seat.lease.resource for seat in leases.all()] == ["port"]
    assert isinstance(leases.acquire([Units("gpu", ("a", "b"), 3)]), Busy)
    both = held(leases.acquire([Units("gpu", ("a", "b")), Units("gpu", ("a", "b"))]))
    assert sorted(units_of(both)) == ["a", "b"]


def test_an_amount_is_given_out_up_to_its_limit(ledger: Database) -> None:
    leases = Leases(ledger, FakeClock())
    first = held(leases.acquire([Amount("ram", 6, 10)]))
    assert isinstance(leases.acquire([Amount("ram", 5, 10)]), Busy)
    held(leases.acquire([Amount("ram", 4, 10)]))
    assert isinstance(leases.acquire([Amount("ram", 1, 10)]), Busy)
    leases.release(first.leases)
    held(leases.acquire([Amount("ram", 3, 10), Amount("ram", 3, 10)]))
    assert isinstance(leases.acquire([Amount("ram", 1, 10)]), Busy)


def test_the_end_of_a_lease_is_on_the_machine_s_own_clock_where_there_is_no_server(tmp_path: Path) -> None:
    clock = FakeClock()
    with contextlib.closing(open_ledger(tmp_path / "ledger", clock)) as ledger:
        # On the same boot, but in a pid namespace that we cannot see into.
        me = owner_of(os.getpid())
        assert me
        theirs = Leases(ledger, clock, msgspec.structs.replace(me, namespace="pid:[1]"))
        ours = Leases(ledger, clock)
        lost = held(theirs.acquire([Units("gpu", ("a",))], length_us=LENGTH_US))
        clock.set_wall(clock.now_us() + 86_400_000_000)
        assert isinstance(ours.acquire([Units("gpu", ("a",))]), Busy)
        clock.advance(LENGTH_US - 1)
        assert isinstance(ours.acquire([Units("gpu", ("a",))]), Busy)
        assert clock.monotonic_us() < lost.good_until_us
        clock.advance(1)
        assert clock.monotonic_us() >= lost.good_until_us
        for late in (lambda: theirs.renew(lost), lambda: theirs.check(lost.leases)):
            with pytest.raises(Refused, match="token 1 has ended"):
                late()
        won = held(ours.acquire([Units("gpu", ("a",))]))
        for late in (lambda: theirs.renew(lost), lambda: theirs.check(lost.leases)):
            with pytest.raises(Refused) as caught:
                late()
            assert caught.value.code == "lease-fenced"
        theirs.release(lost.leases)
        ours.check(won.leases)
        assert [lease.token for lease in won.leases] == [2]


def test_a_renewed_lease_lasts_from_then(tmp_path: Path) -> None:
    clock = FakeClock()
    with contextlib.closing(open_ledger(tmp_path / "ledger", clock)) as ledger:
        leases = Leases(ledger, clock)
        mine = held(leases.acquire([GPU], length_us=LENGTH_US))
        for _ in range(5):
            clock.advance(LENGTH_US - 1)
            mine = leases.renew(mine)
        assert mine.good_until_us == clock.monotonic_us() + LENGTH_US
        leases.check(mine.leases)


def test_one_lost_unit_loses_all_that_was_acquired_with_it(ledger: Database) -> None:
    leases = Leases(ledger, FakeClock())
    both = held(leases.acquire([Units("gpu", ("a", "b"), 2)]))
    leases.release(both.leases[:1])
    with pytest.raises(Refused):
        leases.renew(both)


def test_an_owner_of_an_earlier_boot_is_gone_from_a_file_and_not_from_a_server(ledger: Database) -> None:
    theirs = Leases(ledger, SystemClock(), ELSEWHERE)
    held(theirs.acquire([Units("gpu", ("a",))]))
    answer = Leases(ledger, SystemClock()).acquire([Units("gpu", ("a",))])
    assert isinstance(answer, Held if ledger.server_time_us() is None else Busy)


def test_a_process_with_the_pid_of_a_dead_owner_is_not_taken_for_it(ledger: Database) -> None:
    me = owner_of(os.getpid())
    assert me
    before = msgspec.structs.replace(me, owner_start=me.owner_start - 1)
    held(Leases(ledger, SystemClock(), before).acquire([Units("gpu", ("a",))]))
    assert [seat.state for seat in Leases(ledger, SystemClock()).all()] == ["gone"]
    held(Leases(ledger, SystemClock()).acquire([Units("gpu", ("a",))]))


def test_a_lease_goes_on_with_whoever_it_is_handed_to(ledger: Database, start: Start) -> None:
    other = start()
    me = Leases(ledger, SystemClock())
    heir = owner_of(other.process.pid)
    assert heir
    mine = me.hand_over(held(me.acquire([GPU], run_id="run_x")), heir)
    assert [seat.state for seat in me.of_run("run_x")] == ["held"]
    assert me.take_up("run_x").leases[0].token == mine.leases[0].token
    other.kill()
    assert [seat.state for seat in me.of_run("run_x")] == ["gone"]
    assert [lease.unit for lease in me.expire()] == ["a"]
    with pytest.raises(Refused):
        me.renew(mine)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("acquire"), st.integers(1, 3)),
            st.tuples(st.sampled_from(["release", "renew", "check"]), st.integers(0, 20)),
            st.tuples(st.just("wait"), st.sampled_from([1, LENGTH_US // 2, LENGTH_US])),
        ),
        max_size=25,
    )
)
def test_whatever_is_done_in_whatever_order_only_the_newest_token_of_a_unit_counts(
    tmp_path: Path, acts: list[tuple[str, int]]
) -> None:
    clock, names = FakeClock(), ("a", "b", "c")
    with contextlib.closing(open_ledger(tmp_path / f"{os.urandom(4).hex()}.db", clock)) as ledger:
        leases = Leases(ledger, clock)
        known, until = list[Held](), dict[str, tuple[int, int]]()  # by unit: token and end

        def holds(one: Held) -> bool:
            return all(
                until.get(part.unit, (0, 0)) > (part.token, clock.monotonic_us()) and until[part.unit][0] == part.token
                for part in one.leases
            )

        last = 0
        for verb, number in acts:
            if verb == "wait":
                clock.advance(number)
            elif verb == "acquire":
                free = [name for name in names if until.get(name, (0, 0))[1] <= clock.monotonic_us()]
                answer = leases.acquire([Units("gpu", names, number)], length_us=LENGTH_US)
                assert isinstance(answer, Held) == (len(free) >= number)
                if isinstance(answer, Held):
                    assert {part.unit for part in answer.leases} <= set(free)
                    tokens = [part.token for part in answer.leases]
                    assert min(tokens) > last
                    last = max(tokens)
                    until |= {part.unit: (part.token, clock.monotonic_us() + LENGTH_US) for part in answer.leases}
                    known.append(answer)
            elif known:
                one = known[number % len(known)]
                mine = holds(one)
                if verb == "release":
                    leases.release(one.leases)
                    for part in one.leases:
                        if until.get(part.unit, (0, 0))[0] == part.token:
                            del until[part.unit]
                elif mine:
                    if verb == "renew":
                        known[number % len(known)] = leases.renew(one)
                        until |= {part.unit: (part.token, clock.monotonic_us() + LENGTH_US) for part in one.leases}
                    else:
                        leases.check(one.leases)
                else:
                    with pytest.raises(Refused):
                        leases.renew(one) if verb == "renew" else leases.check(one.leases)


# ----------------------------------------------------------- several processes


def test_a_holder_that_was_killed_on_this_host_is_not_waited_for(start: Start) -> None:
    one, other = start(length_s=3600), start()
    assert one.ask("acquire") == "held a 1"
    assert other.ask("acquire") == "busy"
    one.kill()
    assert other.ask("acquire") == "held a 2"


@pytest.mark.parametrize("skews", [(86_400, -86_400), (-86_400, 86_400)], ids=str)
def test_a_dead_holder_of_another_host_is_waited_for_until_its_lease_has_ended(
    start: Start, skews: tuple[int, int]
) -> None:
    one, other = start("far", skews[0], length_s=0.5), start("near", skews[1])
    assert one.ask("acquire") == "held a 1"
    assert other.ask("acquire") == "busy"
    one.kill()
    while (said := other.ask("acquire")) == "busy":
        pass
    assert said == "held a 2"


def test_a_holder_that_was_stopped_is_fenced_when_it_wakes_up(start: Start) -> None:
    one, other = start("far", length_s=0.5), start("near", length_s=60)
    assert one.ask("acquire") == "held a 1"
    assert one.ask("renew") == "done"
    one.process.send_signal(signal.SIGSTOP)
    while (said := other.ask("acquire")) == "busy":
        pass
    assert said == "held a 2"
    one.process.send_signal(signal.SIGCONT)
    assert [one.ask(verb) for verb in ("check", "renew", "release")] == ["refused lease-fenced"] * 2 + ["done"]
    assert other.ask("check") == "done"


def test_holders_that_are_killed_at_random_never_share_a_unit(start: Start) -> None:
    """Each has a lock of the kernel's on what it holds; two of one unit would be seen there."""
    chance = random.Random(20261121)
    hosts = ["here", "here", "far", "near"]
    skews = [0, 86_400, -86_400, 3_600]

    def begin(number: int) -> Holder:
        holder = start(hosts[number], skews[number], length_s=1.5, units="a,b,c")
        holder.tell(f"loop {chance.random()}")
        return holder

    holders = [begin(number) for number in range(4)]
    said = list[str]()
    for number in [*range(4), *(chance.randrange(4) for _ in range(2))]:
        said += [holders[number].hear() for _ in range(chance.randint(2, 8))]
        holders[number].kill()
        holders[number] = begin(number)
    for holder in holders:
        said += [holder.hear() for _ in range(5)]
        holder.tell("stop")
    for holder in holders:
        while (line := holder.hear()) != "stopped":
            assert line
            said.append(line)
    assert [line for line in said if line.startswith("violation")] == []
    tokens = [word for line in said for word in line.split()[1:]]
    assert len(tokens) == len(set(tokens)) >= 30
