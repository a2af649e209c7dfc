"""`--detach`, `worker` and `schedule` as somebody types them, on real Codex."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

Check = Callable[[Any], None]

SAY = 'SCRIPT:[{"say": "42"}]'


def speaking(run: str) -> tuple[tuple[str, ...], ...]:
    """What is said to a run that lives."""
    return (("steer", run, "X"), ("approve", run), ("deny", run), ("answer", run, "X"))


@pytest.fixture
def machine(terminal: Terminal, model: ModelServer) -> Iterator[Terminal]:
    """A machine whose worker in the background, if there is one, ends with the test."""
    assert model.requests == 0
    yield terminal
    for worker in workers(terminal):
        worker.terminate()
        worker.wait(30)


def workers(terminal: Terminal) -> list[psutil.Process]:
    log = terminal.state / "worker.log"
    lines = log.read_text().splitlines() if log.exists() else []
    pids = [json.loads(line)["pid"] for line in lines if line.startswith("{")]
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def test_a_detached_run_needs_nothing_started_and_one_worker_does_them_all(machine: Terminal, check: Check) -> None:
    done = machine.type("run", "--detach", SAY)
    assert (done.code, done.err) == (0, "")
    first = done.out.strip()
    second = machine.type("run", "--detach", "--json", SAY)
    check(second.answer)
    [line] = second.answer["runs"]
    ended = machine.type("runs", "wait", first, line["id"], "--json")
    check(ended.answer)
    assert (ended.code, [run["state"] for run in ended.answer["runs"]]) == (0, ["succeeded", "succeeded"])
    assert machine.type("runs", "show", first, "--json").answer["result"]["answer"] == "42"
    assert len(workers(machine)) == 1


def test_resume_fork_review_and_retry_are_detached_too(machine: Terminal) -> None:
    first = machine.type("run", "--detach", SAY).out.strip()
    assert machine.type("runs", "wait", first).code == 0
    words: list[list[str]] = [["resume", first, SAY], ["fork", first, SAY], ["review", SAY]]
    words.append(["runs", "retry", first, "--force"])
    for each in words:
        done = machine.type(*each, "--detach")
        assert (done.code, done.err) == (0, "")
        assert machine.type("runs", "wait", done.out.strip()).code == 0


def bring_a_key(machine: Terminal) -> None:
    """From now on the provider needs a variable."""
    config = machine.codex_home / "config.toml"
    config.write_text(config.read_text().replace("wire_api", 'env_key = "KEY_OF_PROVIDER"\nwire_api', 1))


@pytest.mark.long
def test_a_worker_without_the_key_that_a_run_needs_is_joined_by_one_that_has_it(machine: Terminal) -> None:
    plain = machine.type("run", "--detach", SAY).out.strip()
    assert machine.type("runs", "wait", plain).code == 0
    bring_a_key(machine)
    keyed = machine.type("run", "--detach", SAY, environ={"KEY_OF_PROVIDER": "secret-of-mine"}).out.strip()
    assert machine.type("runs", "wait", keyed).code == 0
    assert len(workers(machine)) == 2


def test_what_waits_is_listed_with_its_position_and_can_be_cancelled(machine: Terminal, check: Check) -> None:
    bring_a_key(machine)
    run = machine.type("run", "--detach", SAY, environ={"KEY_OF_PROVIDER": "secret-of-mine"}).out.strip()
    assert machine.type("runs", "wait", run).code == 0
    for path in machine.state.rglob("*"):
        assert path.is_dir() or b"secret-of-mine" not in path.read_bytes()
    [worker] = workers(machine)
    worker.send_signal(signal.SIGSTOP)
    ids = [machine.type("run", "--detach", SAY, environ={"KEY_OF_PROVIDER": "x"}).out.strip() for _ in range(2)]
    listed = machine.type("runs", "list", "--json")
    check(listed.answer)
    assert {row["id"]: row["position"] for row in listed.answer["runs"]} == {ids[0]: 1, ids[1]: 2, run: None}
    assert "queued (2)" in machine.type("runs", "list").out
    assert machine.type("runs", "logs", ids[0]).code == 3
    assert machine.type("runs", "cancel", ids[0], "--json").code == 0
    worker.send_signal(signal.SIGCONT)
    assert machine.type("runs", "wait", ids[1]).code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--any-host", SAY], "any-host"),
        (["run", "--detach", "--any-host", SAY], "any-host"),
        (["run", "--detach", "-o", "answer", SAY], "detach-files"),
        (["run", "--detach", "--events", "events", SAY], "detach-files"),
        (["schedule", "add", "0 3 * * *"], "schedule-command"),
        (["schedule", "add", "0 3 * * *", "--", "resume", "x"], "schedule-command"),
        (["schedule", "add", "0 3 * *", "--", "run", SAY], "cron"),
        (["schedule", "add", "0 3 * * *", "--zone", "Nowhere/Land", "--", "run", SAY], "zone-unknown"),
        (["schedule", "add", "0 3 * * *", "--", "run", "--detach", SAY], "schedule-flags"),
        (["schedule", "add", "0 3 * * *", "--", "run", "--packet", "p.json"], "schedule-flags"),
        (["schedule", "add", "0 3 * * *", "--", "run", "-"], "prompt-missing"),
        (["schedule", "add", "0 3 * * *", "--", "run", "--sandbox", "danger-full-access", SAY], "sandbox-danger"),
        (["schedule", "remove", "x"], "schedule-unknown"),
        (["worker", "--database", "mysql://here/db"], "ledger-address"),
        (["runs", "list", "--database", "host=127.0.0.1 password=x"], "ledger-address"),
        (["worker", "--database", "ledger.sqlite"], "ledger-address"),
        (["runs", "list", "--database", "postgresql://127.0.0.1:1/none"], "ledger-unreachable"),
    ],
)
def test_what_cannot_be_is_refused_with_a_word_and_leaves_nothing(
    machine: Terminal, words: list[str], code: str
) -> None:
    split = words.index("--") if "--" in words else len(words)
    done = machine.type(*words[:split], "--json", *words[split:])
    assert (done.error["code"], done.out) == (code, "")
    assert workers(machine) == []


def test_every_command_knows_a_run_that_waits_or_ended_as_it_waited(machine: Terminal, check: Check) -> None:
    port = socket.create_server(("127.0.0.1", 0))
    need = f"port:{port.getsockname()[1]}"
    with port:  # so it is not free
        run = machine.type("run", "--detach", "--needs", need, SAY).out.strip()
        said = [machine.type("runs", *words) for words in speaking(run)]
        assert {(done.code, "waits for a worker" in done.err) for done in said} == {(1, True)}
        assert machine.type("runs", "logs", run).code == 3
        assert machine.type("runs", "cancel", run).code == 0
    shown = machine.type("runs", "show", run, "--json")
    check(shown.answer)
    assert (shown.answer["run"]["state"], shown.answer["meter"]["used"]["tokens"]) == ("cancelled", 0)
    assert "cancelled before it was started" in machine.type("runs", "show", run).out
    for words in (("logs", run), ("logs", run, "--follow"), ("logs", run, "--stderr")):
        done = machine.type("runs", *words)
        assert (done.code, "never started" in done.err) == (3, True), done.err
    said = [machine.type("runs", *words) for words in (*speaking(run), ("cancel", run))]
    assert {(done.code, "is over: cancelled" in done.err) for done in said} == {(1, True)}


def test_a_project_never_names_the_server(machine: Terminal) -> None:
    (machine.project / ".armarius.toml").write_text('database = "postgresql://evil.example/db"\n')
    done = machine.type("run", "--detach", SAY, "--json")
    assert (done.code, done.error["code"]) == (5, "project-file")


def test_a_schedule_is_checked_kept_listed_and_removed(machine: Terminal, check: Check) -> None:
    added = machine.type("schedule", "add", "30 2 * * *", "--zone", "Europe/Berlin", "--json", "--", "run", SAY)
    check(added.answer)
    [line] = added.answer["schedules"]
    assert (line["cron"], line["zone"], line["prompt"], line["cwd"]) == (
        "30 2 * * *", "Europe/Berlin", SAY, os.fspath(machine.project),
    )  # fmt: skip
    times = machine.type("schedule", "show-next", line["id"], "--json")
    check(times.answer)
    assert times.answer["times"][0] == line["next"]
    assert line["id"] in machine.type("schedule", "list").out
    check(machine.type("schedule", "remove", line["id"], "--json").answer)
    assert machine.type("schedule", "list", "--json").answer["schedules"] == []
