"""Which sessions a night learns from, and the work in them.

Owns the scope (project, source, window, number), what does not count as a person's work, and the cache of
what was read. Does not own the session index (`sessions`), what a turn tells (`episodes`), nor mining.
Invariant: nothing is sent to anybody. A file that did not change is not read again, and a history that did
not change at all is answered from the cache. What is kept is redacted. A file that cannot be read is counted
and stops nothing; every session that is left out is counted under a reason.

A session belongs when it was begun in the project, below it, or at the same place in another worktree of its
repository; one from a folder above does not. Times are compared as instants, so time zones do not matter.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from armarius import __version__
from armarius.evolve.episodes import Episode, episodes_of
from armarius.identity import hash_value
from armarius.rollouts.formats import read_thread
from armarius.rollouts.opening import open_rollout
from armarius.sessions.folders import Place
from armarius.sessions.index import Entry, SessionIndex
from armarius.sessions.repositories import Spot, belongs, spot_of
from armarius.store.index_database import IndexDatabase
from armarius.store.queries import load

__all__ = ["Harvest", "HarvestCache", "Scope", "Source", "chosen_files", "harvest"]

QUERIES = load(Path(__file__).with_name("harvest.sql"))
_SCHEMA = Path(__file__).with_name("harvest_schema.sql")
# To be raised when something else is taken from a file than before, or left out as a secret.
_READING = 3
_EDITION = f"{__version__}/harvest/{_READING}"

Source: TypeAlias = Literal["codex", "claude", "auto"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What to harvest. `since_us` None is all of history; `own_folder` is Armarius's, whose sessions are replays."""

    project: Path
    own_folder: Path
    source: Source = "auto"
    since_us: int | None = None
    most_sessions: int = 120


class Harvest(msgspec.Struct, frozen=True, kw_only=True):
    """The work of a person in the sessions of a scope.

    `sessions` were read, `turns` are the requests in them; `left_out` counts sessions by the reason why they
    do not count, and `notes` says what a person should know. `source` is where they came from in the end.
    """

    source: str
    episodes: tuple[Episode, ...]
    sessions: int
    left_out: dict[str, int]
    notes: tuple[str, ...]

    @property
    def turns(self) -> int:
        return len(self.episodes)


