"""A thread of `codex exec` in the lists of editors, and out of them again.

Owns the one change that this takes, its backup and its undoing. Does not own finding the thread (`names`).
Invariant: the session file keeps its length, its time and every byte but those that say how the thread was begun;
what is undone is byte for byte what it was. Nothing is changed while a writer lives, and none can begin
meanwhile: Codex's own lock is held. A kill at any moment leaves the old or the new, or what both the next call
and the undoing recognise and finish.

Lists show what a terminal (`cli`) or an editor (`vscode`) began, by the first line of the session file; Codex's
database only repeats it, and is set right from the file. Of the two words only `cli` fits into the place of `exec`:
other threads and Codex's databases refer to places in the file by their byte.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Failed, Refused
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.rollouts.opening import COMPRESSED
from armarius.sessions.names import Named
from armarius.sessions.observe import observe
from armarius.store.foreign import newest, read_foreign
from armarius.store.foreign_edit import edit_foreign
from armarius.store.queries import load

__all__ = ["WARNING", "Visibility", "hide_again", "make_visible"]

WARNING = (
    "this changes one word in a session file of Codex's, which Codex does not offer to change: "
    "the thread is listed as if it had been begun in a terminal"
)

_QUERIES = load(Path(__file__).with_name("visible.sql"))
_LONGEST_LINE: Final = 16 << 20
_LARGEST_BACKUP: Final = 64 << 20
_OLD: Final = "exec"
_NEW: Final = "cli"
_SPAN: Final = re.compile(rb'"source"(\s*):(\s*)"exec"')
_LIVE = ("held", "open")
_LOCKS: Final = "thread-writer-locks"


class Visibility(msgspec.Struct, frozen=True):
    """What was done (`armarius.visibility.v1`). `backup` is there as long as it can be undone."""

    thread_id: str
    path: str
    state: Literal["visible", "hidden"]
    changed: bool
    backup: str | None = None
    schema: str = "armarius.visibility.v1"


class _Backup(msgspec.Struct, frozen=True):
    """`line` is the first line as it was; `old` and `new` stand at `offset`. `size` and `mtime_ns` are the file's."""

    thread_id: str
    path: str
    offset: int
    old: bytes
    new: bytes
    line: bytes
    size: int
    mtime_ns: int


class _First(msgspec.Struct):
    payload: dict[str, Any]


class _Source(msgspec.Struct):
    thread_id: str
    source: str


def make_visible(named: Named, backups: Path, clock: Clock) -> Visibility:
    """Let lists show a thread of `codex exec`; Refused when somebody has it open or it was begun otherwise."""
    home, path = _place(named)
    with _alone(home, named, clock):
        kept = _kept(backups, named.thread_id)
        backup = _backup(named.thread_id, path) if kept is None else kept
        file = _file(backups, named.thread_id)
        if kept is None:
            write_atomic(private_folder(backups) / file.name, msgspec.json.encode(backup))
        changed = _put(path, backup, backup.new)
        changed |= _tell_database(home, named.thread_id, _OLD, _NEW)
        return Visibility(named.thread_id, str(path), "visible", changed, str(file))


def hide_again(named: Named, backups: Path, clock: Clock) -> Visibility:
    """Undo it, to the byte; Failed when there is nothing to undo."""
    home, path = _place(named)
    backup = _kept(backups, named.thread_id)
    if backup is None:
        raise Failed("not-made-visible", f"{named.thread_id} was not made visible here", "there is nothing to undo")
    with _alone(home, named, clock):
        changed = _put(path, backup, backup.old)
        changed |= _tell_database(home, named.thread_id, _NEW, _OLD)
        _file(backups, named.thread_id).unlink()
        return Visibility(named.thread_id, str(path), "hidden", changed)


def _place(named: Named) -> tuple[Path, Path]:
    if named.place is None or named.place.kind != "codex":
        raise Refused("not-codex", f"{named.path} is no session in a CODEX_HOME", "name a session of Codex's")
    path = named.path
    if path.suffix == COMPRESSED:
        raise Refused("compressed", f"{path} is compressed", "resume it once, then Codex unpacks it")
    if named.is_archived:
        raise Refused("archived", f"{named.thread_id} is archived, and so in no list", "`codex unarchive` it first")
    return named.place.path, path


