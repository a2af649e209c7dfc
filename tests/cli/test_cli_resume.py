"""`armarius resume`, `fork` and `review` on real Codex, as they are typed."""

import json
import os
import select
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.prefork import Forked
from support.terminal import Done, Terminal

Check = Callable[[Any], None]


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


def run(terminal: Terminal, *words: str, code: int = 0) -> dict[str, Any]:
    done = terminal.type(*words, "--json")
    assert done.code == code, done
    return done.answer


def refused(done: Done) -> tuple[int, str]:
    return done.code, done.error["code"]


@pytest.fixture(params=["wheel", "npm"])
def build(request: pytest.FixtureRequest, terminal: Terminal) -> Terminal:
    """A machine with each build of Codex in turn."""
    path: Path = request.getfixturevalue({"wheel": "codex_wheel", "npm": "codex_newest"}[request.param])
    terminal.environ["ARMARIUS_CODEX"] = str(path)
    return terminal


class Held:
    """A script that waits at a FIFO, and a run that was started with it."""

    def __init__(self, folder: Path) -> None:
        self.fifo = folder / "held"
        os.mkfifo(self.fifo)
        self._end = os.open(self.fifo, os.O_RDWR)

    def open(self) -> None:
        os.write(self._end, b"go")

    def close(self) -> None:
        self.open()
        os.close(self._end)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    made = Held(tmp_path)
    yield made
    made.close()


@contextmanager
def at_work(terminal: Terminal, held: Held, bell: Path) -> Generator[Forked]:
    """A run whose turn has begun, because its command rang the bell; its next answer waits for `held`."""
    os.mkfifo(bell)
    descriptor = os.open(bell, os.O_RDWR)
    process = terminal.start("run", script({"sh": f"echo > {bell}"}, {"wait": str(held.fifo)}, {"say": "late"}))
    try:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, "the turn never began"
        yield process
    finally:
        os.close(descriptor)
        process.terminate()
        process.communicate()


def test_a_turn_that_goes_on_has_what_the_run_had_and_not_what_codex_would_take(
    build: Terminal, model: ModelServer, check: Check
) -> None:
    terminal = build
    first = run(terminal, "run", "--model", "gpt-5.4", "--effort", "low", script({"say": "one"}))
    terminal.configure(
        model.base_url,
        sandbox_mode="workspace-write",
        projects={str(terminal.project): {"trust_level": "trusted"}},
    )
    elsewhere = terminal.project.parent / "elsewhere"
    elsewhere.mkdir()
    prompt = script({"sh": "pwd > made; pwd"}, {"say": "two"})
    done = terminal.type("resume", first["id"], prompt, "--json", folder=elsewhere)
    check(done.answer)
    second = done.answer
    assert (done.code, second["thread_id"], second["answer"]) == (0, first["thread_id"], "two")
    assert (second["sandbox_seen"], second["model"]) == ("read-only", "gpt-5.4")
    assert second["origin"] == {"type": "resume", "thread_id": first["thread_id"]}
    assert not list(terminal.project.parent.rglob("made"))
    told = model.records[-1].request()
    [output] = [item["output"] for item in told["input"] if item.get("type") == "function_call_output"]
    assert f"{terminal.project}\n" in output
    assert (told["model"], told["reasoning"]["effort"]) == ("gpt-5.4", "low")
    assert second["responses"] == 2, "the usage is this turn's alone"
    assert second["usage"]["output"] < first["usage"]["output"] + 100
    wider = run(terminal, "resume", second["id"], "--sandbox", "workspace-write", prompt)
    assert (wider["sandbox_seen"], wider["files_changed"]) == ("workspace-write", ["made"])


def test_a_session_of_somebody_else_goes_on_as_its_last_turn_was(
    build: Terminal, model: ModelServer, codex_wheel: Path
) -> None:
    terminal = build
    subprocess.run(
        [codex_wheel, "exec", "--json", "--sandbox=workspace-write", "--skip-git-repo-check", "-"],
        cwd=terminal.project,
        env=terminal.environ,
        input=script({"sh": "touch first"}, {"say": "one"}).encode(),
        check=True,
        capture_output=True,
    )
    thread_id = model.records[0].headers["thread-id"]
    answer = run(terminal, "resume", thread_id[:-4], script({"sh": "touch second"}, {"say": "two"}))
    assert (answer["thread_id"], answer["sandbox_seen"], answer["files_changed"]) == (
        thread_id,
        "workspace-write",
        ["second"],
    )
    last = run(terminal, "resume", "--last", "--sandbox", "read-only", script({"say": "three"}))
    assert (last["thread_id"], last["sandbox_seen"]) == (thread_id, "read-only")


