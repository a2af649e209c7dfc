"""`armarius runs logs|wait|cancel|retry` on real Codex."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.prefork import Forked
from support.terminal import Terminal

Check = Callable[[Any], None]


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


class Work:
    """A run that waits at a FIFO, and its id once Codex has said its first word."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        os.mkfifo(fifo := folder / "held")
        self._end = os.open(fifo, os.O_RDWR)
        events = folder / "events"
        prompt = script({"say": "early", "phase": "commentary"}, {"sh": "true"}, {"wait": str(fifo)}, {"say": "late"})
        self.process: Forked = terminal.start("run", prompt, "--events", str(events))
        while not (events.exists() and b"early" in events.read_bytes()):
            assert self.process.poll() is None
        [line] = terminal.type("runs", "list", "--json").answer["runs"]
        self.id: str = line["id"]

    def open(self) -> None:
        os.write(self._end, b"go")

    def close(self) -> None:
        self.open()
        self.process.communicate()
        os.close(self._end)


@pytest.fixture
def work(terminal: Terminal, model: ModelServer, tmp_path: Path) -> Iterator[Work]:
    assert model.requests == 0
    made = Work(terminal, tmp_path)
    yield made
    made.close()


def test_a_run_is_cancelled_from_elsewhere_and_nothing_of_it_lives(
    terminal: Terminal, work: Work, check: Check
) -> None:
    done = terminal.type("runs", "cancel", work.id, "--json")
    check(done.answer)
    assert (done.code, [run["state"] for run in done.answer["runs"]]) == (0, ["cancelled"])
    work.process.communicate()
    assert (work.process.returncode, terminal.living()) == (130, [])
    again = terminal.type("runs", "cancel", work.id, "--json")
    assert (again.code, again.error["code"]) == (1, "run-ended")
    assert terminal.type("runs", "wait", work.id).code == 1, "it did not succeed"


def test_waiting_ends_with_the_run_or_with_the_patience(terminal: Terminal, work: Work, check: Check) -> None:
    late = terminal.type("runs", "wait", work.id, "--timeout", "0.1", "--json")
    assert (late.code, late.error["code"]) == (6, "wait-timeout")
    assert work.id in late.error["message"]
    waiting = terminal.start("runs", "wait", work.id, "--json")
    work.open()
    answer = json.loads(waiting.communicate()[0])
    check(answer)
    assert (waiting.returncode, [run["state"] for run in answer["runs"]]) == (0, ["succeeded"])


def test_logs_are_followed_to_the_end_of_the_run(terminal: Terminal, work: Work, check: Check) -> None:
    early = terminal.type("runs", "logs", work.id).out
    assert ("early" in early, "late" in early) == (True, False)
    following = terminal.start("runs", "logs", "-f", work.id)
    work.open()
    out = following.communicate()[0].decode()
    assert (following.returncode, out.splitlines()[0], out.splitlines()[-1]) == (0, "early", "late")
    work.process.wait()
    raw = terminal.type("runs", "logs", "--events", work.id).out.splitlines()
    assert json.loads(raw[-1])["type"] == "turn.completed"
    rows = [json.loads(line) for line in terminal.type("runs", "logs", "--json", work.id).out.splitlines()]
    for row in rows:
        check(row)
    assert [row["event"] for row in rows] == [json.loads(line) for line in raw]
    assert [row["line"] for row in rows] == list(range(1, len(rows) + 1))
    record = terminal.type("runs", "show", work.id, "--json").answer
    stderr = Path(record["result"]["folder"]) / "stderr.log"
    stderr.write_bytes(b"said \x1b[31mred\xff\n")
    assert terminal.type("runs", "logs", "--stderr", work.id).out == "said \\x1b[31mred\ufffd\n"
    assert terminal.type("runs", "logs", "--stderr", "-f", work.id).code == 2


def test_a_run_is_retried_as_it_was_asked_and_not_when_it_is_done(terminal: Terminal, model: ModelServer) -> None:
    terminal.configure("http://127.0.0.1:9")
    failed = terminal.type("run", "--model", "gpt-5.4", script({"say": "ok"}), "--json").answer
    assert (failed["state"], model.requests) == ("failed", 0)
    terminal.serve(model)
    (elsewhere := terminal.project.parent / "elsewhere").mkdir()
    done = terminal.type("runs", "retry", failed["id"], "--json", folder=elsewhere)
    second = done.answer
    assert (done.code, second["state"], second["model"]) == (0, "succeeded", "gpt-5.4")
    assert second["id"] != failed["id"]
    assert second["thread_id"] != failed["thread_id"]
    assert model.records[-1].request()["model"] == "gpt-5.4"
    asked = model.requests
    refused = terminal.type("runs", "retry", second["id"], "--json")
    assert (refused.code, refused.error["code"], model.requests) == (5, "run-succeeded", asked)
    assert terminal.type("runs", "retry", second["id"], "--force").code == 0
    assert model.requests == asked + 1


def test_a_run_at_work_is_not_retried(terminal: Terminal, work: Work) -> None:
    done = terminal.type("runs", "retry", work.id, "--json")
    assert (done.code, done.error["code"]) == (5, "run-live")
