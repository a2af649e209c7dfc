"""`armarius sleep` as it is typed: rehearse, run, look, adopt, roll back."""

import json
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.skills.document import END, START
from armarius.testing import benchmarks
from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.terminal import Terminal

SEED = benchmarks.load("seed-missing-structure")
TRAIN, HELD_OUT = SEED.training[:2], SEED.training[2:5]
ABOVE = SEED.skill.replace(b"\n", b"\r\n") + b"\r\nA note of mine,  spaced as I like.\r\n\r\n"
BLOCK = f"{START}\r\n## Learned rules\r\n\r\n- Be friendly.\r\n{END}\r\n".encode()
BELOW = b"\r\n## Mine again\r\nno newline at the end"
NIGHT = ("sleep", "run", "--tasks-file", "tasks.json", "--target-skill-path", ".agents/skills/writer", "--workers", "2")
Check = Callable[[Any], None]


@pytest.fixture
def skill(terminal: Terminal) -> Path:
    """A deficient skill with a learned block between texts of the user's, and tasks for it."""
    file = terminal.install(ABOVE + BLOCK + BELOW)
    file.chmod(0o640)
    terminal.write_tasks(TRAIN, HELD_OUT)
    return file


@pytest.mark.parametrize(
    ("held_out", "certifies", "verdict"),
    [
        (0, None, "0 held-out tasks cannot certify any candidate; add tasks"),
        (1, 3, "1 held-out tasks cannot certify tonight; at best after 3 nights, the evidence is kept"),
        (2, 2, "2 held-out tasks cannot certify tonight; at best after 2 nights, the evidence is kept"),
        (3, 1, "3 held-out tasks can certify a candidate tonight, if it wins clearly"),
        (6, 1, "6 held-out tasks can certify a candidate tonight, if it wins clearly"),
    ],
)
def test_a_rehearsal_starts_nothing_writes_nothing_and_tells_what_can_be_certified(
    terminal: Terminal, *, skill: Path, check: Check, held_out: int, certifies: int | None, verdict: str
) -> None:
    terminal.write_tasks(TRAIN, SEED.training[2 : 2 + held_out])
    terminal.configure("http://127.0.0.1:9/v1")
    before = terminal.files()
    # Without any codex: what is not there cannot be started.
    done = terminal.type(*NIGHT, environ={"ARMARIUS_CODEX": "/no/such"})
    as_json = terminal.type(*NIGHT, "--json", environ={"ARMARIUS_CODEX": "/no/such"})
    check(as_json.answer)
    assert (done.code, done.err, as_json.code, as_json.err) == (0, "", 0, "")
    least, most, each = (as_json.answer[name] for name in ("runs_least", "runs_most", "bytes_per_run"))
    assert done.out.splitlines() == [
        f"{skill}: 2 training tasks, {held_out} held out; nothing was run or sent",
        f"a night would make {least} to {most} runs of about {each:,} bytes each",
        verdict,
    ]
    assert (as_json.answer["certifies"], as_json.answer["verdict"]) == (certifies, verdict)
    assert most == 2 + 1 + 2 * 2 * held_out + 4 * min(held_out, 4), "four edits are told apart on four tasks"
    assert (terminal.files(), terminal.state.exists()) == (before, False)


def test_a_night_is_staged_adopted_and_rolled_back_to_the_byte(
    terminal: Terminal, model: ModelServer, skill: Path, check: Check
) -> None:
    base = skill.read_bytes()

    done = terminal.type(*NIGHT, "--backend", "codex")
    assert (done.code, done.out.splitlines()[0]) == (0, "night 1: staged (adopt, certified)")
    assert done.out.splitlines()[-1].endswith("make it live with `armarius sleep adopt`")
    assert "pairs 6/6\n" in done.err
    assert skill.read_bytes() == base, "nothing live is touched before adopt"

    spent = model.requests
    report = terminal.type(*NIGHT, "--backend", "codex", "--json")
    check(report.answer)
    assert (report.code, report.err, model.requests) == (0, "", spent), "what is staged is not paid for again"
    assert (report.answer["state"], report.answer["pairs_used"], report.answer["pairs_ignored"]) == ("staged", 6, 0)
    assert report.answer["responses"] == spent
    proposal = report.answer["proposal"]

    status = terminal.type("sleep", "status", "--json")
    check(status.answer)
    assert [night["report"] for night in status.answer["nights"]] == [report.answer]
    assert [(one["id"], one["state"]) for one in status.answer["proposals"]] == [(proposal, "staged")]
    assert proposal in terminal.type("sleep", "status").out

    refused(terminal, skill, "adopt")
    adopted = terminal.type("sleep", "adopt", "--json")
    check(adopted.answer)
    assert (adopted.code, adopted.answer["proposal"], adopted.answer["changed"]) == (0, proposal, True)
    live = skill.read_bytes()
    rules = live.removeprefix(ABOVE).removesuffix(BELOW)
    assert live == ABOVE + rules + BELOW
    assert rules.startswith(BLOCK.removesuffix(f"{END}\r\n".encode()))
    assert b"Key Risks" in rules
    assert b"Confidence" in rules
    assert rules.count(b"\n") == rules.count(b"\r\n"), "the block ends its lines as it did before"
    assert stat.S_IMODE(skill.stat().st_mode) == 0o640

    again = terminal.type("sleep", "adopt", proposal)
    assert (again.code, again.out.splitlines()[0]) == (0, f"adopted {proposal}: {skill} (it was already)")
    assert (terminal.type("sleep", "adopt").code, skill.read_bytes()) == (3, live)

    refused(terminal, skill, "rollback")
    back = terminal.type("sleep", "rollback", "--json")
    check(back.answer)
    assert (back.code, back.answer["changed"], skill.read_bytes()) == (0, True, base)
    assert stat.S_IMODE(skill.stat().st_mode) == 0o640
    again = terminal.type("sleep", "rollback", proposal[:24])
    assert (again.code, again.out.splitlines()[0]) == (0, f"rolled back {proposal}: {skill} (it was already)")
    assert model.requests == spent

    roles = [run["role"] for run in terminal.type("runs", "list", "--json", "--limit", "100").answer["runs"]]
    assert sorted(set(roles)) == ["reflection", "replay"]
    assert terminal.type("runs", "list", "--json", "--role", "reflection").answer["runs"][0]["state"] == "succeeded"
    assert terminal.living() == []


