"""A thread at a glance: what it is for, how long it has been quiet, and what was said last.

Owns what a glance shows. Does not own reading the end of the file (`reading`) or the state (`state`).
Invariant: pure; nothing here was read from more than the end of the file, and what is not there is
not guessed.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from armarius.sessions.state import Standing
from armarius.sessions.transcript import duration
from armarius.thread import AgentMessage, Goal, Thread, UserMessage

__all__ = ["Brief", "Said", "brief_lines", "brief_of", "shows_enough"]

_MESSAGES: Final = 5


class Said(msgspec.Struct, frozen=True):
    """A message. `by` is `user` or `agent`."""

    by: str
    text: str
    at_us: int | None


class Brief(msgspec.Struct, frozen=True):
    """The end of a thread (`armarius.brief.v1`). `idle_us` is the time since its last record."""

    id: str
    path: str
    standing: Standing
    goal: Goal | None
    idle_us: int | None
    messages: tuple[Said, ...]
    cwd: str | None
    schema: str = "armarius.brief.v1"


def brief_of(thread: Thread, standing: Standing, goal: Goal | None, now_us: int) -> Brief:
    """A glance at the end of a thread. `goal` is what another source knows of it; the newer one counts."""
    said = _said(thread)
    goals = [each for each in (thread.goal, goal) if each is not None]
    return Brief(
        thread.id,
        thread.path,
        standing,
        max(goals, key=lambda each: each.at_us or 0, default=None),
        None if thread.last_at_us is None else max(0, now_us - thread.last_at_us),
        tuple(said[-_MESSAGES:]),
        thread.cwd,
    )


def shows_enough(thread: Thread) -> bool:
    """Whether so much of a thread was read that a glance is complete."""
    return len(_said(thread)) >= _MESSAGES


def _said(thread: Thread) -> list[Said]:
    return [
        Said("user" if isinstance(item, UserMessage) else "agent", item.text, item.at_us)
        for turn in thread.turns
        for item in turn.items
        if isinstance(item, UserMessage | AgentMessage)
    ]


def brief_lines(brief: Brief) -> Iterator[str]:
    """A glance on a terminal."""
    goal = brief.goal
    yield f"goal ({goal.status}): {goal.objective}" if goal else "no goal"
    idle = duration(0, brief.idle_us)
    yield f"{brief.cwd or '?'} · last record {idle} ago" if idle else f"{brief.cwd or '?'}"
    for said in brief.messages:
        yield ""
        margin = "> " if said.by == "user" else ""
        yield from (margin + line for line in said.text.splitlines() or [""])