@pytest.mark.usefixtures("model")
def test_the_last_session_is_that_of_this_folder_unless_all_are_meant(terminal: Terminal) -> None:
    here = run(terminal, "run", script({"say": "here"}))
    (elsewhere := terminal.project / "deep").mkdir()
    there = run(terminal, "run", "-C", str(elsewhere), script({"say": "there"}))
    assert run(terminal, "resume", "--last", script({"say": "x"}))["thread_id"] == here["thread_id"]
    run(terminal, "resume", there["id"], script({"say": "x"}))
    assert run(terminal, "resume", "--last", "--all", script({"say": "x"}))["thread_id"] == there["thread_id"]
    (empty := terminal.project / "empty").mkdir()
    done = terminal.type("resume", "--last", "hi", "--json", folder=empty)
    assert refused(done) == (3, "thread-none")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["resume", "no-such-session", "hi"], 3, "thread-unknown"),
        (["resume", "01900000-0000-7000-8000-000000000000", "hi"], 3, "thread-unknown"),
        (["resume", "run_none", "hi"], 3, "run-unknown"),
        (["resume", "hi"], 2, "prompt-empty"),
        (["resume"], 2, "resume-name"),
        (["resume", "--all", "x", "hi"], 2, "resume-all"),
        (["resume", "--last", "x", "hi"], 2, "resume-last"),
        (["fork", "no-such-session"], 3, "thread-unknown"),
        (["review"], 2, "prompt-empty"),
        (["review", "--uncommitted", "--base", "main"], 2, "review-target"),
        (["review", "--uncommitted", "and this"], 2, "review-target"),
        (["run", "--profile", "nope", "hi"], 3, "profile-missing"),
        (["run", "--config", "model_provider=x", "hi"], 5, "config-key"),
        (["run", "--add-dir", ".", "hi"], 2, "add-dir"),
        (["run", "--sandbox", "workspace-write", "--add-dir", "{codex_home}", "hi"], 5, "add-dir"),
        (["run", "--sandbox", "workspace-write", "--ephemeral", "hi"], 5, "ephemeral-writes"),
        (["run", "--sandbox", "workspace-write", "-C", "/var", "hi"], 5, "no-repository"),
        (["run", "--image", "none.png", "hi"], 3, "image-missing"),
        (["run", "-o", "no/folder", "hi"], 3, "output-folder"),
        (["run", "-o", ".", "hi"], 3, "output-kind"),
        (["run", "--events", "/dev/null", "hi"], 3, "output-kind"),
        (["run", "--events", "out", "-o", "../{project}/out", "hi"], 2, "output-same"),
        (["run", "-o", "{codex_home}/config.toml", "hi"], 5, "output-kept"),
        (["run", "--events", "{state}/ledger.sqlite", "hi"], 5, "output-kept"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_claimed(
    terminal: Terminal, model: ModelServer, words: list[str], code: int, problem: str
) -> None:
    places = {"codex_home": terminal.codex_home, "state": terminal.state, "project": terminal.project.name}
    done = terminal.type(*(word.format(**places) for word in words), "--json")
    assert refused(done) == (code, problem)
    assert (model.requests, terminal.type("runs", "list", "--json").answer["runs"]) == (0, [])


def test_a_session_at_work_is_left_alone_and_its_owner_named(
    terminal: Terminal, model: ModelServer, held: Held, tmp_path: Path
) -> None:
    with at_work(terminal, held, tmp_path / "bell"):
        thread_id = model.records[0].headers["thread-id"]
        [line] = terminal.type("runs", "list", "--json").answer["runs"]
        ours = terminal.type("resume", line["id"], "hi", "--json")
        assert refused(ours) == (5, "run-live")
        done = terminal.type("resume", thread_id, "hi", "--json")
        assert refused(done) == (5, "thread-live")
        assert "process " in done.error["message"]
        fork = run(terminal, "fork", thread_id, script({"say": "aside"}))
        assert (fork["answer"], fork["thread_id"] == thread_id) == ("aside", False)
        assert model.requests == 3
        held.open()


def test_a_fork_has_the_history_and_leaves_the_thread_as_it_was(build: Terminal, model: ModelServer) -> None:
    terminal = build
    first = run(terminal, "run", script({"say": "one"}))
    before = Path(first["rollout"]).read_bytes()
    bare = run(terminal, "fork", first["id"])
    assert (bare["state"], bare["answer"], bare["responses"]) == ("succeeded", None, 0)
    assert bare["thread_id"] != first["thread_id"]
    asked = run(terminal, "fork", first["id"], script({"say": "two"}))
    assert (asked["answer"], asked["responses"], asked["sandbox_seen"]) == ("two", 1, "read-only")
    assert '"one"' in json.dumps(model.records[-1].request()["input"])
    assert Path(first["rollout"]).read_bytes() == before
    on = run(terminal, "resume", bare["id"], script({"say": "three"}))
    assert (on["thread_id"], on["answer"]) == (bare["thread_id"], "three")


def test_a_review_reads_what_is_named_and_its_cost_is_counted(
    build: Terminal, model: ModelServer, check: Check
) -> None:
    terminal = build
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e", "-c", "init.defaultBranch=main"]
    (terminal.project / "a.txt").write_text("a\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=terminal.project, check=True, env=terminal.environ)
    done = terminal.type("review", "--uncommitted", "--json")
    check(done.answer)
    answer = done.answer
    assert (done.code, answer["role"], answer["sandbox_seen"], answer["model"]) == (
        0,
        "reviewer",
        "read-only",
        "gpt-5.5",
    )
    assert (answer["responses"], answer["usage"]["input"] > 0) == (1, True)
    own = run(terminal, "review", script({"sh": "touch made"}, {"say": "fine"}))
    assert (own["answer"], own["commands"], own["failed_commands"], own["responses"]) == ("fine", 1, 1, 2)
    assert not (terminal.project / "made").exists()
    assert run(terminal, "review", "--base", "main")["state"] == "succeeded"
    assert run(terminal, "review", "--commit", "HEAD")["state"] == "succeeded"
    asked = model.requests
    assert refused(terminal.type("review", "--base", "mian", "--json")) == (3, "ref-unknown")
    assert refused(terminal.type("review", "--commit", "--upload-pack=x", "--json")) == (3, "ref-unknown")
    assert model.requests == asked