def refused(terminal: Terminal, skill: Path, command: str) -> None:
    """A command on the skill, edited meanwhile: it keeps its hands off, and the edit is undone again."""
    live = skill.read_bytes()
    skill.write_bytes(live + b" and more")
    done = terminal.type("sleep", command)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"armarius: {skill} changed since: it is sha256:")
    assert skill.read_bytes() == live + b" and more"
    skill.write_bytes(live)


class Doorbell:
    """The scripted model; it rings when it is asked for the `at`-th time."""

    def __init__(self, at: int) -> None:
        self._model = ScriptedModel()
        self._lock = threading.Lock()
        self._left = at
        self.rung = threading.Event()

    def __call__(self, conversation: Conversation) -> Reply:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.rung.set()
        return self._model(conversation)


def test_a_night_that_was_interrupted_leaves_nothing_running_and_ends_as_it_would_have(
    terminal: Terminal, skill: Path
) -> None:
    base = skill.read_bytes()
    bell = Doorbell(at=9)
    with ModelServer(bell) as server:
        terminal.serve(server)
        with terminal.start(*NIGHT, "--backend", "codex") as process:
            assert bell.rung.wait(60)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err.splitlines()[-1]) == (130, b"", b"armarius: interrupted")
        assert (terminal.living(), skill.read_bytes()) == ([], base)
        [night] = terminal.type("sleep", "status", "--json").answer["nights"]
        assert (night["state"], night["report"]) == ("open", None)
        report = terminal.type(*NIGHT, "--backend", "codex", "--json").answer
    assert report["id"] == night["id"]
    assert (report["state"], report["pairs_used"], report["pairs_ignored"]) == ("staged", 6, 0)


def test_an_unreachable_model_is_said_and_nothing_takes_its_place(
    terminal: Terminal, skill: Path, check: Check
) -> None:
    terminal.configure("http://127.0.0.1:9/v1")
    terminal.write_tasks(TRAIN, HELD_OUT[:1])
    before = skill.read_bytes()
    done = terminal.type(*NIGHT, "--backend", "codex", "--json")
    check(done.error)
    assert (done.code, done.out, done.error["code"]) == (4, "", "training-failed")
    assert done.error["message"].startswith("2 of 2 training replays have no score: failed: Connection failed")
    status = terminal.type("sleep", "status", "--json").answer
    assert ([night["state"] for night in status["nights"]], status["proposals"]) == (["open"], [])
    runs = terminal.type("runs", "list", "--json").answer["runs"]
    assert {(run["role"], run["state"]) for run in runs} == {("replay", "failed")}
    assert skill.read_bytes() == before
    with ModelServer() as server:
        terminal.serve(server)
        report = terminal.type(*NIGHT, "--backend", "codex", "--json").answer
    assert (report["number"], report["pairs_used"], report["decision"]) == (1, 2, "continue"), "once it is back"


@pytest.mark.usefixtures("skill")
def test_two_nights_on_one_skill_do_not_run_at_once(terminal: Terminal) -> None:
    bell = Doorbell(1)
    terminal.write_tasks(TRAIN, HELD_OUT, "silent.json")
    text = (terminal.project / "silent.json").read_text()
    (terminal.project / "silent.json").write_text(text.replace("Write a brief", "[[fault:silence]] Write a brief"))
    silent = [word.replace("tasks.json", "silent.json") for word in NIGHT]
    with ModelServer(bell) as server:
        terminal.serve(server)
        with terminal.start(*silent, "--backend", "codex") as process:
            assert bell.rung.wait(60)
            done = terminal.type(*NIGHT, "--backend", "codex")
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
    assert done.code == 4
    assert done.err.startswith(f"armarius: a night on this skill is already running (process {process.pid} on ")


def test_what_a_project_file_names_is_used_and_narrowed(terminal: Terminal, skill: Path) -> None:
    (terminal.project / ".armarius.toml").write_text(
        'skill = ".agents/skills/writer"\ntasks = "tasks.json"\nmax_tasks = 4\n'
    )
    answer = terminal.type("sleep", "run", "--json").answer
    assert (answer["target"], answer["train_tasks"], answer["held_out_tasks"]) == (str(skill), 2, 2)
    assert terminal.type("sleep", "run", "--json", "--max-tasks", "3").answer["held_out_tasks"] == 1
    done = terminal.type("sleep", "run", "--max-tasks", "5")
    assert (done.code, done.err) == (2, "armarius: --max-tasks 5 is over the limit of 4\n")


def test_a_skill_elsewhere_needs_its_root_named(terminal: Terminal, skill: Path) -> None:
    outside = terminal.project.parent / "shelf" / "writer"
    outside.mkdir(parents=True)
    (outside / "SKILL.md").write_bytes(skill.read_bytes())
    words = ["sleep", "run", "--json", "--tasks-file", "tasks.json", "--target-skill-path", str(outside)]
    assert terminal.type(*words).code == 5
    done = terminal.type(*words, "--skill-root", str(outside.parent))
    assert (done.code, json.loads(done.out)["target"]) == (0, str(outside / "SKILL.md"))
