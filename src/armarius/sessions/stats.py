"""What sessions were: how many, what they spent, how their turns ended, how long they waited for somebody.

Owns the sums, by day, repository, model or source. Does not own what stands in the index, nor prices.
Invariant: every response and every turn counts once, however many files hold it. What is not known is
not in a sum and is named beside it: tokens without a price, turns without an end.

A session is counted where a turn or a response of it is. `success` is the share of completed turns
among those that ended. Time waiting for a person is what lies between the end of a turn and the next
turn of the same thread; nobody waits for a person in a sub-agent's thread.
"""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from armarius.sessions.index import Entry, SessionIndex
from armarius.sessions.listing import Wish
from armarius.sessions.prices import PriceTable
from armarius.sessions.repositories import spot_of
from armarius.store.queries import load
from armarius.thread import TurnState, Usage

__all__ = ["By", "Group", "Origin", "Spent", "Stats", "Turns", "count", "stats_of"]

QUERIES = load(Path(__file__).with_name("stats.sql"))

By: TypeAlias = Literal["day", "repo", "model", "source"]

UNKNOWN: Final = "unknown"
_MICRO: Final = 1_000_000


class Origin(msgspec.Struct, frozen=True):
    """What is the same for all of one file."""

    thread_id: str
    repo: str
    source: str
    is_subagent: bool


class Spent(msgspec.Struct, frozen=True):
    """Tokens of one file, day and model; `request` is about how long each request was (`PriceTable.cost`)."""

    file: int
    day: str | None
    model: str | None
    request: int
    usage: Usage


class Turns(msgspec.Struct, frozen=True):
    """Turns of one file, day and model that ended alike."""

    file: int
    day: str | None
    model: str | None
    state: str
    count: int
    waited_us: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one day, repository, model or source.

    `subagents` is the part of `usage` that sub-agents spent. `cost_micro_usd` is in millionths of a US
    dollar, and None when no token has a price; `unpriced_tokens` are not in it.
    """

    name: str
    sessions: int
    turns: int
    completed: int
    failed: int
    interrupted: int
    usage: Usage
    subagents: Usage
    cost_micro_usd: int | None
    unpriced_tokens: int
    cache_share: float | None
    success: float | None
    waited_us: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics (`armarius.stats.v1`).

    `unpriced` are tokens by model that have no price in the table, whose file is `prices` and which was
    compared with the providers' on `prices_checked`.
    """

    by: By
    since_us: int | None
    groups: tuple[Group, ...]
    total: Group
    unpriced: dict[str, int]
    prices: str
    prices_checked: date | None
    schema: str = "armarius.stats.v1"


def stats_of(index: SessionIndex, files: Sequence[Entry], wish: Wish, prices: PriceTable, by: By) -> Stats:
    """Statistics over these files, of what `wish` wants of them: from `since_us` on, with that model."""
    spots = dict[str, str]()
    origins = {entry.file: _origin(entry, spots) for entry in files}
    wanted = msgspec.json.encode(list(origins)).decode()
    bounds = msgspec.json.encode(prices.bounds).decode()
    # A request over so many of the bounds is about as long as the next number after the last of them.
    lengths = [0] + [bound + 1 for bound in prices.bounds]
    spent = [
        Spent(row[0], row[1], row[2], lengths[int(row[3])], Usage(*row[4:]))
        for row in index.rows(QUERIES.spent, bounds, wanted, wish.since_us)
        if _is_wanted(row[2], wish.model)
    ]
    turns = [Turns(*row) for row in index.rows(QUERIES.turns, wanted, wish.since_us)]
    turns = [row for row in turns if _is_wanted(row.model, wish.model)]
    return count(origins, spent, turns, prices=prices, by=by, since_us=wish.since_us)