class HarvestCache:
    """What was read before. Whoever opens it closes it (`contextlib.closing`)."""

    def __init__(self, database: IndexDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        return cls(IndexDatabase.open(path, _SCHEMA.read_text(encoding="utf-8"), _EDITION))

    def close(self) -> None:
        self._database.close()

    def outcome(self, question: str) -> bytes | None:
        """What came of this very question before."""
        rows = self._database.rows(QUERIES.outcome_of, question)
        return rows[0][0] if rows else None

    def keep_outcome(self, scope: str, question: str, outcome: bytes) -> None:
        with self._database.transaction():
            self._database.many(QUERIES.put_outcome, [(scope, question, outcome)])

    def episodes(self, files: Sequence[Entry]) -> dict[Path, tuple[Episode, ...]]:
        """What is known of those files that did not change since."""
        stamps = {str(entry.path): (entry.size, entry.changed_us) for entry in files}
        decode = msgspec.msgpack.Decoder(tuple[Episode, ...]).decode
        rows = self._database.rows(QUERIES.episodes_of, msgspec.json.encode(list(stamps)).decode())
        return {Path(path): decode(data) for path, size, changed_us, data in rows if stamps[path] == (size, changed_us)}

    def keep(self, fresh: Sequence[tuple[Entry, tuple[Episode, ...]]]) -> None:
        encode = msgspec.msgpack.Encoder().encode
        with self._database.transaction():
            self._database.many(
                QUERIES.put_digest, [(str(e.path), e.size, e.changed_us, encode(found)) for e, found in fresh]
            )


class Chosen(msgspec.Struct, frozen=True):
    """The files of the sessions that count, the newest first, and what was left out."""

    source: str
    files: tuple[Entry, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]

    def question(self, scope: Scope, more: object) -> str:
        """Names these files as they are, and everything that is asked of them."""
        files = [(str(entry.path), entry.size, entry.changed_us) for entry in self.files]
        asked = {"files": files, "project": str(scope.project), "edition": _EDITION, "more": more}
        return hash_value(asked | {"left_out": self.left_out, "notes": self.notes})


def chosen_files(index: SessionIndex, places: Sequence[Place], scope: Scope) -> Chosen:
    """Which sessions of these places belong to the scope, as far as the index tells."""
    left_out = Counter[str]()
    files = _of_persons(index.entries(places), scope, left_out)
    by_kind = {kind: [entry for entry in files if entry.place.kind == kind] for kind in ("codex", "claude")}
    source, notes = scope.source, list[str]()
    if source == "auto":
        source = "claude" if by_kind["claude"] and not by_kind["codex"] else "codex"
        if source == "claude":
            notes.append("Codex has no session in this scope, so the sessions of Claude Code are taken")
        elif by_kind["claude"]:
            left_out["of Claude Code, and Codex has some"] += len(by_kind["claude"])
    kept = by_kind[source]
    if len(kept) > scope.most_sessions:
        left_out["older than the newest that were asked for"] += len(kept) - scope.most_sessions
        kept = kept[: scope.most_sessions]
    return Chosen(source, tuple(kept), dict(left_out), tuple(notes))


def harvest(cache: HarvestCache, chosen: Chosen, on_read: Callable[[int, int], None] | None = None) -> Harvest:
    """The work in the chosen sessions; what the cache does not know is read, and kept there."""
    known = cache.episodes(chosen.files)
    unknown = [entry for entry in chosen.files if entry.path not in known]
    left_out, fresh = Counter(chosen.left_out), list[tuple[Entry, tuple[Episode, ...]]]()
    for number, entry in enumerate(unknown, start=1):
        with contextlib.suppress(OSError):
            found = () if _is_ours(entry.path) else episodes_of(read_thread(entry.path))
            fresh.append((entry, found))
        if on_read:
            on_read(number, len(unknown))
    cache.keep(fresh)
    known |= {entry.path: found for entry, found in fresh}
    return _joined(chosen, known, left_out)


def _joined(chosen: Chosen, known: dict[Path, tuple[Episode, ...]], left_out: Counter[str]) -> Harvest:
    """The episodes of all files, each turn once: a fork holds the turns of the thread that it came from."""
    seen, episodes, sessions = set[tuple[str, str]](), list[Episode](), 0
    for entry in sorted(chosen.files, key=lambda entry: (entry.thread_id, str(entry.path))):
        found = known.get(entry.path)
        if found is None:
            left_out["could not be read"] += 1
            continue
        own = [one for one in found if (one.turn_id, one.prompt) not in seen]
        seen |= {(one.turn_id, one.prompt) for one in own}
        if own:
            sessions += 1
            episodes += own
        else:
            left_out["without a request of a person"] += 1
    return Harvest(
        source=chosen.source,
        episodes=tuple(episodes),
        sessions=sessions,
        left_out=dict(left_out),
        notes=chosen.notes,
    )


def _of_persons(entries: Sequence[Entry], scope: Scope, left_out: Counter[str]) -> list[Entry]:
    """The files of sessions that a person led in this project and window; of each thread the one it lives in."""
    spots, project = dict[str, bool](), spot_of(scope.project)
    own = spot_of(scope.own_folder)
    main = dict[tuple[Place, str], Entry]()
    for entry in entries:
        reason = _reason(entry, scope, project, own, spots)
        if reason:
            left_out[reason] += 1
            continue
        other = main.get((entry.place, entry.thread_id))
        if other is None or (other.is_archived and not entry.is_archived):
            main[entry.place, entry.thread_id] = entry
        if other is not None:
            left_out["a second file of a thread"] += 1
    return list(main.values())


def _reason(entry: Entry, scope: Scope, project: Spot, own: Spot, spots: dict[str, bool]) -> str | None:
    """Why a file does not count; None when it does."""
    summary = entry.summary
    if scope.source not in ("auto", entry.place.kind):
        return f"of {'Claude Code' if entry.place.kind == 'claude' else 'Codex'}, which was not asked for"
    if entry.gone_at_us is not None:
        return "no more"
    if entry.problem is not None and not summary.offset:
        return "could not be read"
    last_us = entry.changed_us if summary.last_at_us is None else summary.last_at_us
    if scope.since_us is not None and last_us < scope.since_us:
        return "before the time that was asked for"
    if summary.parent_id is not None or summary.source == "subagent":
        return "of a sub-agent"
    cwd = summary.cwd
    if not cwd or "\0" in cwd:
        return "without a folder"
    if cwd not in spots:
        spot = spot_of(Path(cwd))
        spots[cwd] = belongs(spot, project) and not spot.folder.is_relative_to(own.folder)
    return None if spots[cwd] else "of another project"


_HEAD = 256 << 10
_THREAD_SOURCE = re.compile(rb'"thread_source":"armarius-(?:replay|reflection|validator|reviewer)')


def _is_ours(path: Path) -> bool:
    """Whether Armarius itself led the session, in a role in which nobody asked for anything."""
    with open_rollout(path) as stream:
        return _THREAD_SOURCE.search(stream.read(_HEAD).partition(b"\n")[0]) is not None
