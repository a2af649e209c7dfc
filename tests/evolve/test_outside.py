"""Checks on what an agent left behind, on real Codex: its files, a command, and a model's opinion."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from armarius.budget import NO_BUDGET
from armarius.clock import SystemClock
from armarius.codex.binary import Binary, find
from armarius.codex.home import read_owner
from armarius.dispatch.runner import Runner
from armarius.errors import DataError
from armarius.evolve.bench import Allowance, Bench
from armarius.evolve.checks import CommandPasses, FileHolds, Rubric, WantedCommand, WantedFile, WantedQuality
from armarius.evolve.judge import Judge
from armarius.evolve.origin import Start
from armarius.evolve.outside import look_from
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.start import ThisMachine, lay_out
from armarius.evolve.tasks import Task
from armarius.files import private_folder
from armarius.store.ledger import open_ledger
from armarius.testing.conversation import Conversation
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Say, Shell
from support.terminal import Terminal

PATH = "/usr/bin:/bin"
NAMES = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


class Model:
    """Appends a line to a file where it is asked to work, and rates answers by whether they say so."""

    def __init__(self) -> None:
        self.ratings = list[str]()

    def __call__(self, conversation: Conversation) -> Reply:
        task = conversation.task
        if task.startswith("ARMARIUS RATING"):
            self.ratings.append(task)
            if "no opinion" in task:
                return Reply((Say("I would rather not"),))
            return Reply((Say(json.dumps({"reason": "it says so", "rating": 0.9 if "I appended" in task else 0.1})),))
        if conversation.calls:
            return Reply((Say("I appended a line."),))
        return Reply((Shell("echo second >> notes.txt"),))


class Workshop:
    """A repository, and replays of tasks that begin with it."""

    def __init__(self, terminal: Terminal, binary: Binary) -> None:
        self._terminal = terminal
        self._binary = binary
        self.skill = terminal.install(b"---\nname: writer\ndescription: Writes.\n---\n")
        self.repository = terminal.home / "repo"
        self.repository.mkdir()
        (self.repository / "notes.txt").write_text("first\n")
        self._git("init", "--quiet")
        self._git("add", ".")
        self._git("commit", "--quiet", "-m", "x")
        self.start = Start(str(self.repository), self._git("rev-parse", "HEAD"))
        (self.repository / "notes.txt").write_text("not committed\n")

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.repository,
            env=NAMES | {"PATH": PATH, "HOME": str(self._terminal.home)},
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def trials(self, tasks: Sequence[Task]) -> list[Trial]:
        lab = Lab(
            experiment="a test",
            folder=private_folder(self._terminal.state / "replays"),
            skill_folder=self.skill.parent,
            owner=read_owner(self._terminal.codex_home),
            search_path=PATH,
            codex_version=self._binary.version,
            environ={},
            deadline_s=60.0,
        )
        with closing(open_ledger(self._terminal.state / "ledger.sqlite", SystemClock())) as ledger:
            runner = Runner(ledger, SystemClock(), self._terminal.state / "runs", self._binary, {})
            allowance = Allowance(NO_BUDGET, "pot", SystemClock())
            bench = Bench(runner, 2, lambda _step, _done, _of: None, allowance)
            lab = msgspec.structs.replace(lab, look=look_from(bench, lab, self._binary))
            skill = self.skill.read_bytes()
            requests = [request_for(lab, task, skill, arm="test", replicate=1) for task in tasks]
            results = bench.all(requests, "test")
            return [trial_of(task, result, lab.look) for task, result in zip(tasks, results, strict=True)]


@pytest.fixture
def workshop(terminal: Terminal, codex_wheel: Path, tmp_path: Path) -> Workshop:
    return Workshop(terminal, find(setting=str(codex_wheel), search_path="", cache=tmp_path / "probes.json"))


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


def test_a_replay_begins_with_the_commit_and_is_judged_by_what_it_left(terminal: Terminal, workshop: Workshop) -> None:
    checks = (
        FileHolds(WantedFile("notes.txt", contains="first\nsecond\n")),
        CommandPasses(WantedCommand(("grep", "-c", "second", "notes.txt"))),
        Rubric(WantedQuality("says what it did")),
        FileHolds(WantedFile("other.txt")),
    )
    task = Task("a", "Append a line to notes.txt", Judge("rule", checks), start=workshop.start)
    unrated = Task("b", "Append a line, no opinion", Judge("rule", (*checks[:1], checks[2])), start=workshop.start)
    model = Model()
    with ModelServer(model) as server:
        terminal.serve(server)
        one, other = workshop.trials([task, unrated])
        asked = server.requests
        again, _ = workshop.trials([task, unrated])
        assert server.requests - asked <= 1, "neither the replay nor its rating is paid for twice"
    assert one.score
    assert [result.held for result in one.score.results] == [True, True, True, False]
    assert one.score.results[2].reason == "rated 0.90, at least 0.80: it says so"
    assert again.score == one.score
    assert (other.score, other.error) == (
        None,
        "unjudged: the rating failed: " + (other.error or "").partition("failed: ")[2],
    )
    assert (workshop.repository / "notes.txt").read_text() == "not committed\n"


def test_a_start_is_laid_out_whole_once_and_only_from_a_commit_that_is_there(
    workshop: Workshop, tmp_path: Path
) -> None:
    machine = ThisMachine(PATH, tmp_path)
    folder = workshop.start.repository
    assert machine.has_commit(folder, workshop.start.commit) == folder
    assert machine.has_commit(folder, "0" * 40) is None
    assert machine.has_commit(str(tmp_path / "gone"), workshop.start.commit) is None
    assert (machine.has_program("git"), machine.has_program("no-such-program")) == (True, False)
    project = private_folder(tmp_path / "laid")
    lay_out(workshop.start, project, tmp_path / "git", PATH, tmp_path)
    assert [(path.name, path.read_text()) for path in project.iterdir()] == [("notes.txt", "first\n")]
    (project / "notes.txt").write_text("changed by a replay")
    lay_out(workshop.start, project, tmp_path / "git", PATH, tmp_path)
    assert (project / "notes.txt").read_text() == "changed by a replay"
    with pytest.raises(DataError, match="has no commit"):
        lay_out(Start(folder, "0" * 40), private_folder(tmp_path / "other"), tmp_path / "git2", PATH, tmp_path)
