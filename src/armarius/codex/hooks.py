"""Codex's hooks as Armarius uses them: which events, which command, and the lines that come of them.

Owns the choice of events, the entry in `hooks.json` and reading `events.jsonl`. Does not own the file
`hooks.json` of a person (`hooks_file.py`) nor installing (`install/hooks.py`).
Invariant: reading never raises for what the file holds; a line that is none is counted, half a last
line is left for the next time, and a rotation loses nothing.

What fires, on Codex 0.163 and 0.169 alike: SessionStart before a thread's first turn, UserPromptSubmit,
PermissionRequest as soon as a person is asked, Stop after a turn that succeeded, Interrupt after one that
was stopped (also by SIGINT), SubagentStart and SubagentStop with the child's `agent_id`, SessionEnd when
the process ends. A failed turn fires none of its own, SIGTERM and SIGKILL fire none at all, and nothing
says that an approval was given: those are for the rollout and the writer lock to say.

Hooks around tools and model requests start a process for each of them, and say nothing that the rollout
does not say a moment later. Codex gives SessionEnd and Interrupt three seconds at most and complains when
more is asked for, so that is what all of them ask for.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec

from armarius.codex import hook_program

__all__ = [
    "EVENTS",
    "HookEvent",
    "HookEvents",
    "Mark",
    "command_of",
    "groups_of",
    "is_command_of",
    "is_plans_command",
    "plans_command",
    "read_events",
]

EVENTS = (
    "SessionStart",
    "UserPromptSubmit",
    "PermissionRequest",
    "Stop",
    "Interrupt",
    "SubagentStart",
    "SubagentStop",
    "SessionEnd",
)

_TIMEOUT_S = 3
# Isolated: the folder of a session is somebody's repository, from which nothing may be imported.
_PLANS = " -I -m armarius plan check --stop-hook 2>/dev/null || :"
_PLANS_TIMEOUT_S = 20
_LARGEST_READ = 64 << 20


class HookEvent(msgspec.Struct, frozen=True):
    """One hook that fired. `thread_id` is the thread it is about: a sub-agent's own, if it is one's."""

    at_us: int
    event: str
    session_id: str
    turn_id: str | None = None
    agent_id: str | None = None
    tool_name: str | None = None
    cwd: str | None = None
    transcript_path: str | None = None

    @property
    def thread_id(self) -> str:
        return self.agent_id or self.session_id


class Mark(msgspec.Struct, frozen=True):
    """How far the file was read: which file, and up to which byte."""

    inode: int = 0
    offset: int = 0


class HookEvents(msgspec.Struct, frozen=True):
    """What was read, where to go on, and how many lines were none."""

    events: tuple[HookEvent, ...]
    mark: Mark
    skipped: int = 0


def command_of(program: Path) -> str:
    """The shell command of our hooks: silent and successful whatever becomes of the program."""
    # The interpreter itself, and not the virtual environment's link to it, which may be gone tomorrow.
    return shlex.quote(str(Path(sys.executable).resolve())) + _rest(program)


def is_command_of(command: str, program: Path) -> bool:
    """Whether a hook is ours, whichever interpreter it was written with."""
    return command.endswith(_rest(program))


def _rest(program: Path) -> str:
    return f" -I -S {shlex.quote(str(program))} 2>/dev/null || :"


def plans_command() -> str:
    """The shell command that checks plans when a turn ends: it may hold the turn up, and is never an error."""
    # The interpreter as it was called: the package lies in its environment. Without it, nothing is checked.
    return f"{shlex.quote(sys.executable)}{_PLANS}"


def is_plans_command(command: str) -> bool:
    """Whether a hook is our check of plans, whichever interpreter it was written with."""
    return command.endswith(_PLANS)


def groups_of(command: str, *, plans: bool = False) -> dict[str, Any]:
    """Our entry below each event of `hooks.json`; `plans` are checked at the end of a turn, too."""
    report = {"type": "command", "command": command, "timeout": _TIMEOUT_S}
    check = {"type": "command", "command": plans_command(), "timeout": _PLANS_TIMEOUT_S}
    return {event: {"hooks": [report, check] if plans and event == "Stop" else [report]} for event in EVENTS}


def read_events(path: Path, after: Mark | None = None) -> HookEvents:
    """The events after a mark (from the beginning without one); a missing file has none.

    The file that was put aside is read first, unless the mark lies in the newer one.
    """
    start = after or Mark()
    pieces = list[HookEvents]()
    aside = _open(path.with_name(hook_program.ROTATED))
    newest = _open(path)
    try:
        if newest is None or os.fstat(newest).st_ino != start.inode:
            pieces += [_read(aside, start)] if aside is not None else []
        pieces += [_read(newest, start)] if newest is not None else []
    finally:
        for descriptor in (aside, newest):
            if descriptor is not None:
                os.close(descriptor)
    return HookEvents(
        tuple(event for piece in pieces for event in piece.events),
        pieces[-1].mark if pieces else start,
        sum(piece.skipped for piece in pieces),
    )


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _read(descriptor: int, start: Mark) -> HookEvents:
    stat = os.fstat(descriptor)
    offset = start.offset if stat.st_ino == start.inode and _is_line_end(descriptor, start.offset) else 0
    data = os.pread(descriptor, _LARGEST_READ, offset)
    whole = data[: data.rfind(b"\n") + 1]
    found = [_event(line) for line in whole.split(b"\n") if line.strip()]
    events = tuple(event for event in found if event is not None)
    return HookEvents(events, Mark(stat.st_ino, offset + len(whole)), len(found) - len(events))


def _is_line_end(descriptor: int, offset: int) -> bool:
    """Whether a line can have ended there; if not, the number of the file was given to another one."""
    return offset == 0 or os.pread(descriptor, 1, offset - 1) == b"\n"


def _event(line: bytes) -> HookEvent | None:
    try:
        return msgspec.json.decode(line, type=HookEvent)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
