"""`armarius run` on real Codex, as it is typed; and what `runs` and `sessions` say of it afterwards."""

import contextlib
import json
import os
import re
import select
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from armarius.codex.process import Attempt
from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.prefork import Forked
from support.terminal import Done, Terminal

PATIENCE_S = 60
SUMMARY = r"(?P<id>run_\S+) (?P<state>\w+) in \d+\.\d s · [\d,]+ tokens in \([\d,]+ cached\), [\d,]+ out · (?P<rest>.*)"
Check = Callable[[Any], None]


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


def summary(done: Done, line: int = 0) -> re.Match[str]:
    found = re.fullmatch(SUMMARY, done.err.splitlines()[line])
    assert found, done.err
    return found


@pytest.mark.usefixtures("model")
def test_the_answer_goes_to_standard_output_and_the_rest_to_standard_error(terminal: Terminal) -> None:
    done = terminal.type("run", script({"sh": "echo one"}, {"say": "Two lines,\nin UTF-8: café"}))
    assert (done.code, done.out, done.err.count("\n")) == (0, "Two lines,\nin UTF-8: café\n", 1)
    assert (summary(done)["state"], summary(done)["rest"]) == ("succeeded", "1 command")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["run", "-"], script({"say": "read"}).encode()),
        (["run", "--json", "-"], script({"say": "read"}).encode()),
        (["run", "--", "--help " + script({"say": "read"})], b""),
        (["run"], script({"say": "read"}).encode()),
        (["run", "-C", "deep", script({"say": "read"})], b"beside it"),
    ],
)
def test_a_prompt_comes_from_where_it_is_said_to_be(terminal: Terminal, words: list[str], stdin: bytes) -> None:
    (terminal.project / "deep").mkdir()
    done = terminal.type(*words, stdin=stdin)
    assert done.code == 0
    assert (done.answer["answer"] if "--json" in words else done.out.strip()) == "read"


@pytest.mark.parametrize(
    ("said", "code", "problem", "parsed"),
    [
        ('{"title": "Tides"}', 0, None, {"title": "Tides"}),
        ('{"title": 7}', 1, "answer-schema", {"title": 7}),
        ("Tides", 1, "answer-schema", None),
    ],
)
@pytest.mark.usefixtures("model")
def test_an_answer_is_held_against_the_schema(
    terminal: Terminal, *, check: Check, said: str, code: int, problem: str | None, parsed: Any
) -> None:
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    (terminal.project / "schema.json").write_text(json.dumps(schema))
    done = terminal.type("run", "--json", "--schema", "schema.json", script({"say": said}))
    check(done.answer)
    assert (done.code, done.err) == (code, "")
    assert (done.answer["answer"], done.answer["parsed"]) == (said, parsed)
    assert (done.answer["problem"] and done.answer["problem"]["code"]) == problem
    if code == 0:
        filled = terminal.type("run", "--schema", "schema.json", "Give a title.")
        assert json.loads(filled.out).keys() == {"title"}, "Codex handed the schema to the model"


@pytest.mark.usefixtures("model")
def test_a_run_writes_only_where_it_may_and_what_it_changed_is_seen_by_us(terminal: Terminal) -> None:
    prompt = script({"sh": "echo new > made.txt"}, {"say": "I made it."})
    forbidden, allowed = terminal.type("run", prompt), terminal.type("run", "--sandbox", "workspace-write", prompt)
    assert (forbidden.code, allowed.code, forbidden.out, allowed.out) == (0, 0, "I made it.\n", "I made it.\n")
    assert summary(forbidden)["rest"] == "1 command (1 failed)"
    assert summary(allowed)["rest"] == "1 command · changed made.txt"
    assert (terminal.project / "made.txt").read_text() == "new\n"


FAULTS = [
    ("400", 1, "turn-failed", "…scripted: bad request…", ""),
    ("401", 4, "login", "unexpected status 401 Unauthorized: …", "run `codex login`, or set the key …"),
    ("403", 4, "login", "unexpected status 403 Forbidden: …", "run `codex login`, or set the key …"),
    ("429", 1, "rate-limited", "exceeded retry limit, last status: 429 Too Many Requests…", "wait for the limit …"),
    ("usage-limit", 1, "rate-limited", "You…ve hit your usage limit…", "try again at 20…Z"),
    ("context", 1, "turn-failed", "Codex ran out of room in the model's context window…", ""),
    # These two are tried again, with growing pauses; test_provider_trouble.py shows it with short ones.
    pytest.param(*("500", 1, "turn-failed", "…", ""), id="500", marks=pytest.mark.long),
    pytest.param(
        *("cut", 1, "turn-failed", "stream disconnected before completion…", ""), id="cut", marks=pytest.mark.long
    ),
]


