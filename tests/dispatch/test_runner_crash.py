"""What is left of a run when an Armarius is killed, and who carries on with it.

The killed one is a process of its own. It dies at one of its three commits (the claim, the start,
the end), or while codex waits for the model; the one that carries on is the test.
"""

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import msgspec
import pytest

from armarius.codex.guard import Identity, identity_of
from armarius.codex.process import MARKER, Attempt
from armarius.dispatch.runner import Runner
from armarius.errors import HostError
from armarius.files import private_folder
from armarius.runs import records
from armarius.runs.records import QUERIES, AttemptRow, RunRow
from armarius.runs.request import RunRequest
from armarius.store.database import Database, Outcome, Value
from armarius.store.queries import Query
from armarius.store.sqlite import SqliteDatabase
from armarius.testing.clock import FakeClock
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from support.prefork import Forked
from support.run_world import Gate, World, script

Other = Callable[..., Forked]

RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY id")
ATTEMPTS = Query("attempts", "Every attempt.", "SELECT * FROM attempt ORDER BY run_id, number")
MOMENTS = ("before 1", "after 1", "before 2", "after 2", "before 3", "after 3")


def outcomes(ledger: Database) -> list[tuple[int, str | None]]:
    return [(row.number, row.outcome) for row in ledger.fetch(ATTEMPTS, AttemptRow)]


def unit(world: World, *steps: dict[str, str]) -> RunRequest:
    return world.request(script(*steps, {"say": "42"}), paid_key="unit")


