"""What a thread is doing, held against real Codex: ended in every way, by itself and by others."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.install.hooks import Hooks
from armarius.rollouts.discovery import find_rollouts
from armarius.sessions.state import standing_of
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from armarius.thread import State
from support.codex_world import Client, CodexWorld, wait_for

HOUR = 3_600_000_000
RUNS = [{"sh": "touch began; exec sleep 600"}, {"say": "done"}]
OPEN = "--sandbox=danger-full-access"


@pytest.fixture
def world(tmp_path: Path, codex: Path) -> Iterator[CodexWorld]:
    with ModelServer() as server, CodexWorld(tmp_path, codex, server) as world:
        yield world


@pytest.mark.parametrize(
    ("sent", "state", "source", "confidence"),
    [
        (None, State.RUNNING, "rollout+lock", "high"),
        (signal.SIGKILL, State.CRASHED, "rollout+lock", "high"),
        (signal.SIGTERM, State.CRASHED, "rollout+lock", "high"),
        (signal.SIGINT, State.INTERRUPTED, "rollout", "high"),
    ],
    ids=["nothing", "SIGKILL", "SIGTERM", "SIGINT"],
)
def test_a_running_command_that_gets_a_signal(
    world: CodexWorld, sent: signal.Signals | None, state: State, source: str, confidence: str
) -> None:
    process = world.exec(RUNS, OPEN)
    world.until_made("began")
    if sent is not None:
        process.send_signal(sent)
        process.wait()
    found = world.standing()
    assert (found.state, found.source, found.confidence) == (state, source, confidence), found
    assert found.disagreements == ()
    if sent is None:
        seen = world.look().of(next(world.summaries()).thread_id, "")
        assert (seen.presence, seen.pid) == ("held", process.pid)


def test_a_codex_without_locks_is_known_by_the_file_it_has_open(world: CodexWorld) -> None:
    process = world.exec(RUNS, OPEN)
    world.until_made("began")
    for lock in (world.home / "thread-writer-locks").glob("0*.lock"):
        lock.unlink()  # as older versions have none
    found = world.standing()
    assert (found.state, found.source, found.confidence) == (State.RUNNING, "process", "medium")
    assert f"(process {process.pid})" in found.detail
    process.kill()
    process.wait()
    found = world.standing(later_us=HOUR)
    assert (found.state, found.source, found.confidence) == (State.CRASHED, "process", "medium")


@pytest.mark.parametrize(
    ("script", "state", "later"),
    [
        ([{"sh": "true"}, {"say": "done"}], State.COMPLETED, 0),
        ([{"sh": "true"}, {"fault": "500"}], State.FAILED, 0),
        ([{"fault": "usage-limit"}], State.RATE_LIMITED, 0),
        ([{"fault": "usage-limit"}], State.FAILED, 2 * HOUR),
    ],
    ids=["completed", "failed", "limited", "limit over"],
)
def test_a_turn_that_ended_by_itself(world: CodexWorld, script: list[dict[str, str]], state: State, later: int) -> None:
    world.exec(script).wait()
    found = world.standing(later_us=later)
    assert (found.state, found.source, found.confidence) == (state, "rollout", "high"), found
    assert found.disagreements == ()
    assert (found.retry_at_us is not None) == ("limit" in str(script))


def test_a_killed_thread_that_somebody_resumed_is_judged_by_its_new_turn(world: CodexWorld) -> None:
    process = world.exec(RUNS, OPEN)
    world.until_made("began")
    process.kill()
    process.wait()
    thread_id = next(world.summaries()).thread_id
    again = world.start("exec", "--skip-git-repo-check", "resume", thread_id, 'SCRIPT:[{"say":"back"}]')
    again.wait()
    assert world.standing().state is State.COMPLETED


def test_a_sub_agent_has_a_state_of_its_own(tmp_path: Path, codex: Path) -> None:
    spawn = {"name": "spawn_agent", "namespace": "collaboration", "arguments": {"task_name": "one", "message": "hi"}}
    # After the call parent and child ask the model, in any order, and neither gets an answer.
    faults = {2: Fault("silence"), 3: Fault("silence")}
    with ModelServer(faults=faults) as server, CodexWorld(tmp_path, codex, server) as world:
        process = world.exec([{"call": spawn}], "--config=features.multi_agent_v2=true")
        wait_for(lambda: server.requests == 3 and len(find_rollouts(world.home)) == 2, "request of both")
        for state in (State.RUNNING, State.CRASHED):
            look, now_us = world.look(), SystemClock().now_us()
            found = {
                one.source: standing_of(one, look.of(one.thread_id, one.path), now_us) for one in world.summaries()
            }
            assert {source: (one.state, one.source) for source, one in found.items()} == {
                "exec": (state, "rollout+lock"),
                "subagent": (state, "rollout+lock"),
            }
            process.kill()
            process.wait()


def test_a_message_that_waits_for_a_thread_makes_it_queued(world: CodexWorld) -> None:
    world.exec([{"say": "done"}]).wait()
    thread_id = next(world.summaries()).thread_id
    world.start("queue", "--thread", thread_id, "--message", "and now the tests").wait()
    found = world.standing()
    assert (found.state, found.source) == (State.QUEUED, "history_database"), found
    assert found.detail.startswith("1 queued")


def test_an_archived_thread_is_archived_until_it_is_taken_back(world: CodexWorld) -> None:
    world.exec([{"fault": "500"}]).wait()
    thread_id = next(world.summaries()).thread_id
    world.start("archive", thread_id).wait()
    found = world.standing()
    assert (found.state, found.source, found.disagreements) == (State.ARCHIVED, "folder", ())
    world.start("unarchive", thread_id).wait()
    assert world.standing().state is State.FAILED


def test_two_threads_of_one_home_are_told_apart(world: CodexWorld) -> None:
    world.exec([{"say": "done"}]).wait()
    world.exec(RUNS, OPEN)
    world.until_made("began")
    look, now_us = world.look(), SystemClock().now_us()
    states = [standing_of(one, look.of(one.thread_id, one.path), now_us).state for one in world.summaries()]
    assert states == [State.RUNNING, State.COMPLETED]


def test_a_hook_tells_of_an_approval_where_nobody_can_be_asked(world: CodexWorld) -> None:
    world.armarius_home.mkdir(mode=0o700)
    Hooks(world.home, world.armarius_home, world.environ, SystemClock()).install(str(world.codex))
    daemon = world.start_daemon()
    with Client(daemon) as client:
        started = client.call("thread/start", cwd=str(world.project), sandbox="read-only", approvalPolicy="on-request")
        client.turn(started["thread"]["id"], [{"sh": "touch asked", "ask": "May I?"}, {"say": "done"}])
        request = client.until("item/commandExecution/requestApproval")
        daemon.unlink()  # it lives on, as one that an editor started for itself
        wait_for(lambda: world.standing().source == "hook", "word of the hook")
        found = world.standing()
        assert (found.state, found.confidence, found.disagreements) == (State.WAITING_APPROVAL, "medium", ())
        client.answer(request, "decline")
        client.until("turn/completed")
        wait_for(lambda: world.standing().state is State.IDLE, "end of the turn")
