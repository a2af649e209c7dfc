"""The verbs for programs, as far as the command line does not show them."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from armarius.codex.command import Resume
from armarius.dispatch.api import Dispatch, Options, open_dispatch
from armarius.errors import DataError, Refused, UsageError
from armarius.runs.request import RunResult
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
