"""A world whose Codex has hooks: putting them in, running it, and what it then reports.

Owns the acts that several tests of the hooks share. Does not own what is right.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from armarius.clock import SystemClock
from armarius.codex.app_server import Server, environ_for
from armarius.codex.hooks import HookEvent, read_events
from armarius.install.hooks import Hooks
from support.run_world import TOOLS_PATH, World

__all__ = [
    "ambient",
    "events",
    "files",
    "hooks_in",
    "hooks_of",
    "install",
    "leaves",
    "names",
    "run_codex",
    "server_of",
    "start_codex",
    "write_hooks",
]


def hooks_of(world: World) -> Hooks:
    return Hooks(world.codex_home, world.state, ambient(world), SystemClock())


def ambient(world: World) -> dict[str, str]:
    return {"HOME": str(world.home), "PATH": TOOLS_PATH}


def install(world: World) -> None:
    assert hooks_of(world).install(world.binary.path).changed


def server_of(world: World) -> Server:
    return Server(world.binary.path, environ=environ_for(world.codex_home, ambient(world)), cwd=world.project)


def start_codex(world: World, prompt: str, *options: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [world.binary.path, "exec", "--json", "--skip-git-repo-check", "-C", str(world.project), *options, prompt],
        env=environ_for(world.codex_home, ambient(world)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def run_codex(world: World, prompt: str, *options: str) -> int:
    """Run it to its end; no event of it may complain about a hook."""
    with start_codex(world, prompt, *options) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
    assert "hook" not in said
    return process.returncode


def events(world: World) -> list[HookEvent]:
    read = read_events(world.state / "hooks" / "events.jsonl")
    assert read.skipped == 0
    return list(read.events)


def names(world: World) -> list[str]:
    return [event.event for event in events(world)]


def files(world: World) -> dict[str, tuple[bytes, int] | None]:
    paths = [world.codex_home / name for name in ("hooks.json", "config.toml")]
    return {path.name: (path.read_bytes(), path.stat().st_mode) if path.exists() else None for path in paths}


def write_hooks(world: World, **commands: str) -> Path:
    """A person's own hooks, spaced as a person does."""
    hooks = {event: [{"hooks": [{"type": "command", "command": command}]}] for event, command in commands.items()}
    file = world.codex_home / "hooks.json"
    file.write_text(json.dumps({"hooks": hooks}, indent=7) + "\n\n")
    return file


def leaves(world: World, name: str) -> str:
    """A hook's command that leaves a file."""
    return f"touch {world.folder}/{name}"


def hooks_in(world: World) -> dict[str, Any]:
    """The groups by event that stand in the file now."""
    return json.loads((world.codex_home / "hooks.json").read_text())["hooks"]
