"""The verbs for programs, as far as the command line does not show them."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.codex.command import Resume
from armarius.codex.process import Attempt
from armarius.dispatch.api import Dispatch, Options, open_dispatch
from armarius.errors import DataError, Refused, UsageError
from armarius.runs.records import latest_runs
from armarius.runs.request import RunResult
from armarius.sharing.wish import Sharing
from armarius.store.queries import Query
from armarius.thread import Sandbox
from support.run_world import Gate, World, script


@contextmanager
def dispatch_in(world: World) -> Generator[Dispatch]:
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "ARMARIUS_HOME": str(world.state)}
    environ |= {"ARMARIUS_CODEX": world.binary.path, "PATH": "/usr/bin:/bin"}
    with open_dispatch(world.project, environ) as dispatch:
        yield dispatch


def paid(world: World, dispatch: Dispatch, prompt: str) -> RunResult:
    options = Options(cwd=world.project)
    return dispatch.do(msgspec.structs.replace(dispatch.request(prompt, options), paid_key="unit"))


def test_a_paid_unit_is_tried_again_as_the_same_run_and_never_once_it_is_done(world: World) -> None:
    with dispatch_in(world) as dispatch:
        world.configure({"base_url": "http://127.0.0.1:9"})
        failed = paid(world, dispatch, script({"say": "ok"}))
        world.configure()
        again = dispatch.do(dispatch.retry_request(failed.id))
        assert (failed.state, again.state, again.id) == ("failed", "succeeded", failed.id)
        for force in (False, True):
            with pytest.raises(Refused) as refused:
                dispatch.retry_request(failed.id, force=force)
            assert refused.value.code == "run-paid"
    assert world.server.requests == 1


def test_a_run_that_was_started_is_cancelled_and_recorded(world: World, gate: Gate) -> None:
    with dispatch_in(world) as dispatch:
        request = dispatch.request(script({"wait": str(gate.fifo)}, {"say": "late"}), Options(cwd=world.project))
        live = dispatch.start(request)
        stream = live.stream()
        assert next(stream).event["type"] == "thread.started"
        gate.await_question()
        result = live.cancel()
        assert (result.state, result.stragglers, dispatch.find(live.id).state) == ("cancelled", 0, "cancelled")
        assert live.wait() is result
        assert {event.run for event in stream} == {live.id}


def _interrupt(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_of_the_caller_ends_the_run_and_is_in_the_result(world: World, gate: Gate) -> None:
    with dispatch_in(world) as dispatch:
        request = dispatch.request(script({"wait": str(gate.fifo)}, {"say": "late"}), Options(cwd=world.project))
        live = dispatch.start(request)
        gate.await_question()
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert live.wait().state == "cancelled"
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        assert dispatch.find(live.id).state == "cancelled"


@pytest.mark.parametrize(("profile", "model"), [("quick", "gpt-5.1"), ("calm", "gpt-5.4")])
def test_a_profile_that_is_named_for_a_further_turn_says_what_it_says_and_no_more(
    world: World, profile: str, model: str
) -> None:
    (world.codex_home / "quick.config.toml").write_text('model = "gpt-5.1"\n')
    (world.codex_home / "calm.config.toml").write_text('model_verbosity = "low"\n')
    with dispatch_in(world) as dispatch:
        first = dispatch.run(script({"say": "one"}), Options(cwd=world.project, model="gpt-5.4"))
        second = dispatch.resume(first.id, script({"say": "two"}), Options(profile=profile))
    assert (second.state, second.model, second.thread_id) == ("succeeded", model, first.thread_id)


def test_a_thread_and_a_run_that_one_name_could_mean_are_told_apart(world: World) -> None:
    with dispatch_in(world) as dispatch:
        first = dispatch.run(script({"say": "one"}), Options(cwd=world.project))
        assert first.thread_id is not None
        shared = first.thread_id[:4]
        assert first.id.startswith(f"run_{shared}"), "both ids begin with the time"
        with pytest.raises(DataError) as refused:
            dispatch.earlier(shared)
        assert refused.value.code == "name-ambiguous"
        for name in (f"run_{shared}", first.thread_id, str(first.rollout), f"codex://threads/{first.thread_id}"):
            assert dispatch.earlier(name).thread_id == first.thread_id
        with pytest.raises(DataError):
            dispatch.earlier("nobody")


def test_what_a_program_may_not_ask_for_is_refused_like_on_the_command_line(world: World) -> None:
    with dispatch_in(world) as dispatch:
        wrong: list[tuple[type[Exception], Options]] = [
            (Refused, Options(sandbox="danger-full-access")),
            (UsageError, Options(sandbox="none")),
            (Refused, Options(config={"sandbox_mode": "workspace-write"})),
            (Refused, Options(sandbox="workspace-write", cwd=world.folder)),
            (DataError, Options(cwd=Path("/nowhere"))),
            (UsageError, Options(timeout=0)),
        ]
        for error, options in wrong:
            with pytest.raises(error):
                dispatch.request("hi", options)
        with pytest.raises(UsageError):
            dispatch.request("hi", Options(ephemeral=True, cwd=world.project), origin=Resume("x"))
    assert world.server.requests == 0


@pytest.mark.parametrize("name", ["TMPDIR", "HOME", "ARMARIUS_ATTEMPT", "LD_PRELOAD", "A.B"])
def test_a_home_whose_variables_would_take_the_place_of_the_run_s_own_is_refused(world: World, name: str) -> None:
    with dispatch_in(world) as dispatch:
        (world.codex_home / ".env").write_text(f"# ours\n{name}=/\n")
        with pytest.raises(Refused, match=rf"\.env sets {name}, "):
            dispatch.request("hi", Options(cwd=world.project))
        (world.codex_home / ".env").write_text(f"#{name}=/\nX{name.replace('.', '')}=/\n")
        dispatch.request("hi", Options(cwd=world.project))


WRONG: list[dict[str, Any]] = [
    {"cwd": 3},
    {"sandbox": Sandbox.READ_ONLY},
    {"model": 5},
    {"model": "gpt\0"},
    {"model": "\ud800"},
    {"effort": "low\n"},
    {"images": "picture.png"},
    {"config": {"model_verbosity": {"a": 1}}},
    {"config": {"developer_instructions": "\udc80"}},
    {"schema": RunResult},
    {"schema": {"type": object()}},
    {"timeout": "5"},
    {"ephemeral": "no"},
    {"require": "true"},
    {"approval": "always"},
    {"sharing": Sharing(needs="gpu")},  # pyright: ignore[reportArgumentType]
]


def test_what_is_of_another_type_is_refused_and_never_written_to_the_ledger(world: World) -> None:
    with dispatch_in(world) as dispatch:
        for wrong in WRONG:
            said: dict[str, Any] = {"cwd": world.project} | wrong
            with pytest.raises((UsageError, DataError)) as refused:
                dispatch.run("hi", Options(**said))
            assert refused.value.hint
        for prompt in (None, b"hi", "\ud800"):
            with pytest.raises((UsageError, DataError)):
                dispatch.run(prompt, Options(cwd=world.project))  # pyright: ignore[reportArgumentType]
        assert latest_runs(dispatch.bench.ledger, most=9) == []
        place: Any = str(world.project)
        assert dispatch.request("hi", Options(cwd=place)).cwd == place
    assert world.server.requests == 0


def test_the_error_of_whoever_takes_the_events_ends_the_run_which_is_recorded(world: World, gate: Gate) -> None:
    def refuse(line: bytes) -> None:
        if b"turn.started" in line:
            raise ZeroDivisionError(line)

    with dispatch_in(world) as dispatch:
        with pytest.raises(ZeroDivisionError, match=r"turn\.started"):
            dispatch.run(script({"wait": str(gate.fifo)}, {"say": "late"}), Options(cwd=world.project), each=refuse)
        [run] = latest_runs(dispatch.bench.ledger, most=9)
        assert run.state == "cancelled"


def test_a_run_that_was_not_waited_for_is_recorded_while_the_process_that_started_it_lives(
    world: World, gate: Gate
) -> None:
    options = Options(cwd=world.project, sandbox="workspace-write", skip_git_check=True)
    with dispatch_in(world) as dispatch:
        live = dispatch.start(dispatch.request(script({"wait": str(gate.fifo)}, {"say": "done"}), options))
        for event in live.stream():
            assert event.event["type"] == "thread.started"
            break
    with dispatch_in(world) as other:
        assert other.find(live.id).state == "running"
    with pytest.raises(UsageError, match="closed"):
        live.wait()
    gate.open()
    with dispatch_in(world) as other:
        begun = other.find(live.id)
        other.bench.runner.begun(begun, 1, begun.asked).attempt.wait()
    with dispatch_in(world) as other:
        assert other.find(live.id).state == "succeeded"
        assert other.run(script({"say": "the tree is free"}), options).state == "succeeded"


def test_of_two_who_stream_a_run_each_event_reaches_one(world: World) -> None:
    with dispatch_in(world) as dispatch:
        live = dispatch.start(dispatch.request(script({"say": "so"}), Options(cwd=world.project)))
        live.wait()
        one, other = live.stream(), live.stream()
        seen = [next(one), next(other), next(one), *other, *one]
        assert [event.line for event in seen] == [1, 2, 3, 4]
        assert len({msgspec.json.encode(event.event) for event in seen}) == 4


def test_a_dispatch_is_refused_to_another_thread(world: World) -> None:
    refused = list[str]()

    def use() -> None:
        with pytest.raises(UsageError) as error:
            dispatch.run("hi", Options(cwd=world.project))
        refused.append(error.value.code)

    with dispatch_in(world) as dispatch:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert refused == ["dispatch-thread"]


SPOIL = Query("spoil", "Make a request unreadable.", "UPDATE run SET request = '{\"role\": 5}' WHERE id = :id")


def test_a_run_that_cannot_be_read_bars_the_ledger_to_nobody_else(world: World, gate: Gate) -> None:
    with dispatch_in(world) as dispatch:
        live = dispatch.start(dispatch.request(script({"wait": str(gate.fifo)}), Options(cwd=world.project)))
        dispatch.bench.ledger.execute(SPOIL, id=live.id)
    with dispatch_in(world) as dispatch:
        assert dispatch.run(script({"say": "fine"}), Options(cwd=world.project)).state == "succeeded"
        with pytest.raises(DataError) as told:
            _ = dispatch.find(live.id).asked
        assert (told.value.code, live.id in told.value.message) == ("run-unreadable", True)
        gate.open()
        Attempt(Path(dispatch.find(live.id).folder) / "1").wait()
