"""Threads of a CODEX_HOME: the list, and the one that a person names.

Owns the summary of a thread and the resolution of its name. Does not own reading a file.
Invariant: a file that cannot be used is counted and never hides the others.
"""

import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from armarius.errors import DataError
from armarius.rollouts.discovery import RolloutFile, find_rollouts
from armarius.rollouts.reader import read_rollout
from armarius.thread import Command, State, Thread, Turn, TurnState, Usage, UserMessage

__all__ = ["Listing", "Session", "find_thread", "list_sessions", "state_of"]

Evidence = Literal["rollout", "rollout+lock", "folder", "none"]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One thread in short. `evidence` says how `state` is known; `title` is the first user message."""

    id: str
    state: State
    evidence: Evidence
    title: str
    turns: int
    commands: int
    usage: Usage
    path: str
    cwd: str | None
    source: str | None
    model: str | None
    cli_version: str | None
    started_at_us: int | None
    last_at_us: int | None
    bad_lines: int
    unknown: int


class Listing(msgspec.Struct, frozen=True):
    """Sessions, newest first (`armarius.sessions.v1`).

    `total` counts the files that there are; `compressed` and `unreadable` those that are not shown
    because nobody can read them yet, and because they could not be opened.
    """

    sessions: tuple[Session, ...]
    total: int
    compressed: int
    unreadable: int
    codex_home: str
    schema: str = "armarius.sessions.v1"


def list_sessions(codex_home: Path, most: int) -> Listing:
    """The `most` sessions that were written to last."""
    files = find_rollouts(codex_home)
    plain = [file for file in files if not file.is_compressed]
    sessions, unreadable = list[Session](), 0
    for file in plain:
        if len(sessions) == most:
            break
        try:
            sessions.append(_summary(codex_home, file, read_rollout(file.path)))
        except OSError:  # archived or deleted since the folder was listed, or another user's
            unreadable += 1
    return Listing(tuple(sessions), len(files), len(files) - len(plain), unreadable, str(codex_home))


def find_thread(codex_home: Path, name: str) -> tuple[Session, Thread]:
    """The thread that `name` names: its id, a unique prefix, or the path of its file."""
    files = find_rollouts(codex_home)
    path = Path(name)
    if os.path.isfile(name):  # noqa: PTH113  # also says no to a name that no file system takes
        file = next((file for file in files if file.path.samefile(path)), None)
        thread = read_rollout(path)
        return _summary(codex_home, file, thread), thread
    found = [file for file in files if name and file.thread_id.startswith(name.removeprefix("codex://threads/"))]
    if not found:
        raise DataError("thread-unknown", f"no session {name!r} under {codex_home}", "see `armarius sessions list`")
    if len({file.thread_id for file in found}) > 1:
        raise DataError("thread-ambiguous", f"{name!r} begins {len(found)} sessions", "write more of its id")
    readable = [file for file in found if not file.is_compressed]
    if not readable:
        raise DataError("thread-compressed", f"{found[0].path} is compressed", "unpack it with `zstd -d`")
    thread = read_rollout(readable[0].path)
    return _summary(codex_home, readable[0], thread), thread


def state_of(codex_home: Path, thread: Thread, *, is_archived: bool) -> tuple[State, Evidence]:
    """What the thread is doing. An open turn is running only while its writer's lock is held.

    A kill leaves no marker in the file, and a lock that nobody holds says that the writer is gone.
    """
    if is_archived:
        return State.ARCHIVED, "folder"
    if not thread.turns:
        return State.UNKNOWN, "none"
    match thread.turns[-1].state:
        case TurnState.COMPLETED:
            return State.COMPLETED, "rollout"
        case TurnState.FAILED:
            return State.FAILED, "rollout"
        case TurnState.INTERRUPTED:
            return State.INTERRUPTED, "rollout"
        case TurnState.OPEN:
            held = _is_held(codex_home / "thread-writer-locks" / f"{thread.id}.lock")
            if held is None:
                return State.UNKNOWN, "rollout"
            return (State.RUNNING if held else State.CRASHED), "rollout+lock"
        case TurnState.UNKNOWN:
            return State.UNKNOWN, "rollout"


def _summary(codex_home: Path, file: RolloutFile | None, thread: Thread) -> Session:
    state, evidence = state_of(codex_home, thread, is_archived=file is not None and file.is_archived)
    items = [item for turn in thread.turns for item in turn.items]
    said = next((item.text for item in items if isinstance(item, UserMessage)), "")
    return Session(
        id=thread.id,
        state=state,
        evidence=evidence,
        title=" ".join(said.split())[:200],
        turns=len(thread.turns),
        commands=sum(isinstance(item, Command) for item in items),
        usage=thread.usage,
        path=thread.path,
        cwd=thread.cwd,
        source=thread.source,
        model=_model(thread.turns),
        cli_version=thread.cli_version,
        started_at_us=thread.started_at_us,
        last_at_us=thread.last_at_us,
        bad_lines=len(thread.bad_lines),
        unknown=sum(thread.unknown.values()),
    )


def _model(turns: tuple[Turn, ...]) -> str | None:
    return next((turn.model for turn in reversed(turns) if turn.model), None)


def _is_held(lock: Path) -> bool | None:
    """Whether a process holds the writer's lock; None when there is no lock file to ask."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
