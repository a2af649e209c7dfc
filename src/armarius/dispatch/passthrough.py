"""The user's own codex command line, with the login and the environment of a lane.

Owns the gate before it, the terminal for it, and two events about it in the ledger. Does not own what codex
does then: no run is recorded.
Invariant: it is billed to whom the lane says, or not started; its exit code is handed on.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from armarius.clock import SystemClock
from armarius.codex.app_server import environ_for
from armarius.codex.binary import find
from armarius.codex.login import refresh_login
from armarius.codex.passthrough import Given, read_words
from armarius.dispatch.workbench import keys_of, ledger_of
from armarius.errors import DataError, UsageError
from armarius.files import private_folder
from armarius.foreground import run_foreground
from armarius.identity import new_id
from armarius.lanes.lanes import Lanes
from armarius.settings import Settings
from armarius.store.ledger import append_event

__all__ = ["pass_through"]

_AHEAD_US = 600_000_000
_DAEMON_SINCE = (0, 163)


def pass_through(settings: Settings, lane: str | None, words: Sequence[str]) -> int:
    """Run `codex …` (`words`, the first of which is `codex`) in a lane; its exit code."""
    if not words or words[0] != "codex":
        raise UsageError("exec-words", "the words after `--` are a command line of codex", "write `-- codex …`")
    given = read_words(words[1:])
    lanes = Lanes(settings)
    name = lane or lanes.default()
    found, home = lanes.find(name), lanes.home(name)
    cache = private_folder(settings.home) / "probes.json"
    binary = find(setting=settings.codex, search_path=settings.search_path, cache=cache)
    program = Path(binary.path)
    kind = found.kind if found else None
    _, keys = keys_of(
        settings,
        home,
        kind=kind,
        program=program,
        cwd=_folder(given),
        profile=given.profile,
        overrides=given.overrides,
    )
    clock = SystemClock()
    environ = environ_for(home, settings.environ, **keys)
    if kind == "chatgpt":
        refresh_login(program, home, environ, settings.locks, clock.now_us() + _AHEAD_US)
    argv = [binary.path, *_without_daemon(given, binary.version), *words[1:]]
    subject = new_id("exec", clock)
    with ledger_of(settings) as ledger:
        told = {"lane": name, "home": str(home), "codex": binary.version, "subcommand": given.subcommand}
        append_event(ledger, at_us=clock.now_us(), subject=subject, kind="exec_started", body=told)
    code = run_foreground(argv, environ=environ, check=lambda: None)
    with ledger_of(settings) as ledger:
        body = {"lane": name, "exit_code": code}
        append_event(ledger, at_us=clock.now_us(), subject=subject, kind="exec_ended", body=body)
    return code


def _without_daemon(given: Given, version: str) -> list[str]:
    """A daemon that somebody else started has an environment of its own, keys and all: the terminal does without."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return ["--no-daemon"] if given.is_interactive and numbers >= _DAEMON_SINCE else []


def _folder(given: Given) -> Path:
    here = Path(os.getcwd())  # noqa: PTH109  # keeps the name of a link
    folder = here if given.folder is None else here / given.folder
    if not folder.is_dir():
        raise DataError("folder-missing", f"no folder at {folder}", "name an existing one with -C")
    return folder
