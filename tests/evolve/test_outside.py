"""Checks on what an agent left behind, on real Codex: its files, a command, and a model's opinion."""

import json
import os
import shutil
import socket
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
from armarius.evolve.judge import Contains, Judge, ToolNotCalled, Unjudged
from armarius.evolve.origin import Start
from armarius.evolve.outside import Workspace, look_from
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.start import ThisMachine, begins_in, lay_out
from armarius.evolve.tasks import Task
from armarius.files import private_folder
from armarius.store.ledger import open_ledger
from armarius.testing.conversation import Conversation
from armarius.testing.faults import parse_fault
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Say, Shell
from support.terminal import Terminal

PATH = "/usr/bin:/bin"
NAMES = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


class Model:
    """Appends a line to a file where it is asked to work, and rates answers by whether they say so."""

    def __init__(self) -> None:
        self.ratings = list[str]()
        self.seen = list[Conversation]()

    def __call__(self, conversation: Conversation) -> Reply:
        task = conversation.task
        self.seen.append(conversation)
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
        self.start = self.commit()
        (self.repository / "notes.txt").write_text("not committed\n")

    def commit(self, files: dict[str, str] | None = None) -> Start:
        """A commit of what is there and of `files`."""
        for name, text in (files or {}).items():
            file = self.repository / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "-m", "x")
        return Start(str(self.repository), self._git("rev-parse", "HEAD"))

    def submodule(self, name: str) -> Start:
        """A commit with a repository in the repository, as git notes one."""
        self._git("update-index", "--add", "--cacheinfo", f"160000,{self.start.commit},{name}")
        self._git("commit", "--quiet", "-m", "x")
        return Start(str(self.repository), self._git("rev-parse", "HEAD"))

    def worktree(self, folder: Path) -> None:
        self._git("worktree", "add", "--quiet", "--detach", str(folder))

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


def test_a_replay_that_failed_on_its_way_begins_anew_with_the_files_of_its_start(
    terminal: Terminal, workshop: Workshop
) -> None:
    down = Down()
    check = FileHolds(WantedFile("notes.txt", contains="first\nsecond\n"))
    task = Task("a", "Append a line to notes.txt", Judge("rule", (check,)), start=workshop.start)
    with ModelServer(down) as server:
        terminal.serve(server)
        [failed] = workshop.trials([task])
        assert failed.score is None
        down.is_down = False
        [trial] = workshop.trials([task])
    assert trial.score
    assert trial.score.hard
    [notes] = (terminal.state / "replays").glob("*/project/notes.txt")
    assert notes.read_text() == "first\nsecond\n", "what the failed one did is gone"


