"""Live sessions of others in a working tree that a run wants to write to.

Owns finding them, and telling our own apart. Does not own which of them hold a tree
(resources/foreign_sessions.py) nor how a state is known (sessions/state.py).
Invariant: it only looks. A thread that an open run of this ledger has started, or one of its agents, is ours.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from armarius.clock import Clock
from armarius.codex.process import MARKER
from armarius.counts.scan import Scan
from armarius.counts.summary import Summary
from armarius.resources.foreign_sessions import Holding, holders_of, holdings
from armarius.rollouts.discovery import find_rollout, thread_id_of
from armarius.sessions.observe import Observations, observe

__all__ = ["holding_thread", "sessions_in", "told"]


def sessions_in(
    folders: Sequence[Path], homes: Iterable[Path], runs: frozenset[str], clock: Clock
) -> tuple[Holding, ...]:
    """Who works in the trees of these folders; `runs` are the folders of our open runs."""
    found = dict[str, Holding]()
    for home in homes:
        look = observe(home, clock)
        summaries = _live(home, look)
        ours = frozenset(s.thread_id for s in summaries if _is_ours(look, s, runs))
        held = holdings(summaries, look, clock.now_us(), ours=ours)
        found |= {one.thread_id: one for folder in folders for one in holders_of(folder, held)}
    return tuple(found[thread_id] for thread_id in sorted(found))


def holding_thread(thread_id: str, home: Path, clock: Clock) -> Holding | None:
    """A thread as long as it may go on by itself: its turn is open, or its goal is pursued."""
    look = observe(home, clock)
    path = find_rollout(home, thread_id)
    summary = None if path is None else _summary(path)
    found = () if summary is None else holdings([summary], look, clock.now_us())
    return found[0] if found else None


def told(holding: Holding) -> str:
    """A session as a reason to wait."""
    who = f"{holding.who}, process {holding.pid}" if holding.pid else holding.who
    return f"session {holding.thread_id} ({who}) works in {holding.root}: {holding.state.value} by {holding.source}"


def _live(home: Path, look: Observations) -> list[Summary]:
    """Every thread of a home that something seen now speaks of."""
    named = {thread_id for thread_id, lock in look.locks.items() if lock.is_held} | look.statuses.keys()
    named |= {thread_id for name in look.openers if (thread_id := thread_id_of(name))}
    paths = [path for thread_id in sorted(named) if (path := find_rollout(home, thread_id)) is not None]
    return [summary for path in paths if (summary := _summary(path)) is not None]


def _summary(path: Path) -> Summary | None:
    scan = Scan(path)
    try:
        scan.advance()
    except OSError:
        return None  # it ended and was moved meanwhile
    return scan.summary()


def _is_ours(look: Observations, summary: Summary, runs: frozenset[str]) -> bool:
    """Whether the process that has the thread open carries the mark of an attempt of ours."""
    pid = look.of(summary.thread_id, summary.path).pid
    if pid is None:
        return False
    try:
        marker = psutil.Process(pid).environ().get(MARKER, "")
    except (psutil.Error, OSError):
        return False
    return str(Path(marker).parent) in runs
