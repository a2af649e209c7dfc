"""`armarius goal` on real Codex: what is done, when it ends, and what a kill leaves."""

import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

Check = Callable[[Any], None]


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


def condition(terminal: Terminal, *steps: dict[str, Any]) -> str:
    """A command that succeeds once `done` is in the project, and else prints what the next turn is to play."""
    program = terminal.project.parent / "condition"
    says = shlex.quote(script(*steps))
    program.write_text(f"#!/bin/sh\necho checked >> {program}.log\ntest -e done && exit 0\necho {says}\nexit 3\n")
    program.chmod(0o755)
    return str(program)


def checks(terminal: Terminal) -> int:
    return len((terminal.project.parent / "condition.log").read_text().splitlines())


WRITES = ("--sandbox", "workspace-write", "--skip-git-check")


def test_turns_of_one_thread_follow_until_the_condition_really_holds(
    terminal: Terminal, model: ModelServer, check: Check
) -> None:
    until = condition(terminal, {"sh": "touch done"}, {"say": "now it is"})
    first = script({"say": "It is done!"})
    done = terminal.type("goal", first, "--done-when", until, "--max-turns", "5", *WRITES, "--json")
    assert done.code == 0, done.err
    check(done.answer)
    assert (done.answer["state"], len(done.answer["runs"]), done.answer["answer"]) == ("done", 2, "now it is")
    assert [one["exit_code"] for one in done.answer["checks"]] == [3, 3, 0]
    assert checks(terminal) == 3
    records = [terminal.type("runs", "show", run, "--json").answer for run in done.answer["runs"]]
    assert {record["run"]["thread_id"] for record in records} == {done.answer["thread_id"]}
    assert {record["run"]["role"] for record in records} == {"worker"}
    assert done.answer["used"]["requests"] == model.requests == 3


def test_a_condition_that_holds_already_starts_nothing(terminal: Terminal, model: ModelServer) -> None:
    done = terminal.type("goal", "anything", "--max-turns", "2", "--", "true")
    assert (done.code, done.out, model.requests) == (0, "the condition holds already; nothing was started\n", 0)
    assert "runs yet" in terminal.type("runs", "list").out


def test_a_claim_is_no_proof_and_turns_end(terminal: Terminal, model: ModelServer) -> None:
    until = condition(terminal, {"say": "Believe me."})
    done = terminal.type("goal", script({"say": "Done."}), "--done-when", until, "--max-turns", "2", "--json")
    assert (done.code, done.answer["state"], len(done.answer["runs"])) == (1, "max-turns", 2)
    assert (done.answer["problem"]["code"], model.requests) == ("goal-max-turns", 2)
    goal = done.answer["id"]
    again = terminal.type("goal", "--resume", goal, "--max-turns", "3", "--json")
    assert (again.code, again.answer["state"], len(again.answer["runs"]), model.requests) == (1, "max-turns", 3, 3)
    (terminal.project / "done").touch()
    last = terminal.type("goal", "--resume", goal[:30], "--json")
    assert (last.code, last.answer["state"], len(last.answer["runs"]), model.requests) == (0, "done", 3, 3)
    assert terminal.type("goal", "--resume", goal).code == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "state", "code"),
    [
        (("--budget", "requests=1"), "budget", "budget-requests"),
        (("--timeout", "4"), "deadline", None),
    ],
)
def test_budget_and_time_are_for_all_turns_together(
    terminal: Terminal, model: ModelServer, flags: tuple[str, ...], state: str, code: str | None
) -> None:
    until = condition(terminal, {"wait": 20}, {"say": "late"}) if state == "deadline" else condition(terminal)
    first = script({"say": "one"})
    done = terminal.type("goal", first, "--done-when", until, "--max-turns", "9", "--json", *flags)
    assert (done.code, done.answer["state"]) == (1, state), done.out
    assert code is None or done.answer["problem"]["code"] == code
    assert model.requests == (1 if state == "budget" else 2)


def test_a_kill_in_the_middle_loses_nothing_and_repeats_no_turn(
    terminal: Terminal, model: ModelServer, tmp_path: Path
) -> None:
    os.mkfifo(fifo := tmp_path / "held")
    end = os.open(fifo, os.O_RDWR)
    until = condition(terminal, {"wait": str(fifo)}, {"sh": "touch done"}, {"say": "two"})
    process = terminal.start("goal", script({"say": "one"}), "--done-when", until, "--max-turns", "3", *WRITES)
    while model.requests < 2:
        assert process.poll() is None
    process.kill()
    process.communicate()
    os.write(end, b"go")
    runs = terminal.type("runs", "list", "--json").answer["runs"]
    assert len(runs) == 2
    again = terminal.type("goal", "--resume", runs[0]["id"], "--json")
    os.close(end)
    assert (again.code, again.answer["state"], len(again.answer["runs"])) == (0, "done", 2), again.err
    assert model.requests == 3, "the first turn once, the second with its command once"


def test_an_interrupt_while_the_condition_is_asked_ends_that_and_the_turn_is_recorded(
    terminal: Terminal, model: ModelServer, tmp_path: Path
) -> None:
    os.mkfifo(fifo := tmp_path / "asked")
    program = tmp_path / "slow"
    program.write_text(
        f"#!/bin/sh\ntest -e {tmp_path}/first && echo x > {fifo} && sleep 60\ntouch {tmp_path}/first\nexit 1\n"
    )
    program.chmod(0o755)
    process = terminal.start("goal", script({"say": "one"}), "--done-when", str(program), "--max-turns", "3", "--json")
    with fifo.open() as asked:
        asked.read(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    answer = json.loads(out)
    assert (process.returncode, answer["state"], model.requests) == (130, "cancelled", 1)
    [run] = terminal.type("runs", "list", "--json").answer["runs"]
    assert (run["state"], run["id"]) == ("succeeded", answer["runs"][0])


WRONG = (
    (("do it", "--done-when", "true"), 2, "max-turns"),
    (("do it", "--done-when", "'", "--max-turns", "2"), 2, "done-when"),
    (("do it", "--done-when", "x", "--max-turns", "2", "--", "true"), 2, "done-when"),
    (("do it", "--done-when", "no-such-program", "--max-turns", "2"), 4, "program-start"),
    (("do it", "--resume", "goal_1"), 2, "goal-resume"),
    (("--resume", "goal_1"), 3, "goal-unknown"),
)


@pytest.mark.parametrize(("words", "code", "word"), WRONG)
def test_what_is_no_goal_is_said_before_anything_is_started(
    terminal: Terminal, model: ModelServer, words: tuple[str, ...], code: int, word: str
) -> None:
    done = terminal.type("goal", *words, "--json")
    assert (done.code, done.error["code"], model.requests) == (code, word, 0)