def count(
    origins: Mapping[int, Origin],
    spent: Iterable[Spent],
    turns: Iterable[Turns],
    *,
    prices: PriceTable,
    by: By,
    since_us: int | None = None,
) -> Stats:
    """The sums."""
    sums, total, unpriced = defaultdict[str, _Sum](_Sum), _Sum(), Counter[str]()
    for row in spent:
        origin = origins[row.file]
        cost = prices.cost(row.model, _day(row.day), row.usage, request=row.request)
        if cost is None:
            unpriced[row.model or UNKNOWN] += row.usage.total
        for one in (sums[_name(by, origin, row)], total):
            one.spend(origin, row.usage, cost)
    for row in turns:
        origin = origins[row.file]
        for one in (sums[_name(by, origin, row)], total):
            one.turn(origin, row)
    groups = [one.group(name) for name, one in sums.items()]
    groups.sort(key=_by_name if by == "day" else _by_size)
    return Stats(
        by=by,
        since_us=since_us,
        groups=tuple(groups),
        total=total.group("total"),
        unpriced={model: tokens for model, tokens in unpriced.most_common() if tokens},
        prices=prices.source,
        prices_checked=prices.checked,
    )


class _Sum:
    """One group in the making."""

    def __init__(self) -> None:
        self._threads: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._usage = self._subagents = Usage()
        self._cost = Decimal()
        self._priced = self._unpriced = self._waited_us = 0

    def spend(self, origin: Origin, usage: Usage, cost: Decimal | None) -> None:
        self._threads.add(origin.thread_id)
        self._usage += usage
        if origin.is_subagent:
            self._subagents += usage
        if cost is None:
            self._unpriced += usage.total
        else:
            self._cost += cost
            self._priced += usage.total

    def turn(self, origin: Origin, turns: Turns) -> None:
        self._threads.add(origin.thread_id)
        self._ended[turns.state] += turns.count
        if not origin.is_subagent:
            self._waited_us += turns.waited_us

    def group(self, name: str) -> Group:
        states = (TurnState.COMPLETED, TurnState.FAILED, TurnState.INTERRUPTED)
        completed, failed, interrupted = (self._ended[state.value] for state in states)
        usage = self._usage
        return Group(
            name=name,
            sessions=len(self._threads),
            turns=self._ended.total(),
            completed=completed,
            failed=failed,
            interrupted=interrupted,
            usage=usage,
            subagents=self._subagents,
            cost_micro_usd=round(self._cost * _MICRO) if self._priced or not self._unpriced else None,
            unpriced_tokens=self._unpriced,
            cache_share=_share(usage.cached_input, usage.input),
            success=_share(completed, completed + failed + interrupted),
            waited_us=self._waited_us,
        )


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:  # of a clock that stood outside of the calendar
        return None


def _is_wanted(model: str | None, wish: str | None) -> bool:
    return wish is None or fnmatch.fnmatchcase(model or "", wish)


def _name(by: By, origin: Origin, row: Spent | Turns) -> str:
    match by:
        case "day":
            return row.day or UNKNOWN
        case "model":
            return row.model or UNKNOWN
        case "repo":
            return origin.repo
        case "source":
            return origin.source


def _by_name(group: Group) -> str:
    return group.name


def _by_size(group: Group) -> tuple[int, int, str]:
    return -(group.cost_micro_usd or 0), -group.usage.total, group.name


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _origin(entry: Entry, spots: dict[str, str]) -> Origin:
    summary = entry.summary
    cwd = summary.cwd or ""
    if cwd not in spots:
        spots[cwd] = _repository(cwd)
    is_subagent = summary.source == "subagent" or summary.parent_id is not None
    source = summary.source or (entry.place.kind if entry.place.kind != "codex" else UNKNOWN)
    return Origin(entry.thread_id, spots[cwd], "subagent" if is_subagent else source, is_subagent)


def _repository(cwd: str) -> str:
    """The folder of the main worktree, or the folder itself where there is no repository."""
    if not cwd or "\0" in cwd:
        return UNKNOWN
    spot = spot_of(Path(cwd))
    if spot.store is None:
        return cwd
    return str(spot.store.parent if spot.store.name == ".git" else spot.store)
