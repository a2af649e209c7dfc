"""A watch over real Codex: it is asked, interrupted and killed, and somebody else answers."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.codex_world import Client, CodexWorld

RUNS = [{"sh": "touch began; exec sleep 600"}, {"say": "done"}]
OPEN = "--sandbox=danger-full-access"


@pytest.fixture
def world(tmp_path: Path, codex: Path) -> Iterator[CodexWorld]:
    with ModelServer() as server, CodexWorld(tmp_path / "world", codex, server) as world:
        yield world


def test_an_approval_is_told_and_so_is_what_came_of_it(world: CodexWorld, watch: Any) -> None:
    daemon = world.start_daemon()
    with Client(daemon) as client:
        started = client.call("thread/start", cwd=str(world.project), sandbox="read-only", approvalPolicy="on-request")
        watching = watch("--all", "--codex-home", world.home, "--until", "turn_completed")
        client.turn(started["thread"]["id"], [{"sh": "touch asked", "ask": "May I?"}, {"say": "all done"}])
        request = client.until("item/commandExecution/requestApproval")
        told = watching.next()
        assert (told["kind"], told["source"], told["confidence"]) == ("waiting_approval", "app_server", "high")
        assert told["thread"] == started["thread"]["id"]
        assert "touch asked" in told["text"]
        client.answer(request, "decline")
        client.until("turn/completed")
        last = watching.rest()[-1]
    assert (last["kind"], last["text"]) == ("turn_completed", "all done")


@pytest.mark.parametrize(
    ("sent", "kind"), [(signal.SIGKILL, "crashed"), (signal.SIGTERM, "crashed"), (signal.SIGINT, "turn_interrupted")]
)
def test_a_codex_that_is_ended_from_outside(world: CodexWorld, watch: Any, sent: signal.Signals, kind: str) -> None:
    process = world.exec(RUNS, OPEN)
    world.until_made("began")
    thread_id = next(world.summaries()).thread_id
    watching = watch(thread_id, "--codex-home", world.home)
    process.send_signal(sent)
    assert [one["kind"] for one in watching.rest()] == [kind]


def test_a_limit_of_the_provider_is_told_with_its_end(world: CodexWorld, watch: Any) -> None:
    watching = watch("--all", "--codex-home", world.home, "--until", "rate_limited")
    world.exec([{"fault": "usage-limit"}]).wait()
    [told] = watching.rest()
    assert told["retry_at_us"] > told["at_us"]
