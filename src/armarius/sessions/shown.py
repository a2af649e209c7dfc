"""One session, looked at now: all of it, or a glance.

Owns putting together what stands in the file and what the thread is doing. Does not own either.
Invariant: a glance reads the end of the file and no more of it.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.counts.whole import summary_of
from armarius.sessions.brief import Brief, brief_of, shows_enough
from armarius.sessions.names import Named
from armarius.sessions.observe import Observations
from armarius.sessions.reading import read_session, reader_at_end, refuse_others
from armarius.sessions.state import Seen, Standing, standing_of
from armarius.thread import Goal, Thread

__all__ = ["Shown", "glance", "show"]


class Shown(msgspec.Struct, frozen=True):
    """One session whole (`armarius.session.v1`). `name` is what it was called in Codex."""

    id: str
    name: str | None
    standing: Standing
    thread: Thread
    schema: str = "armarius.session.v1"


Look = Callable[[Path], Observations]
"""Looks at a CODEX_HOME."""


def show(named: Named, clock: Clock, look: Look) -> Shown:
    """All that is known of a session; OSError when its file cannot be opened, DataError when it is none."""
    refuse_others(named.path)
    seen = _seen(named, look)
    thread = read_session(named)
    standing, _ = _standing(named, thread, seen, clock)
    return Shown(thread.id, named.name, standing, thread)


def glance(named: Named, clock: Clock, look: Look) -> Brief:
    """What a session is for and what was said last; errors as `show` has them."""
    refuse_others(named.path)
    seen = _seen(named, look)
    thread = reader_at_end(named.path, shows_enough).thread()
    standing, goal = _standing(named, thread, seen, clock)
    return brief_of(thread, standing, goal, clock.now_us())


def _seen(named: Named, look: Look) -> Observations | None:
    """What can be seen besides the file, looked at before it is read; None where there is nobody to ask."""
    return look(named.place.path) if named.place is not None and named.place.kind == "codex" else None


def _standing(named: Named, thread: Thread, seen: Observations | None, clock: Clock) -> tuple[Standing, Goal | None]:
    summary, now_us = summary_of(thread), clock.now_us()
    if seen is None:  # what the file says is all
        changed_us = named.path.stat().st_mtime_ns // 1_000
        return standing_of(summary, Seen(at_us=now_us, changed_us=changed_us), now_us), None
    return standing_of(summary, seen.of(thread.id, str(named.path)), now_us), seen.goals.get(thread.id)
