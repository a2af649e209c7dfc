"""What a person types while a run waits for them, and for a session that is open elsewhere."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from armarius.codex import protocol
from armarius.codex.app_server import Server
from armarius.codex.connection import Notification
from armarius.codex.protocol import TextInput, ThreadResume, TurnStart
from armarius.testing.model_server import ModelServer
from support.codex_world import wait_for
from support.prefork import Forked
from support.terminal import Done, Terminal

Check = Callable[[Any], None]

ASKING = ("--approval", "on-request", "--json")


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


TOUCH = {"sh": "touch made # \x1b[2J", "ask": "May I?"}


@contextlib.contextmanager
def running(terminal: Terminal, *words: str) -> Generator[tuple[Forked, dict[str, Any]]]:
    """A run in the foreground of another terminal that waits for a person, and its line in the list."""
    process = terminal.start("run", *words, *ASKING)
    try:
        wait_for(lambda: any(terminal.state.glob("runs/*/1/questions/*.json")), "question")
        [line] = listed(terminal)
        yield process, line
    finally:
        if process.poll() is None:
            terminal.type("runs", "cancel", listed(terminal)[0]["id"])
        process.communicate(timeout=60)


def listed(terminal: Terminal) -> list[dict[str, Any]]:
    return terminal.type("runs", "list", "--json").answer["runs"]


def refused(done: Done) -> tuple[int, str]:
    return done.code, done.error["code"]


def opened_by(pid: int) -> set[str]:
    found = set[str]()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return found


@pytest.fixture
def watch(terminal: Terminal) -> Iterator[Forked]:
    """A watch that ends when something waits for a person."""
    process = terminal.start("watch", "--all", "--until", "waiting_approval", "--json")
    wait_for(lambda: "anon_inode:inotify" in opened_by(process.pid), "watch")
    yield process
    process.kill()
    process.communicate()


def test_a_run_that_waits_is_seen_everywhere_and_goes_on_when_it_is_allowed(
    terminal: Terminal, model: ModelServer, check: Check, watch: Forked
) -> None:
    with running(terminal, script(TOUCH, {"say": "done"})) as (process, line):
        signals = [json.loads(text) for text in watch.communicate(timeout=60)[0].splitlines()]
        assert watch.returncode == 0
        [signal] = [one for one in signals if one["kind"] == "waiting_approval" and one["source"] == "ledger"]
        check(signal)
        assert (signal["subject"], "asks 1.1" in signal["text"]) == (line["id"], True)
        run_id, thread_id = line["id"], model.records[0].headers["thread-id"]
        assert (line["state"], line["waiting"]) == ("running", "approval")
        record = terminal.type("runs", "show", run_id, "--json").answer
        check(record)
        [question] = record["waiting"]
        assert (question["id"], question["reason"], question["cwd"]) == ("1.1", "May I?", str(terminal.project))
        told = terminal.type("runs", "show", run_id).out
        assert "waiting for approval 1.1: run" in told
        assert f"armarius runs approve {run_id} --id 1.1" in told
        assert "\x1b" not in told
        live = terminal.type("resume", run_id, "hi", "--json")
        assert refused(live) == (5, "run-live")
        assert f"runs steer {run_id}" in live.error["hint"]
        foreign = terminal.type("resume", thread_id, "hi", "--json")
        assert refused(foreign)[0] == 5
        assert not (terminal.project / "made").exists()
        done = terminal.type("runs", "approve", run_id, "--json")
        assert done.code == 0, done
        check(done.answer)
        assert (done.answer["said"], done.answer["question"]["id"]) == ("approved", "1.1")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        check(json.loads(out))
        assert b"waiting for approval 1.1" in err
        assert b"\x1b" not in err
    assert (terminal.project / "made").exists()
    assert refused(terminal.type("runs", "approve", run_id, "--json")) == (1, "run-ended")


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("run", "x", *ASKING, "--ephemeral"), 5, "approval-ephemeral"),
        (("run", "x", *ASKING, "--profile", "own"), 2, "approval-profile"),
        (("runs", "approve", "run_none", "--json"), 3, "ledger-missing"),
        (("resume", "none", "x", "--queue", "--model", "m", "--json"), 2, "queue-flags"),
        (("sessions", "make-visible", "none", "--json"), 2, "make-visible"),
        (("sessions", "make-visible", "none", "--yes", "--json"), 3, "thread-unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused(terminal: Terminal, words: tuple[str, ...], code: int, problem: str) -> None:
    (terminal.codex_home / "own.config.toml").write_text('model = "gpt-5.5"\n')
    assert refused(terminal.type(*words)) == (code, problem)


def test_rules_that_let_commands_out_forbid_a_run_that_may_ask(terminal: Terminal, model: ModelServer) -> None:
    folder = terminal.project / ".codex" / "rules"
    folder.mkdir(parents=True)
    (folder / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")')
    assert refused(terminal.type("run", "x", *ASKING)) == (5, "approval-rules")
    assert model.requests == 0


def test_a_run_of_codex_exec_hears_nothing_before_its_end(
    terminal: Terminal, model: ModelServer, tmp_path: Path
) -> None:
    bell = tmp_path / "bell"
    os.mkfifo(bell)
    end = os.open(bell, os.O_RDWR)
    process = terminal.start("run", script({"wait": str(bell)}, {"say": "done"}), "--json")
    try:
        wait_for(lambda: model.requests == 1, "run")
        run_id = listed(terminal)[0]["id"]
        assert refused(terminal.type("runs", "steer", run_id, "faster", "--json")) == (5, "not-steerable")
        assert refused(terminal.type("runs", "approve", run_id, "--json")) == (1, "nothing-waits")
    finally:
        os.write(end, b"go")
        os.close(end)
        process.communicate(timeout=60)


def test_words_for_a_session_that_is_open_elsewhere_are_queued_there(
    terminal: Terminal, model: ModelServer, check: Check, codex_newest: Path
) -> None:
    terminal.environ["ARMARIUS_CODEX"] = str(codex_newest)
    first = terminal.type("run", script({"say": "one"}), "--json").answer
    thread_id = first["thread_id"]
    assert refused(terminal.type("resume", thread_id, "x", "--queue", "--json")) == (5, "thread-idle")
    environ = {name: terminal.environ[name] for name in ("HOME", "CODEX_HOME", "PATH")}
    program = terminal.environ["ARMARIUS_CODEX"]
    with Server(program, environ=environ, cwd=terminal.project) as server:
        server.call(protocol.THREAD_RESUME, ThreadResume(thread_id, str(terminal.project), "read-only", "never"))
        done = terminal.type("resume", thread_id, "x", "--json")
        assert refused(done) == (5, "thread-live")
        assert f"process {server.pid} (" in done.error["message"]
        assert "an app-server" in done.error["message"]
        assert "--queue" in done.error["hint"]
        queued = terminal.type("resume", thread_id, script({"say": "from the queue"}), "--queue", "--json")
        assert queued.code == 0, queued
        check(queued.answer)
        assert queued.answer["holder"]["pid"] == server.pid
        server.call(protocol.TURN_START, TurnStart(thread_id, (TextInput(script({"say": "two"})),)))
        seen = list[str]()
        while "from the queue" not in seen:
            event = server.next(30)
            assert isinstance(event, Notification), seen
            if event.method == "item/completed" and event.params["item"]["type"] == "agentMessage":
                seen.append(event.params["item"]["text"])
    assert model.requests == 3


def test_a_codex_exec_that_has_a_session_open_takes_nothing_from_a_queue(
    terminal: Terminal, model: ModelServer, codex_wheel: Path, tmp_path: Path
) -> None:
    bell = tmp_path / "bell"
    os.mkfifo(bell)
    end = os.open(bell, os.O_RDWR)
    words = ["exec", "--skip-git-repo-check", script({"wait": str(bell)}, {"say": "done"})]
    with subprocess.Popen(
        [codex_wheel, *words],
        cwd=terminal.project,
        env=terminal.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as codex:
        wait_for(lambda: model.requests == 1, "question")
        thread_id = model.records[0].headers["thread-id"]
        done = terminal.type("resume", thread_id, "x", "--queue", "--json")
        assert refused(done) == (5, "queue-deaf")
        assert f"process {codex.pid} (" in done.error["message"]
        assert "codex exec" in done.error["message"]
        live = terminal.type("resume", thread_id, "x", "--json")
        assert refused(live) == (5, "thread-live")
        assert "--queue" not in live.error["hint"]
        os.write(end, b"go")
    os.close(end)


def test_a_thread_is_made_visible_and_hidden_again_as_it_is_typed(
    terminal: Terminal, model: ModelServer, check: Check
) -> None:
    del model
    thread_id = terminal.type("run", script({"say": "one"}), "--json").answer["thread_id"]
    [path] = (terminal.codex_home / "sessions").rglob("*.jsonl")
    before = path.read_bytes()
    done = terminal.type("sessions", "make-visible", thread_id, "--yes", "--json")
    assert done.code == 0, done
    check(done.answer)
    assert Path(done.answer["backup"]).is_relative_to(terminal.state)
    assert terminal.type("sessions", "make-visible", thread_id, "--undo").code == 0
    assert path.read_bytes() == before
    assert refused(terminal.type("sessions", "make-visible", thread_id, "--undo", "--json")) == (1, "not-made-visible")