@pytest.mark.parametrize(("fault", "code", "problem", "message", "hint"), FAULTS)
@pytest.mark.usefixtures("model")
def test_a_failed_run_says_why_and_what_to_do(
    terminal: Terminal, *, check: Check, fault: str, code: int, problem: str, message: str, hint: str
) -> None:
    done = terminal.type("run", f"Say something. [[fault:{fault}]]")
    assert (done.code, done.out, done.err.count("\n"), summary(done)["state"]) == (code, "", 2, "failed")
    line = f"armarius: {message}; {hint}" if hint else f"armarius: {message}"
    shape = ".*".join(map(re.escape, line.split("…")))
    assert re.fullmatch(shape, done.err.splitlines()[1])
    record = terminal.type("runs", "show", summary(done)["id"], "--json").answer
    check(record)
    assert record["result"]["problem"]["code"] == record["run"]["error"] == problem
    again = ["attempt_failed", "run_retried", "run_claimed", "run_started"]
    between = again * 2 if fault in {"500", "cut"} else ["run_rate_limited"] if problem == "rate-limited" else []
    assert [event["kind"] for event in record["events"]] == ["run_claimed", "run_started", *between, "run_ended"]


@pytest.mark.usefixtures("model")
def test_a_silent_model_is_given_up_at_the_deadline_and_nothing_is_left_running(
    terminal: Terminal, check: Check
) -> None:
    done = terminal.type("run", "--timeout", "1", "Say something. [[fault:silence]]", "--json")
    check(done.answer)
    assert (done.code, done.err, done.answer["state"], done.answer["stragglers"]) == (1, "", "timed_out", 0)
    assert done.answer["problem"] | {"message": ""} == {
        "code": "deadline",
        "message": "",
        "hint": "raise --timeout",
        "exit_code": 1,
        "retry_at_us": None,
    }
    assert terminal.living() == []


class Doorbell:
    """The scripted model; it rings when it is asked for the first time."""

    def __init__(self) -> None:
        self._model = ScriptedModel()
        self._rung = threading.Event()

    def __call__(self, conversation: Conversation) -> Reply:
        self._rung.set()
        return self._model(conversation)

    def wait(self) -> None:
        assert self._rung.wait(PATIENCE_S)


@contextmanager
def asked(terminal: Terminal, *words: str) -> Generator[Forked]:
    """A command in its own session, once its Codex has asked the model; ended with the block."""
    bell = Doorbell()
    with ModelServer(bell) as server:
        terminal.serve(server)
        with terminal.start(*words) as process:
            try:
                bell.wait()
                yield process
            finally:
                process.kill()  # only when the test failed: it has ended else


def ended(process: Forked) -> Done:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("number", "times", "form"),
    [(signal.SIGINT, 1, []), (signal.SIGINT, 5, ["--json"]), (signal.SIGTERM, 1, ["--json"]), (signal.SIGTERM, 5, [])],
)
def test_ctrl_c_and_sigterm_end_codex_and_are_recorded_however_often_they_come(
    terminal: Terminal, check: Check, number: int, times: int, form: list[str]
) -> None:
    with asked(terminal, "run", "Say something. [[fault:silence]]", *form) as process:
        for _ in range(times):
            os.killpg(process.pid, number)
        done = ended(process)
    assert (done.code, terminal.living()) == (130, [])
    [run] = terminal.type("runs", "list", "--json").answer["runs"]
    assert (run["state"], run["error"], run["ended_at"] is None) == ("cancelled", "cancelled", False)
    if form:
        check(done.answer)
        assert (done.answer["id"], done.answer["state"]) == (run["id"], "cancelled")
    else:
        assert (done.out, summary(done)["id"]) == ("", run["id"])
        assert done.err.splitlines()[1:] == ["armarius: the run was cancelled"]
    [session] = terminal.type("sessions", "list", "--json").answer["sessions"]
    assert (session["id"], session["state"]) == (run["thread_id"], "interrupted")


def test_ctrl_c_that_is_held_down_to_the_very_end_changes_no_exit_code(terminal: Terminal) -> None:
    with asked(terminal, "run", "Say something. [[fault:silence]]") as process:
        while process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        done = ended(process)
    assert (done.code, done.err.splitlines()[1:]) == (130, ["armarius: the run was cancelled"])


def test_ctrl_c_ends_the_command_that_codex_is_running(terminal: Terminal, tmp_path: Path) -> None:
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    command = f"echo begun > {fifo}; sleep 1000"
    with asked(terminal, "run", script({"sh": command}, {"say": "never"})) as process:
        assert select.select([reader], [], [], PATIENCE_S)[0], "the command began"
        assert any("sleep 1000" in line for line in terminal.living())
        os.killpg(process.pid, signal.SIGINT)
        done = ended(process)
    os.close(reader)
    assert (done.code, done.out, terminal.living()) == (130, "", [])


def test_a_run_whose_armarius_was_killed_is_settled_by_the_next_one(terminal: Terminal) -> None:
    with asked(terminal, "run", "--timeout", "2", "Say something. [[fault:silence]]") as process:
        process.kill()
        ended(process)
        [orphan] = terminal.type("runs", "list", "--json").answer["runs"]
        Attempt(terminal.state / "runs" / orphan["id"] / "1").wait()  # its guard outlives us, and ends it
        assert terminal.type("run", script({"say": "next"})).out == "next\n"
    states = {run["id"]: run["state"] for run in terminal.type("runs", "list", "--json").answer["runs"]}
    assert (len(states), states[orphan["id"]]) == (2, "timed_out")
    assert terminal.living() == []


