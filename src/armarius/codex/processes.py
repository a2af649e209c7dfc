"""The codex processes of this machine, as the system shows them.

Owns telling which processes are codex or were started by one of its threads, since when they run, and
which session files they have open.
Does not own starting or ending any.
Invariant: it only looks. A process that ends meanwhile, or that is another user's, is passed over;
what could not be looked at is said.
"""

import msgspec
import psutil

__all__ = [
    "CodexProcess",
    "Holder",
    "Processes",
    "ThreadCommand",
    "codex_processes",
    "holder",
    "started_us",
    "thread_commands",
]

_ROLLOUT = "/rollout-"
_ADOPTERS = frozenset({"systemd", "init", "launchd", "tini", "dumb-init", "docker-init", "catatonit"})
"""What becomes the parent of a process whose own parent is gone."""
_THREAD_VARIABLE = "CODEX_THREAD_ID"
_ATTEMPT_VARIABLE = "ARMARIUS_ATTEMPT"  # process.py: MARKER
_EDITORS = (
    ("/.cursor/extensions/", "Cursor"),
    ("/.cursor-server/extensions/", "Cursor on a server"),
    ("/.vscode-server/extensions/", "VS Code on a server"),
    ("/.vscode/extensions/", "VS Code"),
)


class CodexProcess(msgspec.Struct, frozen=True):
    """One process. `is_orphan`: whoever started it is gone, so that nobody waits for it."""

    pid: int
    since_us: int
    argv: tuple[str, ...]
    rollouts: frozenset[str]
    is_orphan: bool


class Processes(msgspec.Struct, frozen=True):
    """All that were found; `is_complete` is whether each could be looked into."""

    found: tuple[CodexProcess, ...]
    is_complete: bool


def codex_processes() -> Processes:
    """Every process that is called codex and that we may look into."""
    found, is_complete = list[CodexProcess](), True
    for process in psutil.process_iter():
        try:
            if process.name().startswith("codex"):
                found.append(_looked_into(process))
        except psutil.NoSuchProcess:
            continue
        except psutil.Error:
            is_complete = False
    return Processes(tuple(found), is_complete)


def started_us(pid: int) -> int | None:
    """When a process started; None when it is gone or not ours to see."""
    try:
        return int(psutil.Process(pid).create_time() * 1_000_000)
    except psutil.Error:
        return None


def _looked_into(process: psutil.Process) -> CodexProcess:
    return CodexProcess(
        pid=process.pid,
        since_us=int(process.create_time() * 1_000_000),
        argv=tuple(process.cmdline()),
        rollouts=frozenset(file.path for file in process.open_files() if _ROLLOUT in file.path),
        is_orphan=_was_adopted(process),
    )


def _was_adopted(process: psutil.Process) -> bool:
    parent = process.parent()
    if parent is None or parent.name() in _ADOPTERS:
        return True
    # In a container a shell may be process 1, and has started it: then they share a terminal.
    return parent.pid == 1 and not (process.terminal() and process.terminal() == parent.terminal())


class Holder(msgspec.Struct, frozen=True):
    """A process that has a thread open: which program it is, as far as can be seen.

    `front_end` is what a person sees of it. `attempt` is the folder of an attempt of ours. `takes_queued` is
    whether it runs what is put into a thread's queue.
    """

    pid: int
    front_end: str
    program: str | None = None
    attempt: str | None = None
    takes_queued: bool = True


def holder(pid: int) -> Holder:
    """Who a process is; of one that is gone or another user's nothing but its number is known."""
    try:
        process = psutil.Process(pid)
        argv, program = process.cmdline(), process.exe()
    except psutil.Error:
        return Holder(pid, "a program that is not ours to see")
    try:
        attempt = process.environ().get(_ATTEMPT_VARIABLE)
    except (psutil.Error, OSError):
        attempt = None
    words = set(argv[1:])
    if attempt is not None:
        return Holder(pid, "a run of Armarius", program, attempt, takes_queued=False)
    place = next((name for folder, name in _EDITORS if folder in program), None)
    if "app-server" in words:
        is_daemon = any(word.endswith("unix://") for word in words)
        what = "the daemon of Codex's terminal interface" if is_daemon else "an app-server"
        return Holder(pid, f"{what} in {place}" if place else what, program)
    if "exec" in words:
        return Holder(pid, "codex exec", program, takes_queued=False)
    return Holder(pid, place or "Codex's terminal interface", program)


class ThreadCommand(msgspec.Struct, frozen=True):
    """A process that a thread's command started: Codex names the thread in its environment."""

    pid: int
    since_us: int
    thread_id: str
    program: str


def thread_commands() -> tuple[ThreadCommand, ...]:
    """Every process that we may look into and that a thread of Codex started, but codex itself."""
    found = list[ThreadCommand]()
    for process in psutil.process_iter():
        try:
            thread_id = process.environ().get(_THREAD_VARIABLE)
            if thread_id is None or process.name().startswith("codex"):
                continue
            since_us = int(process.create_time() * 1_000_000)
            found.append(ThreadCommand(process.pid, since_us, thread_id, process.name()))
        except (psutil.Error, OSError):  # gone, another user's, or without memory of its own any more
            continue
    return tuple(found)
