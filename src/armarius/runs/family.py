"""The threads that a run consists of: its own, and those of its sub-agents, also of theirs.

Owns finding them, again and again while they come to be. Does not own what they say.
Invariant: a thread belongs to the run when its record names one of the run's threads as its parent; one
that began before the run did is not of it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from armarius.rollouts.discovery import find_rollout, thread_id_of
from armarius.rollouts.opening import open_rollout

__all__ = ["Family"]

_HEAD = 1 << 20
_DAY = timedelta(days=1)
_CLOCKS_APART_US = 2_000_000


class _Meta(msgspec.Struct):
    id: str = ""
    parent_thread_id: str | None = None


class _First(msgspec.Struct):
    payload: _Meta


_decode = msgspec.json.Decoder(_First).decode


class Family:
    """The session files of the thread `root` and its sub-agents in a CODEX_HOME, for a run that began at `since_us`."""

    def __init__(self, codex_home: Path, root: str, since_us: int) -> None:
        self._home = codex_home
        self._root = root
        self._since_us = since_us - _CLOCKS_APART_US
        self._parents: dict[str, tuple[Path, str | None]] = {}
        self._own: Path | None = None

    def root(self) -> Path | None:
        """The file of the run's own thread; None as long as there is none."""
        if self._own is None or not self._own.exists():
            self._own = find_rollout(self._home, self._root)
        return self._own

    def agents(self, now_us: int) -> dict[str, Path]:
        """The sub-agents that there are by now, by thread."""
        for path in self._young(now_us):
            thread_id = thread_id_of(path.name)
            if thread_id and thread_id not in self._parents and (parent := _parent_of(path)) is not None:
                self._parents[thread_id] = path, parent or None
        found = dict[str, Path]()
        known = {self._root}
        while grown := {one for one, (_, parent) in self._parents.items() if parent in known and one not in known}:
            known |= grown
            found |= {one: self._parents[one][0] for one in sorted(grown)}
        return found

    def _young(self, now_us: int) -> Iterator[Path]:
        """Files born since, as their folders (local days) and their ids (UUIDv7, which begin with the time) say."""
        day = datetime.fromtimestamp(self._since_us / 1_000_000, tz=UTC) - _DAY
        last = datetime.fromtimestamp(now_us / 1_000_000, tz=UTC) + _DAY
        born = f"{max(self._since_us, 0) // 1_000:012x}"
        while day.date() <= last.date():
            for path in (self._home / "sessions" / f"{day:%Y/%m/%d}").glob("rollout-*.jsonl"):
                if thread_id_of(path.name).replace("-", "")[:12] >= born:
                    yield path
            day += _DAY


def _parent_of(path: Path) -> str | None:
    """The parent that the first line of a file names, empty for none; None as long as that line is not whole."""
    try:
        with open_rollout(path) as stream:
            line, newline, _ = stream.read(_HEAD).partition(b"\n")
    except OSError:
        return None
    if not newline:
        return None
    try:
        return _decode(line).payload.parent_thread_id or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