def _backup(thread_id: str, path: Path) -> _Backup:
    """What is to be changed, found and proven: decoded, the line differs in nothing but its source."""
    with path.open("rb") as file:
        line = file.readline(_LONGEST_LINE)
        seen = os.fstat(file.fileno())
    before = _payload(path, line)
    if before.get("source") != _OLD:
        raise Refused(
            "source-other",
            f"{thread_id} was begun by {str(before.get('source'))[:100]!r}, not by codex exec",
            "only threads of codex exec can be made visible",
        )
    for found in _SPAN.finditer(line):
        old = found.group()
        new = b'"source"%b:%b"%b"' % (found[1], found[2], _NEW.encode())
        new = new.ljust(len(old))
        after = line[: found.start()] + new + line[found.end() :]
        if _payload(path, after) == before | {"source": _NEW}:
            return _Backup(thread_id, str(path), found.start(), old, new, line, seen.st_size, seen.st_mtime_ns)
    raise DataError("source-place", f"{path}: its source stands nowhere in a known form", "leave it as it is")


def _payload(path: Path, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=_First).payload
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError("not-a-session", f"{path}: its first line is none of Codex's: {error}", "") from error


def _put(path: Path, backup: _Backup, wanted: bytes) -> bool:
    """Write the span, unless it stands there; DataError when neither form, nor a torn one, is there."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        seen = os.fstat(descriptor)
        present = os.pread(descriptor, len(wanted), backup.offset)
        if present == wanted:
            _keep_time(descriptor, seen, backup)
            return False
        # A write that was cut short put down its beginning, whichever way it went.
        size = len(wanted)
        mixtures = {one[:cut] + other[cut:] for one in _both(backup) for other in _both(backup) for cut in range(size)}
        if present not in mixtures or os.pread(descriptor, backup.offset, 0) != backup.line[: backup.offset]:
            raise DataError("session-changed", f"{path} is another one now", f"its backup stays: {backup.path}")
        os.pwrite(descriptor, wanted, backup.offset)
        os.fsync(descriptor)
        _keep_time(descriptor, seen, backup)
        return True
    finally:
        os.close(descriptor)


def _keep_time(descriptor: int, seen: os.stat_result, backup: _Backup) -> None:
    """Lists go by the file's time: ours is no news, and a call that was killed may have left it."""
    mtime_ns = backup.mtime_ns if seen.st_size == backup.size else seen.st_mtime_ns
    os.utime(descriptor, ns=(seen.st_atime_ns, mtime_ns))


def _both(backup: _Backup) -> tuple[bytes, bytes]:
    return backup.old, backup.new


def _tell_database(home: Path, thread_id: str, old: str, new: str) -> bool:
    """Let the database repeat what the file says; one that is not there, or does not know the thread, need not."""
    path = newest(home, "state")
    if path is None:
        return False
    reading = read_foreign(path, _QUERIES.sources, _Source)
    # Who could not be asked, because somebody was at it, is told: that waits for longer, and fails with a word.
    is_wanted = reading.trouble or any(row.thread_id == thread_id and row.source == old for row in reading.rows)
    return bool(is_wanted) and edit_foreign(path, _QUERIES.set_source, thread_id=thread_id, old=old, new=new) > 0


def _kept(backups: Path, thread_id: str) -> _Backup | None:
    file = _file(backups, thread_id)
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(read_bounded(file, _LARGEST_BACKUP), type=_Backup)
    except msgspec.DecodeError as error:
        raise DataError("backup-broken", f"{file}: {error}", "look at it by hand") from error


def _file(backups: Path, thread_id: str) -> Path:
    return backups / f"{thread_id}.json"


@contextlib.contextmanager
def _alone(home: Path, named: Named, clock: Clock) -> Generator[None]:
    """Hold Codex's own lock on a thread; Refused when somebody has the thread open."""
    seen = observe(home, clock).of(named.thread_id, str(named.path))
    if seen.presence in _LIVE:
        who = f"process {seen.pid}" if seen.pid else "a process that is not ours to see"
        raise Refused("thread-live", f"{who} has the session {named.thread_id} open", "wait until it is done")
    folder = home / _LOCKS
    if not folder.is_dir():  # a Codex that locks nothing
        yield
        return
    path = folder / f"{named.thread_id}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
        except BlockingIOError:
            is_held = False
        if not is_held:
            raise Refused("thread-live", f"somebody opens {named.thread_id} just now", "try again")
        try:
            yield
        finally:
            path.unlink()  # as Codex does at its end
    finally:
        os.close(descriptor)