ESCAPES = "red \x1b[31m\x9b31m, bell \x07, over \r\x08, back \u202e, tab \t, end"
VISIBLE = r"red \x1b[31m\x9b31m, bell \x07, over \r\x08, back \u202e, tab " + "\t, end"


@pytest.mark.usefixtures("model")
def test_nothing_that_an_agent_says_steers_the_terminal(terminal: Terminal) -> None:
    (terminal.project / "\x1b[2J").touch()
    prompt = script({"sh": "printf '\\033[2J'; touch $'\\033]0;x'"}, {"say": ESCAPES})
    done = terminal.type("run", "--sandbox", "workspace-write", prompt)
    as_json = terminal.type("run", "--json", prompt)
    assert (done.out, as_json.answer["answer"]) == (VISIBLE + "\n", ESCAPES)
    session = as_json.answer["thread_id"]
    told = [done, as_json, *(terminal.type("runs", "show", as_json.answer["id"], *form) for form in ([], ["--json"]))]
    told += [terminal.type("sessions", "show", session, *form) for form in ([], ["--json"])]
    told += [terminal.type(what, "list", *form) for what in ("runs", "sessions") for form in ([], ["--json"])]
    told += [terminal.type("sessions", "show", "\x1b[31m"), terminal.type("\x1b[31m"), terminal.type("run", "--\x1b")]
    steering = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
    assert [steering.findall(one.out + one.err) for one in told] == [[]] * len(told)


@pytest.mark.usefixtures("model")
def test_runs_and_sessions_agree_with_what_the_run_said(terminal: Terminal, check: Check, model: ModelServer) -> None:
    done = terminal.type("run", "--json", script({"sh": "echo one"}, {"sh": "false"}, {"say": "Both ran."}))
    result = done.answer
    check(result)
    runs = terminal.type("runs", "list", "--json").answer
    record = terminal.type("runs", "show", result["id"], "--json").answer
    sessions = terminal.type("sessions", "list", "--json").answer
    shown = terminal.type("sessions", "show", result["thread_id"], "--json").answer
    for answer in (runs, record, sessions, shown):
        check(answer)
    assert [run["id"] for run in runs["runs"]] == [result["id"]]
    assert (record["run"], record["result"]) == (runs["runs"][0], result)
    [session] = sessions["sessions"]
    assert (sessions["total"], session["id"], session["state"]) == (1, shown["id"], shown["standing"]["state"])
    spent = [(usage.input, usage.cached_input, usage.output) for usage in model.usage.values()]
    total = {
        name: sum(part)
        for name, part in zip(("input", "cached_input", "output"), zip(*spent, strict=True), strict=True)
    }
    for usage in (result["usage"], session["usage"]):
        assert {name: usage[name] for name in total} == total
    assert (session["id"], session["path"], session["state"]) == (result["thread_id"], result["rollout"], "completed")
    assert (session["turns"], session["commands"], result["commands"], result["failed_commands"]) == (1, 2, 2, 1)

    text = terminal.type("sessions", "show", result["thread_id"][:13]).out
    assert (terminal.type("sessions", "show", result["rollout"]).out, "$ " in text, "[exit 1, " in text) == (
        text,
        True,
        True,
    )
    assert "Both ran." in text
    text = terminal.type("runs", "show", result["id"].removeprefix("run_")[:23]).out
    assert all(part in text for part in (result["id"], result["thread_id"], result["folder"], "Both ran.", "run_ended"))
    assert terminal.type("runs", "list", "--role", "replay").out == "No runs yet. Start one with `armarius run`.\n"


def test_output_that_nobody_reads_ends_quietly(terminal: Terminal) -> None:
    with terminal.start("schema", "run") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(PATIENCE_S)
    assert process.returncode == 1


def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(terminal: Terminal) -> None:
    done = terminal.type("sleep", "status", environ={"PYTHONIOENCODING": "latin-1"})
    assert (done.code, done.out) == (
        0,
        r"No night yet. Start one with `armarius sleep run --backend codex \u2026`." + "\n",
    )


@pytest.mark.parametrize(
    ("also_its_guard", "state", "error"), [(False, "running", None), (True, "crashed", "guard-lost")]
)
def test_runs_tells_what_became_of_a_run_whose_armarius_was_killed(
    terminal: Terminal, *, also_its_guard: bool, state: str, error: str | None
) -> None:
    with asked(terminal, "run", "Say something. [[fault:silence]]") as process:
        process.kill()
        process.wait()
        [folder] = terminal.state.glob("runs/*/1")
        guard = json.loads((folder / "guard.json").read_bytes())
        if also_its_guard:
            os.kill(guard["pid"], signal.SIGKILL)
        [run] = terminal.type("runs", "list", "--json").answer["runs"]
        assert (run["state"], run["error"]) == (state, error)
        attempt = Attempt(folder)
        assert attempt.cancel() is not also_its_guard
        attempt.wait()
        ended = terminal.type("runs", "show", run["id"], "--json").answer["run"]
        assert ended["state"] == ("crashed" if also_its_guard else "cancelled")
