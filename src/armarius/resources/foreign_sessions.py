"""Live sessions that are not ours hold the repository they work in.

Owns which sessions do, and which folders that closes to a writer. Does not own how a state is known
(sessions/state.py) nor looking (sessions/observe.py).
Invariant: pure, but for resolving paths. A thread that may go on by itself holds; one that is only
loaded, or waits for its next prompt, does not; of one whose state nobody knows, a living process decides.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from armarius.counts.summary import Summary
from armarius.sessions.observe import Observations
from armarius.sessions.seen import Seen
from armarius.sessions.state import Standing, standing_of
from armarius.settings import project_root
from armarius.thread import State

__all__ = ["Holding", "holders_of", "holdings"]

_BUSY = {State.RUNNING, State.WAITING_APPROVAL, State.WAITING_INPUT}
_PURSUED = "active"
_THERE = {"held", "open"}


class Holding(msgspec.Struct, frozen=True):
    """A session that works in `root`, and how that is known."""

    root: str
    thread_id: str
    state: State
    source: str
    pid: int | None
    who: str


def holdings(
    summaries: Iterable[Summary], look: Observations, now_us: int, *, ours: frozenset[str] = frozenset()
) -> tuple[Holding, ...]:
    """The working trees that live threads hold; `ours` are the threads that we started and answer for."""
    found = list[Holding]()
    for summary in summaries:
        if summary.thread_id in ours or not summary.cwd or "\0" in summary.cwd:
            continue
        seen = look.of(summary.thread_id, summary.path)
        standing = standing_of(summary, seen, now_us)
        if _holds(summary, seen, standing):
            root = str(project_root(Path(os.path.realpath(summary.cwd))))
            who = summary.originator or summary.source or "codex"
            found.append(Holding(root, summary.thread_id, standing.state, standing.source, seen.pid, who))
    return tuple(found)


def holders_of(folder: Path, held: Sequence[Holding]) -> tuple[Holding, ...]:
    """Who holds the working tree that `folder` lies in, or one that lies around or inside of it."""
    root = project_root(Path(os.path.realpath(folder)))
    return tuple(
        holding for holding in held if root.is_relative_to(holding.root) or Path(holding.root).is_relative_to(root)
    )


def _holds(summary: Summary, seen: Seen, standing: Standing) -> bool:
    if standing.state in _BUSY:
        return True
    is_loaded = seen.app_server is not None and seen.app_server.kind != "notLoaded"
    if not (is_loaded or seen.presence in _THERE):
        return False
    # What waits in its queue, or is left of a goal, a loaded thread begins by itself.
    return standing.state in {State.UNKNOWN, State.QUEUED} or summary.goal_status == _PURSUED
