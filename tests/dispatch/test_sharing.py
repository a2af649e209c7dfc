"""What a wish may say about trees, scopes, needs, and about following somebody's session."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from armarius.dispatch.api import Dispatch, Options, open_dispatch
from armarius.errors import ArmariusError, Refused
from armarius.sharing.wish import Sharing
from support.checkout_world import GitWorld
from support.run_world import Gate, World, script

WRITES = "workspace-write"


@pytest.fixture
def repo(world: World) -> GitWorld:
    world.project.rmdir()
    return GitWorld(world.folder, world.project).build()


@contextmanager
def dispatch_in(world: World) -> Generator[Dispatch]:
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "ARMARIUS_HOME": str(world.state)}
    environ |= {"ARMARIUS_CODEX": world.binary.path, "PATH": "/usr/bin:/bin"}
    with open_dispatch(world.project, environ) as dispatch:
        yield dispatch


@pytest.mark.usefixtures("repo")
def test_what_cannot_be_had_is_refused_before_anything_is_claimed(world: World) -> None:
    table: list[tuple[str, dict[str, Any], int, str]] = [
        ("read-only", {"checkout": True}, 2, "read-only"),
        ("read-only", {"scope": ("src/**",)}, 2, "read-only"),
        ("read-only", {"allow_commit": True}, 2, "read-only"),
        (WRITES, {"allow_commit": True}, 5, "allow-commit"),
        (WRITES, {"base": "main"}, 2, "checkout"),
        (WRITES, {"with_uncommitted": True}, 2, "checkout"),
        (WRITES, {"checkout": True, "base": "nowhere"}, 3, "base"),
        (WRITES, {"checkout": True, "base": "--upload-pack=x"}, 3, "base"),
        (WRITES, {"scope": ("../up",)}, 3, "scope"),
        (WRITES, {"scope": ("/etc/**",)}, 3, "scope"),
        ("read-only", {"needs": ("gpu:none",)}, 2, "need"),
        ("read-only", {"needs": ("lic",)}, 3, "resource-unknown"),
        ("read-only", {"after": "019a"}, 2, "after"),
        ("read-only", {"reviewed": "ana"}, 2, "after"),
        ("read-only", {"after": "019a", "reviewed": "ana"}, 3, "thread-unknown"),
    ]
    with dispatch_in(world) as dispatch:
        for sandbox, said, code, error in table:
            options = Options(cwd=world.project, sandbox=sandbox, sharing=Sharing(**said))
            with pytest.raises(ArmariusError) as refused:
                dispatch.request("do it", options)
            assert (refused.value.exit_code, refused.value.code) == (code, error), said
        outside = Options(cwd=world.home, sandbox=WRITES, skip_git_check=True, sharing=Sharing(checkout=True))
        with pytest.raises(ArmariusError) as refused:
            dispatch.request("do it", outside)
        assert (refused.value.exit_code, refused.value.code) == (3, "repository")
    assert world.server.requests == 0


def test_a_session_whose_turn_is_open_cannot_have_been_reviewed(world: World, repo: GitWorld, gate: Gate) -> None:
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "PATH": os.environ["PATH"]}
    words = ["exec", "--skip-git-repo-check", script({"wait": str(gate.fifo)}, {"say": "theirs"})]
    place = Options(cwd=world.project)
    with subprocess.Popen(
        [world.binary.path, *words],
        cwd=repo.top,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        gate.await_question()
        [rollout] = world.codex_home.rglob("rollout-*.jsonl")
        thread = rollout.stem[-36:]
        sharing = Sharing(after=thread, reviewed="ana")
        with dispatch_in(world) as dispatch:
            with pytest.raises(Refused, match=f"process {process.pid}") as live:
                dispatch.request("go on", Options(cwd=place.cwd, sharing=sharing))
            assert live.value.code == "after-live"
            gate.open()
            process.wait(60)
            request = dispatch.request("go on", Options(cwd=place.cwd, sharing=sharing))
    assert (request.after, request.reviewed, request.after_home) == (thread, "ana", str(world.codex_home))
    assert Path(request.cwd) == repo.top
