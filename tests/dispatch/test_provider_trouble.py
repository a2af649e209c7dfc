"""A provider that is in trouble: what passes by itself, what does not, and who tries again; on real Codex."""

import json
import signal
from pathlib import Path

import msgspec
import pytest

from armarius.codex.binary import Binary
from armarius.dispatch.carrying import carry, is_passing, is_untouched, pause_s
from armarius.runs.request import Problem, RunResult
from armarius.store.ledger import events_of
from armarius.store.queries import Query
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from support.run_world import World, script
from support.terminal import Terminal

ATTEMPTS = Query("attempts", "Every attempt.", "SELECT number, outcome FROM attempt ORDER BY run_id, number")


def do(world: World, prompt: str, **changes: object) -> RunResult:
    with world.runner() as runner:
        return carry(runner, runner.begin(world.request(prompt, **changes)))  # pyright: ignore[reportArgumentType]


def attempts(world: World) -> list[str]:
    with world.ledger() as ledger:
        return [str(row["outcome"]) for row in ledger.fetch(ATTEMPTS)]


def test_what_passes_by_itself_is_asked_again_on_each_build(tmp_path: Path, binary: Binary) -> None:
    again(tmp_path, binary, "500", 4)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["cut", "failed"])
def test_so_is_what_was_cut(tmp_path: Path, wheel_binary: Binary, fault: str) -> None:
    again(tmp_path, wheel_binary, fault, 2)


def again(tmp_path: Path, binary: Binary, fault: str, times: int) -> None:
    """Codex itself asks so many times, and gives up; then comes another attempt of the same run."""
    with ModelServer(faults={number: Fault(fault) for number in range(1, times + 1)}) as server:
        world = World(tmp_path, binary, server).build()
        result = do(world, script({"say": "at last"}))
    assert (result.state, result.answer, world.server.requests) == ("succeeded", "at last", times + 1)
    assert attempts(world) == ["failed", "succeeded"]
    with world.ledger() as ledger:
        kinds = [event.kind for event in events_of(ledger, result.id)]
    assert kinds == [
        *("run_claimed", "run_started", "attempt_failed", "run_retried", "run_claimed", "run_started", "run_ended"),
    ]


def test_a_completed_turn_is_not_asked_for_again_and_neither_is_one_that_changed_a_file(world: World) -> None:
    patch = "*** Begin Patch\n*** Add File: made.txt\n+made\n*** End Patch"
    result = do(world, script({"patch": patch}, {"fault": "cut"}), sandbox="workspace-write")
    assert (result.state, result.files_changed) == ("failed", ("made.txt",))
    assert attempts(world) == ["failed"]
    done = do(world, script({"say": "no JSON"}), schema={"type": "object"})
    assert (done.state, done.problem and done.problem.code) == ("failed", "answer-schema")
    assert attempts(world) == ["failed", "failed"]


@pytest.mark.parametrize("fault", ["400", "quota", "usage-limit"])
def test_what_does_not_pass_by_itself_is_not_tried_again(world: World, fault: str) -> None:
    result = do(world, script({"fault": fault}))
    assert result.state == "failed"
    assert attempts(world) == ["failed"]


def test_another_attempt_has_only_the_time_that_is_left(world: World) -> None:
    world.configure({"base_url": "http://127.0.0.1:9"})
    result = do(world, "Say something.", deadline_s=3.0)
    assert result.state in ("failed", "timed_out")
    with world.ledger() as ledger:
        [first, *_, last] = events_of(ledger, result.id)
    assert last.kind == "run_ended"
    assert last.at_us - first.at_us < 10_000_000, "far less than Codex and we would try otherwise"


def test_pauses_grow_and_are_never_the_same_for_all() -> None:
    assert [pause_s(tries, b"\0\0\0\0") for tries in (1, 2)] == [1.0, 4.0]
    assert [round(pause_s(tries, b"\xff\xff\xff\xff"), 3) for tries in (1, 2)] == [3.0, 12.0]


RESULT = RunResult(id="run_1", state="failed", role="worker", folder="/f", sandbox="workspace-write")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"files_evidence": "stat"}, True),
        ({"files_evidence": "unknown"}, False),
        ({"files_evidence": "unknown", "sandbox": "read-only"}, True),
        ({"files_evidence": "stat", "files_changed": ("a",)}, False),
        ({"files_evidence": "stat", "turns": 2}, False),
        ({"files_evidence": "stat", "answer": "x"}, False),
    ],
)
def test_an_attempt_is_untouched_only_when_that_is_known(changes: dict[str, object], *, expected: bool) -> None:
    assert is_untouched(msgspec.structs.replace(RESULT, **changes)) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("exceeded retry limit, last status: 503 Service Unavailable", True),
        ("unexpected status 502 Bad Gateway: x", True),
        ("stream disconnected before completion: x", True),
        ("unexpected status 404 Not Found: x", False),
        ("the model said: stream disconnected before completion", False),
    ],
)
def test_only_codex_s_own_words_say_that_trouble_passes(message: str, *, expected: bool) -> None:
    problem = Problem("turn-failed", message)
    assert is_passing(msgspec.structs.replace(RESULT, problem=problem)) is expected
    assert not is_passing(msgspec.structs.replace(RESULT, problem=Problem("login", message)))


@pytest.mark.parametrize("how", ["kill", "cancel", "interrupt"])
def test_a_run_that_waits_to_try_again_is_ended_without_another_attempt(
    tmp_path: Path, private_home: dict[str, str], how: str
) -> None:
    """Four requests are one attempt; a fifth would be another one."""
    terminal = Terminal(tmp_path, private_home)
    with ModelServer(faults={number: Fault("500") for number in range(1, 20)}) as server:
        terminal.serve(server)
        process = terminal.start("run", script({"say": "never"}), "--json")
        runs = terminal.state / "runs"
        while not list(runs.glob("run_*/1/exit.json")):
            assert process.poll() is None
        if how == "kill":
            process.kill()
        elif how == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            [name] = [folder.name for folder in runs.iterdir()]
            assert terminal.type("runs", "cancel", name).code == 1, "it ended in another way: it had failed"
        out, _ = process.communicate()
        [line] = terminal.type("runs", "list", "--json").answer["runs"]
        assert (line["state"], line["error"], server.requests) == ("failed", "turn-failed", 4)
        if how != "kill":
            assert (process.returncode, json.loads(out)["problem"]["code"]) == (1, "turn-failed")
