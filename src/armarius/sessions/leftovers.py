"""What a kill leaves in a CODEX_HOME and on the machine.

Owns finding locks that nobody holds, turns without an end, processes without a starter or a session,
and rows without a file. Does not own removing any of it.
Invariant: what a living process has is never called left behind.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from armarius.codex.processes import codex_processes, thread_commands
from armarius.rollouts.discovery import RolloutFile
from armarius.sessions.finding import MOST_SHOWN, Finding, Subject, counted
from armarius.sessions.observe import QUERIES, Observations
from armarius.store.foreign import newest, read_foreign

__all__ = ["left_behind"]


def left_behind(
    home: Path, files: list[RolloutFile], crashed: frozenset[str], look: Observations, databases: Path
) -> Iterator[Finding]:
    """Everything of one home; `crashed` are the threads that are so by their records."""
    yield _stale_locks(look)
    yield _open_turns(crashed, look, databases)
    yield _orphan_processes(home)
    yield _orphan_commands(files, look)
    yield from _rows(files, databases)


def _stale_locks(look: Observations) -> Finding:
    stale = sorted(thread_id for thread_id, lock in look.locks.items() if not lock.is_held)
    return Finding(
        kind="stale_locks",
        found=f"{counted(len(stale), 'writer lock')} that nobody holds",
        count=len(stale),
        advice="harmless: a kill left them, and the next resume takes them over" if stale else "",
        subjects=tuple(map(Subject, stale[:MOST_SHOWN])),
    )


class _OpenTurn(msgspec.Struct):
    thread_id: str
    turn_id: str


def _open_turns(ended: frozenset[str], look: Observations, databases: Path) -> Finding:
    """Turns without an end whose thread nobody has: by the record, and by the database."""
    crashed = dict.fromkeys(ended, "in its record")
    path = newest(databases, "thread_history")
    rows = read_foreign(path, QUERIES.open_turns, _OpenTurn).rows if path else ()
    for row in rows:
        if not _is_loaded(row.thread_id, look):
            crashed[row.thread_id] = (
                "in its record and the history database" if row.thread_id in crashed else "in the history database"
            )
    return Finding(
        kind="open_turns",
        found=f"{counted(len(crashed), 'turn')} without an end that nobody goes on with",
        count=len(crashed),
        advice="a kill left them: resume the thread with `codex resume ID`, or archive it" if crashed else "",
        subjects=tuple(Subject(thread_id, where) for thread_id, where in sorted(crashed.items())[:MOST_SHOWN]),
    )


def _is_loaded(thread_id: str, look: Observations) -> bool:
    lock = look.locks.get(thread_id)
    return (
        (lock is not None and lock.is_held)
        or thread_id in look.statuses
        or any(thread_id in name for name in look.openers)
    )


_SERVICES = (("app-server",), ("remote-control",))
"""What is meant to outlive whoever started it."""


def _orphan_processes(home: Path) -> Finding:
    below = os.path.realpath(home) + os.sep
    orphans = [
        process
        for process in codex_processes().found
        if process.is_orphan
        and process.argv[1:2] not in _SERVICES
        and any(path.startswith(below) for path in process.rollouts)
    ]
    return Finding(
        kind="orphan_processes",
        found=f"{counted(len(orphans), 'codex process')} whose starter is gone",
        count=len(orphans),
        advice="look at each with `ps -fp PID`, and end what nobody waits for with `kill -INT PID`" if orphans else "",
        subjects=tuple(
            Subject(str(process.pid), ", ".join(sorted(Path(path).name for path in process.rollouts)))
            for process in orphans[:MOST_SHOWN]
        ),
    )


def _orphan_commands(files: list[RolloutFile], look: Observations) -> Finding:
    here = {file.thread_id for file in files}
    left = [
        command
        for command in thread_commands()
        if command.thread_id in here and not _is_loaded(command.thread_id, look)
    ]
    return Finding(
        kind="orphan_commands",
        found=f"{counted(len(left), 'process')} that outlived the session that started it",
        count=len(left),
        advice="look at each with `ps -fp PID`, and end what is not wanted with `kill PID`" if left else "",
        subjects=tuple(
            Subject(str(command.pid), f"{command.program}, of {command.thread_id}") for command in left[:MOST_SHOWN]
        ),
    )


class _Row(msgspec.Struct):
    thread_id: str
    path: str
    is_archived: int


def _rows(files: list[RolloutFile], databases: Path) -> Iterator[Finding]:
    """What the state database and the folders say of each other; nothing where one of them is missing."""
    path = newest(databases, "state")
    reading = read_foreign(path, QUERIES.rollout_paths, _Row) if path else None
    if reading is None or reading.trouble:
        return
    here, known = {file.thread_id for file in files}, {row.thread_id for row in reading.rows}
    lost = [row for row in reading.rows if row.thread_id not in here and not _exists(row.path)]
    yield Finding(
        kind="rows_without_file",
        found=f"{counted(len(lost), 'thread')} in the state database whose session file is gone",
        count=len(lost),
        advice="`codex delete ID` forgets one; its history cannot be resumed any more" if lost else "",
        subjects=tuple(Subject(row.thread_id, row.path) for row in lost[:MOST_SHOWN]),
    )
    extra = [file for file in files if file.thread_id not in known]
    yield Finding(
        kind="files_without_row",
        found=f"{counted(len(extra), 'session file')} that the state database does not know",
        count=len(extra),
        size=sum(file.size for file in extra),
        advice="`codex resume ID` takes one up again; Codex's own list does not show it" if extra else "",
        subjects=tuple(Subject(str(file.path), file.thread_id, file.size) for file in extra[:MOST_SHOWN]),
    )


def _exists(path: str) -> bool:
    return any(os.path.exists(name) for name in (path, f"{path}.zst"))  # noqa: PTH110  # also says no to a bad name
