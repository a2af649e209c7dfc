"""Checkouts, scopes and needs as they are typed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.checkout_world import GitWorld, git
from support.terminal import Done, Terminal

Check = Callable[[Any], None]
WRITES = ("--sandbox", "workspace-write")


def script(*steps: dict[str, Any] | str) -> str:
    return "SCRIPT:" + json.dumps([{"sh": step} if isinstance(step, str) else step for step in steps])


@pytest.fixture
def repo(terminal: Terminal) -> GitWorld:
    shutil.rmtree(terminal.project / ".git")
    terminal.project.rmdir()
    return GitWorld(terminal.project.parent, terminal.project).build()


def run(terminal: Terminal, *words: str) -> dict[str, Any]:
    done = terminal.type("run", "--json", *WRITES, *words)
    assert done.code == 0, done.err
    return done.answer


def codes(done: Done) -> tuple[int, str]:
    return done.code, done.error["code"]


@pytest.mark.usefixtures("model")
def test_the_work_of_a_run_is_merged_kept_as_a_branch_and_dropped(
    terminal: Terminal, repo: GitWorld, check: Check
) -> None:
    answer = run(terminal, "--checkout", "--scope", "*.txt", script("echo x > b.txt"))
    check(answer)
    name, ref = answer["id"], answer["work"]["ref"]
    assert ref == f"refs/armarius/runs/{name}"
    assert [change["path"] for change in answer["work"]["changes"]] == ["b.txt"]
    kept = terminal.type("runs", "keep", name, "--branch", "side", "--json").answer
    check(kept)
    assert (kept["action"], kept["branch"], kept["commit"]) == ("kept", "side", git(repo.top, "rev-parse", "side"))
    repo.write({"a.txt": "edited\n"})
    assert codes(terminal.type("runs", "merge", name, "--json")) == (5, "dirty")
    git(repo.top, "checkout", "-q", "a.txt")
    merged = terminal.type("runs", "merge", name, "--json").answer
    check(merged)
    assert (merged["merged"]["how"], (repo.top / "b.txt").read_text()) == ("fast-forward", "x\n")
    assert codes(terminal.type("runs", "merge", name, "--json")) == (5, "merged-already")
    dropped = terminal.type("runs", "drop", name)
    assert (dropped.code, dropped.out) == (0, f"{name} dropped: commit {kept['commit'][:12]}\n")
    assert "armarius" not in git(repo.top, "for-each-ref")
    assert codes(terminal.type("runs", "merge", name, "--json")) == (3, "run-work")


@pytest.mark.usefixtures("model")
def test_a_run_goes_on_with_its_own_work_in_a_new_checkout_and_inherits_no_right(
    terminal: Terminal, repo: GitWorld
) -> None:
    first = run(terminal, "--checkout", "--allow-commit", "--scope", "*.txt", script("echo one > b.txt"))
    words = ("resume", "--json", first["id"], script("cat b.txt > c.txt", "git add c.txt || echo no > d.txt"))
    done = terminal.type(*words)
    assert done.code == 0, done.err
    work = done.answer["work"]
    assert [change["path"] for change in work["changes"]] == ["c.txt", "d.txt"]
    assert git(repo.top, "log", "--format=%H", "-2", work["ref"]).split("\n")[1] == first["work"]["commit"]
    assert git(repo.top, "show", f"{work['ref']}:c.txt") == "one"


@pytest.mark.usefixtures("repo")
def test_a_run_says_what_it_waits_for_and_an_interrupt_leaves_nothing(terminal: Terminal, model: ModelServer) -> None:
    assert terminal.type("resources", "add", "lic").code == 0
    with terminal.start("resources", "lease", "lic", "--", "sh", "-c", "echo held; exec sleep 600") as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        at_once = terminal.type("run", "--json", "--needs", "lic", "--wait", "0", "do it")
        assert at_once.code == 6
        assert f"lic is leased to process {holder.pid}" in at_once.err
        with terminal.start("run", "--json", "--needs", "lic", script({"say": "late"})) as waiting:
            assert waiting.stderr
            assert waiting.stderr.readline().startswith(f"waiting: lic is leased to process {holder.pid}".encode())
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(60) == 130
        assert terminal.type("runs", "list", "--json").answer["runs"] == []
        with terminal.start("run", "--json", "--needs", "lic", script({"say": "now"})) as waiting:
            assert waiting.stderr
            assert waiting.stderr.readline().startswith(b"waiting: ")
            os.killpg(holder.pid, signal.SIGTERM)
            assert waiting.wait(60) == 0
            assert waiting.stdout
            assert json.loads(waiting.stdout.read())["answer"] == "now"
    assert model.requests == 1


def stranger(terminal: Terminal, codex: Path, *steps: dict[str, Any] | str) -> str:
    """A session that somebody had with their own Codex in the project; its id."""
    words = ["exec", "--json", "--skip-git-repo-check", script(*steps)]
    done = subprocess.run(
        [codex, *words],
        cwd=terminal.project,
        env=terminal.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[0])["thread_id"]


@pytest.mark.usefixtures("repo", "model")
def test_work_goes_from_somebodys_session_to_ours_when_it_is_over_and_was_reviewed(
    terminal: Terminal, codex_wheel: Path
) -> None:
    early = terminal.type("review", "--json", "--uncommitted")
    assert early.code == 0, early.err
    thread = stranger(terminal, codex_wheel, {"say": "theirs"})
    old = terminal.type("run", "--json", "--after", thread, "--reviewed", early.answer["id"], script({"say": "ours"}))
    assert codes(old) == (5, "review-old")
    late = terminal.type("review", "--json", "--uncommitted")
    done = terminal.type(
        *("run", "--json", *WRITES, "--after", thread, "--reviewed", late.answer["id"]),
        *("--scope", "src/**", script("echo x > src/new.py", {"say": "ours"})),
    )
    assert done.code == 0, done.err
    assert done.answer["answer"] == "ours"
    by_hand = terminal.type("run", "--json", "--after", thread, "--reviewed", "ana", script({"say": "again"}))
    assert by_hand.code == 0
    lone = terminal.type("run", "--json", "--after", thread, script({"say": "no"}))
    assert codes(lone) == (2, "after")


@pytest.mark.usefixtures("repo", "model")
def test_the_condition_of_a_goal_is_asked_while_its_turn_still_holds_the_tree(terminal: Terminal) -> None:
    program = terminal.project.parent / "condition"
    program.write_text(f"#!/bin/sh\n{sys.executable} -m armarius resources list | grep -q repo@\n")
    program.chmod(0o755)
    done = terminal.type("goal", script({"say": "ok"}), "--done-when", str(program), "--max-turns", "1", *WRITES)
    assert done.code == 0, done.err
    assert "done: the condition holds after 1 turn" in done.out
