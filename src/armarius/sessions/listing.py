"""Sessions as a person asks for them: those that match, with what each is doing, the urgent ones first.

Owns choosing, naming and ordering threads from what the index has. Does not own what stands in files
(`index`), nor what a state means (`state`).
Invariant: a thread is listed once, however many files it has; its tokens are counted once.
"""

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.sessions.folders import Place
from armarius.sessions.index import Entry, SessionIndex, Trouble
from armarius.sessions.names import thread_names
from armarius.sessions.observe import Observations
from armarius.sessions.repositories import Spot, belongs, spot_of
from armarius.sessions.state import Seen, Standing, needs_person, standing_of
from armarius.thread import State, Usage

__all__ = ["Listing", "Session", "Wish", "choose_files", "list_sessions"]

_SOURCES = ("codex", "claude")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions are wanted; None is any. `model` and `source` may hold `*`."""

    since_us: int | None = None
    repo: Path | None = None
    model: str | None = None
    source: str | None = None
    states: frozenset[State] = frozenset()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One thread in short. `evidence` says how `state` is known, `standing` all of it.

    `title` is the first thing the user said, `name` what the thread was called in Codex. `usage` is
    what this thread itself spent: what it took over from another one is counted there.
    """

    id: str
    state: State
    evidence: str
    standing: Standing
    title: str
    name: str | None
    turns: int
    commands: int
    usage: Usage
    path: str
    files: int
    home: str
    cwd: str | None
    source: str | None
    model: str | None
    cli_version: str | None
    parent_id: str | None
    forked_from_id: str | None
    git_branch: str | None
    goal: str | None
    goal_status: str | None
    started_at_us: int | None
    last_at_us: int | None
    bad_lines: int
    unknown: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions, those that need a person first (`armarius.sessions.v1`).

    `total` is how many match; `trouble` what could not be used of all files that there are, `closed`
    are folders that could not be listed.
    """

    sessions: tuple[Session, ...]
    total: int
    trouble: Trouble
    closed: tuple[str, ...]
    homes: tuple[str, ...]
    schema: str = "armarius.sessions.v1"


def list_sessions(
    index: SessionIndex,
    places: Sequence[Place],
    wish: Wish,
    look: Callable[[Path], Observations],
    *,
    now_us: int,
    most: int,
    closed: tuple[str, ...] = (),
) -> Listing:
    """The `most` sessions that match, of what the index has now; `look` looks at a CODEX_HOME."""
    threads = _threads(index, places, wish, look, now_us)
    # The newest come first already, and a sort keeps that order among equals.
    threads.sort(key=lambda thread: needs_person(thread.standing.state))
    usage = index.usage_of_files()
    names = {place: thread_names(place) for place in places}
    return Listing(
        sessions=tuple(_session(thread, usage, names[thread.main.place]) for thread in threads[:most]),
        total=len(threads),
        trouble=index.trouble(places),
        closed=closed,
        homes=tuple(str(place.path) for place in places),
    )


def choose_files(
    index: SessionIndex, places: Sequence[Place], wish: Wish, look: Callable[[Path], Observations], *, now_us: int
) -> list[Entry]:
    """The files that match, also those that are gone, which are in no state any more."""
    if not wish.states:
        return _matching(index, places, wish)
    return [file for thread in _threads(index, places, wish, look, now_us) for file in thread.files]


class _Thread(msgspec.Struct, frozen=True):
    """A thread with its files; `main` is the one that it lives in."""

    main: Entry
    files: list[Entry]
    standing: Standing


def _threads(
    index: SessionIndex, places: Sequence[Place], wish: Wish, look: Callable[[Path], Observations], now_us: int
) -> list[_Thread]:
    files = dict[tuple[Place, str], list[Entry]]()
    for entry in _matching(index, places, wish):
        if entry.gone_at_us is None and (entry.problem is None or entry.summary.offset):  # else nothing is known
            files.setdefault((entry.place, entry.thread_id), []).append(entry)
    looks = {place: look(place.path) for place in places if place.kind == "codex"}
    found = list[_Thread]()
    for (place, _), entries in files.items():
        main = min(entries, key=lambda entry: entry.is_archived)  # and of those the newest, as they come
        found.append(_Thread(main, entries, _standing(main, looks.get(place), now_us)))
    return [thread for thread in found if not wish.states or thread.standing.state in wish.states]


def _matching(index: SessionIndex, places: Sequence[Place], wish: Wish) -> list[Entry]:
    """The files that match in everything but their state."""
    repository = spot_of(wish.repo) if wish.repo else None
    spots = dict[str, Spot]()
    models = index.models() if wish.model is not None else {}
    return [
        entry
        for entry in index.entries(places)
        if (wish.since_us is None or _last_us(entry) >= wish.since_us)
        and (wish.model is None or fnmatch.filter(models.get(entry.file, ()), wish.model))
        and (wish.source is None or _is_from(entry, wish.source))
        and (repository is None or _lies_in(entry, repository, spots))
    ]


def _last_us(entry: Entry) -> int:
    return entry.changed_us if entry.summary.last_at_us is None else entry.summary.last_at_us


def _lies_in(entry: Entry, repository: Spot, spots: dict[str, Spot]) -> bool:
    cwd = entry.summary.cwd
    if not cwd or "\0" in cwd:
        return False
    if cwd not in spots:
        spots[cwd] = spot_of(Path(cwd))
    return belongs(spots[cwd], repository)


def _is_from(entry: Entry, source: str) -> bool:
    if source in _SOURCES:
        return entry.place.kind == source
    return fnmatch.fnmatchcase(entry.summary.source or "", source)


def _standing(entry: Entry, look: Observations | None, now_us: int) -> Standing:
    if look is None:  # of another program, whose locks and processes say nothing
        seen = Seen(at_us=now_us, changed_us=entry.changed_us)
    else:
        seen = look.of(entry.thread_id, str(entry.path), entry.changed_us)
    return standing_of(entry.summary, seen, now_us)


def _session(thread: _Thread, usage: dict[int, Usage], names: dict[str, str]) -> Session:
    entry, standing, summary = thread.main, thread.standing, thread.main.summary
    spent = Usage()
    for file in thread.files:
        spent = spent + usage.get(file.file, Usage())
    return Session(
        id=entry.thread_id,
        state=standing.state,
        evidence=standing.source,
        standing=standing,
        title=summary.title,
        name=names.get(entry.thread_id),
        turns=entry.turns,
        commands=summary.commands,
        usage=spent,
        path=str(entry.path),
        files=len(thread.files),
        home=str(entry.place.path),
        cwd=summary.cwd,
        source=summary.source,
        model=summary.model,
        cli_version=summary.cli_version,
        parent_id=summary.parent_id,
        forked_from_id=summary.forked_from_id,
        git_branch=summary.git_branch,
        goal=summary.goal,
        goal_status=summary.goal_status,
        started_at_us=summary.started_at_us,
        last_at_us=summary.last_at_us,
        bad_lines=summary.bad_lines,
        unknown=sum(summary.unknown.values()),
    )
