"""Installing or uninstalling hooks, killed at any point: none of them run or all do, and either mends it."""

import json
import shutil
import signal
import subprocess
import sys
import tomllib

import pytest

from armarius.codex.hooks import EVENTS
from support.hook_world import (
    ambient,
    files,
    hooks_in,
    hooks_of,
    install,
    write_hooks,
)
from support.run_world import World

_CHILD = """
import json, os, signal, sys
from pathlib import Path
from armarius.clock import SystemClock
from armarius.install.hooks import Hooks
action, left, codex_home, state, ambient, binary = json.loads(sys.argv[1])
hooks = Hooks(Path(codex_home), Path(state), ambient, SystemClock())

def watch(event, arguments):
    # Each of these is a moment at which a power cut would leave the disk in another state.
    global left
    if event in ("os.rename", "os.remove", "os.chmod", "subprocess.Popen") or arguments[:1] == (codex_home,):
        path = os.path.abspath(str(arguments[0]))
        if (path.startswith((codex_home, state)) and "scratch-" not in path) or event == "subprocess.Popen":
            left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
hooks.install(binary) if action == "install" else hooks.uninstall()
"""


def killed_at(world: World, action: str, moment: int) -> bool:
    """Do it in another process that dies at that moment; False when it ended before."""
    order = [action, moment, str(world.codex_home), str(world.state), ambient(world), world.binary.path]
    command = [sys.executable, "-c", _CHILD, json.dumps(order)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def hooks_that_run(world: World) -> int:
    """How many of ours Codex would run now: they stand in the file and are trusted."""
    path = world.codex_home / "hooks.json"
    ours = [str(group) for groups in hooks_in(world).values() for group in groups if "report.py" in str(group)]
    config = tomllib.loads((world.codex_home / "config.toml").read_text())
    trust = config.get("hooks", {}).get("state", {})
    count = sum(key.startswith(str(path)) for key in trust)
    # Hooks without trust would be put before a person by the next Codex on a terminal.
    assert len(ours) <= count
    return len(ours)


class Snapshot:
    """Everything that installing touches, to start from again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._files = files(world)
        self._copy = world.folder / "snapshot"
        self._state = world.state / "hooks"
        shutil.rmtree(self._copy, ignore_errors=True)
        if self._state.exists():
            shutil.copytree(self._state, self._copy)

    def restore(self) -> None:
        for name, file in self._files.items():
            path = self._world.codex_home / name
            path.unlink(missing_ok=True)
            if file is not None:
                path.write_bytes(file[0])
                path.chmod(file[1])
        shutil.rmtree(self._state, ignore_errors=True)
        if self._copy.exists():
            shutil.copytree(self._copy, self._state)


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_killed_at_any_point_it_is_none_or_all_and_is_mended(world: World, action: str) -> None:
    write_hooks(world, Stop="true", PreToolUse="true")
    before = files(world)
    if action == "uninstall":
        install(world)
    killed, moment = True, 0
    while killed:
        killed = killed_at(world, action, moment)
        assert hooks_that_run(world) in (0, len(EVENTS))
        left = Snapshot(world)
        hooks_of(world).uninstall()
        assert files(world) == before
        left.restore()
        hooks_of(world).install(world.binary.path)
        assert hooks_that_run(world) == len(EVENTS)
        if action == "install":
            hooks_of(world).uninstall()
            assert files(world) == before
        moment += 1
    assert moment > 8