class Down(Model):
    """Does the work, and falls silent before it can say so as long as it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = True

    def __call__(self, conversation: Conversation) -> Reply:
        reply = super().__call__(conversation)
        is_over = self.is_down and bool(conversation.calls)
        return msgspec.structs.replace(reply, fault=parse_fault("400")) if is_over else reply


def test_what_an_agent_makes_of_a_file_is_a_verdict_and_no_failure_of_ours(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "work")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "away").symlink_to("/etc/passwd")
    (folder / "nowhere").symlink_to("gone")
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("text")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(os.path.relpath(folder / "socket"))
    workspace = Workspace(folder, tmp_path / "check", Binary("", "", "", frozenset()), {})
    odd = ("folder", "loop", "away", "nowhere", "pipe", "socket", "x" * 300, "file/below")
    assert [workspace.file(WantedFile(name))[0] for name in odd] == [False] * len(odd)
    there = {name: not workspace.file(WantedFile(name, absent=True))[0] for name in (*odd, "file", "away/x")}
    assert there == {name: name in {*odd[:6], "file"} for name in there}


def test_a_program_that_an_agent_was_to_make_and_did_not_is_a_failed_check(tmp_path: Path, codex_wheel: Path) -> None:
    binary = find(setting=str(codex_wheel), search_path="", cache=tmp_path / "probes.json")
    folder = private_folder(tmp_path / "work")
    workspace = Workspace(folder, tmp_path / "check", binary, {"PATH": PATH})
    (folder / "plain").write_text("no program")
    for name in ("./made", "sub/made", "./plain", str(folder / "made")):
        held, reason = workspace.command(WantedCommand((name,)))
        assert (held, reason) == (False, f"{name!r} cannot be started")
    for name in ("no-such-program", "/no/such/program"):
        with pytest.raises(Unjudged, match="cannot start"):
            workspace.command(WantedCommand((name,)))


def test_a_start_is_laid_out_whole_once_and_only_from_a_commit_that_is_there(
    workshop: Workshop, tmp_path: Path
) -> None:
    machine = ThisMachine(PATH, tmp_path)
    folder = workshop.start.repository
    assert machine.start_of(folder, workshop.start.commit) == workshop.start
    assert machine.start_of(folder, "0" * 40) is None
    assert machine.start_of(str(tmp_path / "gone"), workshop.start.commit) is None
    assert (machine.has_program("git"), machine.has_program("no-such-program")) == (True, False)
    project = private_folder(tmp_path / "laid")
    lay_out(workshop.start, project, tmp_path / "git", PATH, tmp_path)
    assert [(path.name, path.read_text()) for path in project.iterdir()] == [("notes.txt", "first\n")]
    (project / "notes.txt").write_text("changed by a replay")
    lay_out(workshop.start, project, tmp_path / "git", PATH, tmp_path)
    assert (project / "notes.txt").read_text() == "changed by a replay"
    with pytest.raises(DataError, match="has no commit"):
        lay_out(Start(folder, "0" * 40), private_folder(tmp_path / "other"), tmp_path / "git2", PATH, tmp_path)


def test_a_replay_begins_where_the_session_did_and_sees_no_other_copy_of_the_skill(
    terminal: Terminal, workshop: Workshop, tmp_path: Path
) -> None:
    old = "---\nname: writer\ndescription: As it was.\n---\n"
    homes = (".agents", ".codex", "lib/.agents", "lib/.codex")
    files = {"lib/notes.txt": "a\n", "check/x": "", "tasks.json": '{"schema": "armarius.tasks.v1"}', "a.json": "{}"}
    workshop.commit({f"{home}/skills/writer/SKILL.md": old for home in homes} | files)
    (tmp_path / "linked").symlink_to(workshop.repository)
    begun = ThisMachine(PATH, tmp_path).start_of(str(tmp_path / "linked" / "lib"), workshop.commit({"y": ""}).commit)
    assert begun
    assert (begun.repository, begun.folder) == (str(workshop.repository), "lib")
    checks = (
        FileHolds(WantedFile("notes.txt", contains="a\nsecond\n")),
        CommandPasses(WantedCommand(("grep", "-c", "second", "notes.txt"))),
        CommandPasses(WantedCommand(("test", "-e", "../notes.txt"))),
    )
    model = Model()
    with ModelServer(model) as server:
        terminal.serve(server)
        [trial] = workshop.trials([Task("a", "Append a line to notes.txt", Judge("rule", checks), start=begun)])
    assert trial.score
    assert [result.held for result in trial.score.results] == [True, True, True]
    [check] = (terminal.state / "replays").glob("*/project/check")
    assert [path.name for path in check.iterdir()] == ["x"], "what judges writes beside the work and not into it"
    assert [path.name for path in check.parent.glob("*.json")] == ["a.json"]
    assert {entry.description for seen in model.seen for entry in seen.catalogue} == {"Writes."}


def test_a_tool_that_was_not_to_be_called_is_seen_also_where_a_command_hides_it(
    terminal: Terminal, workshop: Workshop
) -> None:
    def hides(conversation: Conversation) -> Reply:
        return Reply((Say("Done.") if conversation.calls else Shell("env search risks"),))

    task = Task("a", "Do it without a search", Judge("rule", (ToolNotCalled("search"),)))
    with ModelServer(hides) as server:
        terminal.serve(server)
        [trial] = workshop.trials([task])
    assert trial.score
    assert ([result.held for result in trial.score.results], trial.witnesses_disagree) == ([False], True)


def test_a_skill_that_is_a_whole_repository_brings_neither_its_store_nor_the_judges(
    terminal: Terminal, workshop: Workshop
) -> None:
    folder = workshop.skill.parent
    for name, text in {".git/config": "x", "assets/a.json": '{"a": 1}', "lib/run.sh": "ls"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "tasks.json").write_text('{"schema": "armarius.tasks.v1", "tasks": []}')
    (folder / "held.jsonl").write_text('{"task_id": "a", "judge": {"kind": "rule"}}')
    (folder / "away").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    with ModelServer() as server:
        terminal.serve(server)
        [trial] = workshop.trials([Task("a", "SAY[one]", Judge("rule", (Contains("one"),)))])
    assert trial.error is None
    [copy] = (terminal.state / "replays").glob("*/codex/skills/writer")
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if not path.is_dir()}
    assert found == {"SKILL.md", "assets/a.json", "lib/run.sh"}


def test_work_in_a_worktree_can_be_begun_again_when_the_worktree_is_gone(workshop: Workshop, tmp_path: Path) -> None:
    made = workshop.commit({"lib/notes.txt": "a\n"})
    workshop.worktree(tmp_path / "tree")
    start = ThisMachine(PATH, tmp_path).start_of(str(tmp_path / "tree" / "lib"), made.commit)
    shutil.rmtree(tmp_path / "tree")
    assert start
    assert start == msgspec.structs.replace(made, folder="lib")
    project = private_folder(tmp_path / "laid")
    lay_out(start, project, tmp_path / "git", PATH, tmp_path)
    assert (begins_in(start, project) / "notes.txt").read_text() == "a\n"


@pytest.mark.parametrize(
    ("files", "programs", "lacks"),
    [
        ({"tool": "x"}, {"pytest", "./tool"}, None),
        ({}, {".venv/bin/pytest"}, ".venv/bin/pytest"),
        ({".gitattributes": "*.bin filter=lfs diff=lfs\n"}, {"pytest"}, "Git LFS"),
        ({"package.json": '{"devDependencies":{"jest":"1"}}'}, {"npm"}, "packages that npm has installed"),
        ({"package.json": '{"scripts":{"test":"node --test"}}'}, {"npm"}, None),
        ({"package.json": '{"dependencies":{"a":"1"}}', "node_modules/a/x.js": ""}, {"npm"}, None),
        ({"package.json": "[broken"}, {"npm"}, "cannot be read"),
    ],
)
def test_what_no_commit_holds_is_said(
    workshop: Workshop, tmp_path: Path, files: dict[str, str], programs: set[str], lacks: str | None
) -> None:
    found = ThisMachine(PATH, tmp_path).lacks(workshop.commit(files), programs)
    assert (found is None, lacks or "") == (lacks is None, lacks if found and lacks and lacks in found else "")


def test_the_files_of_a_submodule_cannot_be_had_again(workshop: Workshop, tmp_path: Path) -> None:
    start = workshop.submodule("vendored")
    assert "submodules" in (ThisMachine(PATH, tmp_path).lacks(start, {"pytest"}) or "")


def test_a_start_behind_a_link_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    (workshop.repository / "away").symlink_to(tmp_path)
    start = msgspec.structs.replace(workshop.commit(), folder="away")
    project = private_folder(tmp_path / "laid")
    lay_out(start, project, tmp_path / "git", PATH, tmp_path)
    with pytest.raises(DataError, match="behind a link"):
        begins_in(start, project)