def living(folder: Path) -> list[str]:
    """The programs that carry the mark of an attempt below `folder`."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARKER}={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "exe").readlink().name)
    return found


def end(process: Forked) -> None:
    assert process.wait(60) == -signal.SIGKILL


def kill(pid: int) -> None:
    """Kill a process that is not our child, and see it go."""
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)


@pytest.mark.parametrize("moment", MOMENTS)
def test_whoever_asks_again_after_a_kill_gets_the_same_and_the_model_is_asked_once(
    world: World, other: Other, moment: str
) -> None:
    request = unit(world)
    end(other(request, moment=moment))
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(request)
        [run] = ledger.fetch(RUNS, RunRow)
        assert outcomes(ledger) == ([(1, "crashed"), (2, "succeeded")] if moment == "after 1" else [(1, "succeeded")])
    assert (result.state, result.answer) == ("succeeded", "42")
    assert (run.id, run.state, run.outcome) == (result.id, "succeeded", result)
    assert world.server.requests == 1
    assert living(world.state) == []


def test_a_failure_that_nobody_recorded_is_recorded_and_not_paid_for_again(world: World, other: Other) -> None:
    request = world.request("Say something. [[fault:400]]", paid_key="unit")
    end(other(request, moment="before 3"))
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(request)
        assert outcomes(ledger) == [(1, "failed")]
    assert (result.state, world.server.requests) == ("failed", 1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_recovery_records_what_a_kill_left_and_a_second_one_finds_nothing(
    world: World, other: Other, moment: str
) -> None:
    request = unit(world)
    end(other(request, moment=moment))
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        for run in ledger.fetch(RUNS, RunRow):
            attempt = Attempt(Path(run.folder) / "1")
            if attempt.liveness() == "alive":  # its guard sees codex through
                attempt.wait()
        states = [result.state for result in runner.recover()]
        assert states == {"before 1": [], "after 3": [], "after 1": ["crashed"]}.get(moment, ["succeeded"])
        assert runner.recover() == []
        assert runner.run(request).state == "succeeded"
    assert world.server.requests == 1


def test_a_run_whose_owner_was_killed_while_codex_worked_is_adopted_and_not_started_again(
    world: World, other: Other, gate: Gate
) -> None:
    request = unit(world, {"wait": str(gate.fifo)})
    first = other(request)
    gate.await_question()
    [known] = world.state.glob("runs/run_*/1/guard.json")
    guard = json.loads(known.read_bytes())
    first.kill()
    end(first)
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        assert runner.recover() == []
        begun = runner.begin(request)
        assert (begun.number, begun.attempt.liveness()) == (1, "alive")
        assert identity_of(guard["codex"]["pid"]) == guard["codex"]
        assert list(world.state.glob("runs/run_*/*/guard.json")) == [known]
        gate.open()
        result = runner.finish(begun, begun.attempt.wait())
        assert outcomes(ledger) == [(1, "succeeded")]
    assert (result.state, result.answer, world.server.requests) == ("succeeded", "42", 1)


def test_an_attempt_whose_guard_was_killed_is_cleared_away_and_tried_again(
    world: World, other: Other, gate: Gate
) -> None:
    request = unit(world, {"wait": str(gate.fifo)})
    first = other(request)
    gate.await_question()
    with world.ledger() as ledger:
        [run] = ledger.fetch(RUNS, RunRow)
        guard = json.loads(Path(run.folder, "1", "guard.json").read_bytes())
        first.kill()
        end(first)
        kill(guard["pid"])
        Attempt(Path(run.folder, "1")).wait()  # ends what the guard left, before that can complete its turn
        gate.open()
        result = world.runner_on(ledger).run(request)
        assert outcomes(ledger) == [(1, "crashed"), (2, "succeeded")]
    assert (result.state, result.id) == ("succeeded", run.id)
    assert identity_of(guard["codex"]["pid"]) != guard["codex"]
    assert world.server.requests == 2


def test_a_completed_turn_whose_guard_was_killed_before_it_could_say_so_is_not_asked_for_again(world: World) -> None:
    request = unit(world)
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        begun = runner.begin(request)
        begun.attempt.wait()
        (begun.attempt.folder / "exit.json").unlink()  # as if a full disk or a kill had come before it
        assert begun.attempt.liveness() == "lost"
        result = runner.finish(begun, begun.attempt.wait())
        assert (result.state, result.answer) == ("succeeded", "42")
        assert runner.run(request).id == result.id
    assert world.server.requests == 1


def test_a_claim_of_a_living_process_is_left_to_it(world: World, other: Other, gate: Gate) -> None:
    request = unit(world, {"wait": str(gate.fifo)})
    first = other(request)
    gate.await_question()
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        with pytest.raises(HostError, match=f"is being run by process {first.pid} on ") as caught:
            runner.begin(request)
        assert (caught.value.code, caught.value.exit_code) == ("run-owned", 4)
        assert runner.recover() == []
        gate.open()
        assert first.stdout
        assert first.stdout.readline() == b"succeeded\n"
        assert runner.run(request).answer == "42"
    assert world.server.requests == 1


def test_of_several_that_ask_at_the_same_moment_one_does_it(world: World, other: Other) -> None:
    request = unit(world)
    others = [other(request, waits=True) for _ in range(3)]
    for process in others:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    said: list[str] = []
    for process in others:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in others:
        assert process.stdout
        said.append(process.stdout.readline().decode().strip())
    assert set(said) <= {"succeeded", "run-owned"}
    assert "succeeded" in said
    with world.ledger() as ledger:
        assert outcomes(ledger) == [(1, "succeeded")]
    assert world.server.requests == 1


def somebody(**changes: object) -> Identity:
    return (identity_of(os.getpid()) or {}) | changes


def claim(world: World, ledger: Database, request: RunRequest, owner: Identity) -> None:
    with ledger.transaction():
        folder = str(world.state / "runs" / "run_1")
        records.open_run(
            ledger, run_id="run_1", folder=folder, request=request, codex_version="0.163.0", me=owner, now_us=1
        )


@pytest.mark.parametrize(
    "changes",
    [{"start": 1}, {"boot_id": "another boot"}, {"pid": 1 << 22, "start": 1}],
    ids=["pid given to another", "machine started anew", "nobody"],
)
def test_an_owner_that_is_not_that_process_any_more_is_taken_over(world: World, changes: dict[str, object]) -> None:
    with world.ledger() as ledger:
        claim(world, ledger, unit(world), somebody(**changes))
        assert [result.state for result in world.runner_on(ledger).recover()] == ["crashed"]
        assert world.runner_on(ledger).run(unit(world)).state == "succeeded"


def test_a_start_that_was_cut_short_before_there_was_a_guard_is_tried_again(world: World) -> None:
    with world.ledger() as ledger:
        claim(world, ledger, unit(world), somebody(start=1))
        folder = private_folder(world.state / "runs" / "run_1" / "1")
        (folder / "launch.json").write_text("{}")
        assert world.runner_on(ledger).run(unit(world)).state == "succeeded"
        assert outcomes(ledger) == [(1, "crashed"), (2, "succeeded")]
    assert world.server.requests == 1


def test_an_owner_on_another_machine_is_never_taken_over(world: World) -> None:
    """Nobody can see from here whether it lives."""
    with world.ledger() as ledger:
        claim(world, ledger, unit(world), somebody(host="elsewhere", pid=1 << 22))
        assert world.runner_on(ledger).recover() == []
        with pytest.raises(HostError, match="on elsewhere; wait for it"):
            world.runner_on(ledger).begin(unit(world))
        assert outcomes(ledger) == [(1, None)]
    assert world.server.requests == 0


def test_what_this_process_claimed_itself_it_carries_on_with(world: World) -> None:
    with world.ledger() as ledger:
        claim(world, ledger, unit(world), somebody())
        assert world.runner_on(ledger).recover() == []
        assert world.runner_on(ledger).run(unit(world)).state == "succeeded"
        assert outcomes(ledger) == [(1, "crashed"), (2, "succeeded")]


class InterruptedLedger(SqliteDatabase):
    """A ledger on which somebody else acts, once: before a query (by its name) or the nth transaction."""

    def __init__(self, path: Path, moment: str, act: Callable[[], object]) -> None:
        super().__init__(path)
        self._moment = moment
        self._act: Callable[[], object] | None = act
        self._transactions = 0

    def _reach(self, moment: str) -> None:
        if moment == self._moment and self._act is not None:
            act, self._act = self._act, None
            act()

    def run(self, query: Query, values: Mapping[str, Value]) -> Outcome:
        self._reach(query.name)
        return super().run(query, values)

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        self._transactions += 1
        self._reach(f"transaction {self._transactions}")
        with super().transaction():
            yield


def interrupted(world: World, moment: str, act: Callable[[Database], object]) -> InterruptedLedger:
    def act_elsewhere() -> None:
        with world.ledger() as ledger:
            act(ledger)

    return InterruptedLedger(world.state / "ledger.sqlite", moment, act_elsewhere)


def test_a_unit_that_somebody_did_meanwhile_is_not_done_again(world: World) -> None:
    request = unit(world)
    with world.ledger():
        pass
    with contextlib.closing(
        interrupted(world, "transaction 1", lambda ledger: world.runner_on(ledger).run(request))
    ) as ledger:
        assert world.runner_on(ledger).run(request).state == "succeeded"
        assert outcomes(ledger) == [(1, "succeeded")]
    assert world.server.requests == 1


def take_over(ledger: Database) -> None:
    """The process that started the tests claims the attempt for itself."""
    [row] = ledger.fetch(ATTEMPTS, AttemptRow)
    owner = identity_of(os.getppid()) or {}
    assert ledger.execute(
        QUERIES.take_over_attempt,
        run_id=row.run_id,
        number=row.number,
        host=owner["host"],
        boot_id=owner["boot_id"],
        owner_pid=owner["pid"],
        owner_start=owner["start"],
        old_pid=row.owner_pid,
        old_start=row.owner_start,
    )


@pytest.mark.parametrize("way", ["begin", "recover"])
def test_of_two_that_would_take_over_a_claim_the_slower_one_lets_go(world: World, way: str) -> None:
    with world.ledger() as ledger:
        claim(world, ledger, unit(world), somebody(start=1))
    with contextlib.closing(interrupted(world, "take_over_attempt", take_over)) as ledger:
        runner = world.runner_on(ledger)
        if way == "recover":
            assert runner.recover() == []
        else:
            with pytest.raises(HostError, match=f"is being run by process {os.getppid()} on "):
                runner.begin(unit(world))
        assert outcomes(ledger) == [(1, None)]
    assert world.server.requests == 0


@pytest.mark.parametrize("moment", ["last_attempt", "transaction 2"])
@pytest.mark.parametrize("meanwhile", ["succeeded", "failed"])
def test_what_somebody_tried_again_meanwhile_is_looked_at_before_another_try(
    world: World, moment: str, meanwhile: str
) -> None:
    faults = {} if meanwhile == "succeeded" else {1: Fault("400")}
    with ModelServer(faults=faults) as server:
        world.configure({"base_url": server.base_url})
        request = unit(world)
        with world.ledger() as ledger:
            claim(world, ledger, request, somebody(start=1))
            assert [result.state for result in world.runner_on(ledger).recover()] == ["crashed"]
        with contextlib.closing(
            interrupted(world, moment, lambda ledger: world.runner_on(ledger).run(request))
        ) as ledger:
            assert world.runner_on(ledger).run(request).answer == "42"
            tries = [(1, "crashed"), (2, "failed"), (3, "succeeded")]
            assert outcomes(ledger) == (tries if meanwhile == "failed" else [(1, "crashed"), (2, "succeeded")])
        assert server.requests == (2 if meanwhile == "failed" else 1)


def test_a_clock_that_is_put_back_gives_a_run_no_time_away(world: World) -> None:
    clock = FakeClock()
    with world.ledger() as ledger:
        runner = Runner(ledger, clock, world.state / "runs", world.binary, world.environ)
        begun = runner.begin(world.request(script({"say": "so"}), deadline_s=50))
        clock.set_wall(clock.now_us() - 3_600_000_000)
        assert runner.left_s(begun) == 50
        assert runner.finish(begun, begun.attempt.wait()).state == "succeeded"
        clock.advance(7_200_000_000)
        assert runner.left_s(begun) < 0


def test_the_rows_of_a_run_hold_no_value_of_its_environment(world: World) -> None:
    request = msgspec.structs.replace(unit(world), environ={"PROVIDER_KEY": "key-of-the-provider"})
    with world.ledger() as ledger:
        claim(world, ledger, request, somebody())
        [run] = ledger.fetch(RUNS, RunRow)
    assert "key-of-the-provider" not in run.request
    assert run.asked == msgspec.structs.replace(request, environ={})
