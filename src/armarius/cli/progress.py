"""How a batch goes on, for the eyes of a person.

Owns the table that is painted again in its place on a terminal, and the lines for everything else. Does not
own what happens.
Invariant: nothing of it is wider than the terminal or higher, so that going up never ends elsewhere; what an
agent or a file said has no control character left in it.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import TextIO

import click

from armarius.batch.batch import ItemEnd
from armarius.clock import Clock
from armarius.runs.request import RunResult
from armarius.visible import reveal

__all__ = ["Lines", "Table", "clipped", "end_text"]

_WIDE = frozenset({"W", "F"})
_SIZE = (80, 24)
_LEAST_ROWS = 3
_LONGEST_ID = 24
_UP = "\x1b[{}F"
_WIPE = "\x1b[K"
_WIPE_BELOW = "\x1b[J"
_RANKS = {"running": 0, "waiting": 1, "failed": 2, "blocked": 3, "queued": 4}
"""Which rows are shown when there is no room for all: what goes on and what went wrong."""


class Lines:
    """A line for each thing that happens, for what is no terminal."""

    def started(self, item: str, run: str) -> None:
        _line(f"{item}: started as {run}")

    def waits(self, item: str, why: str) -> None:
        _line(f"{item}: waits: {why}")

    def ended(self, end: ItemEnd, result: RunResult | None) -> None:
        del result
        _line(f"{end.id}: {end_text(end)}")

    def tick(self) -> None:
        pass


class Table:
    """A row for each item, painted in one place of a terminal. `size` gives its columns and lines."""

    def __init__(
        self,
        items: Sequence[str],
        clock: Clock,
        out: TextIO | None = None,
        size: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._clock = clock
        self._out = out or sys.stderr
        self._size = size or self._terminal
        self._rows: dict[str, tuple[str, str]] = dict.fromkeys(items, ("queued", ""))
        self._wide = min(_LONGEST_ID, max(map(len, items), default=0))
        self._since = dict[str, int]()
        self._height = 0

    def started(self, item: str, run: str) -> None:
        self._since[item] = self._clock.monotonic_us()
        self._set(item, "running", run)

    def waits(self, item: str, why: str) -> None:
        self._set(item, "waiting", why)

    def ended(self, end: ItemEnd, result: RunResult | None) -> None:
        del result
        self._since.pop(end.id, None)
        self._set(end.id, end.state, end_text(end))

    def tick(self) -> None:
        """Paint it as it is now."""
        width, height = self._size()
        rows = self._chosen(max(_LEAST_ROWS, height - 2))
        lines = [clipped(row, width - 1) for row in rows]
        # In one write, so that no half of it is ever seen; the last column stays empty, where terminals differ.
        up = _UP.format(self._height) if self._height else ""
        self._out.write(up + "".join(f"{line}{_WIPE}\n" for line in lines) + _WIPE_BELOW)
        self._out.flush()
        self._height = len(lines)

    def clear(self) -> None:
        """Take it away again."""
        if self._height:
            self._out.write(_UP.format(self._height) + _WIPE_BELOW)
            self._out.flush()
            self._height = 0

    def _set(self, item: str, state: str, text: str) -> None:
        self._rows[item] = (state, text)
        self.tick()

    def _chosen(self, most: int) -> list[str]:
        names = list(self._rows)
        if len(names) > most - 1:
            ranked = sorted(names, key=lambda name: _RANKS.get(self._rows[name][0], len(_RANKS)))
            shown = set(ranked[: most - 1])
            names = [name for name in names if name in shown]
        rows = [self._row(name) for name in names]
        return [*rows, self._sum(len(self._rows) - len(names))]

    def _row(self, name: str) -> str:
        state, text = self._rows[name]
        if name in self._since:
            text = f"{(self._clock.monotonic_us() - self._since[name]) // 1_000_000} s  {text}"
        known = name if len(name) <= self._wide else name[: self._wide - 1] + "…"
        # The end of an item says its state itself.
        return f"{known:<{self._wide}}  {text if text.startswith(state) else f'{state}  {text}'}"

    def _sum(self, hidden: int) -> str:
        states = [state for state, _ in self._rows.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return counts + (f" ({hidden} not shown)" if hidden else "")

    def _terminal(self) -> tuple[int, int]:
        try:
            found = os.get_terminal_size(self._out.fileno())
        except OSError:
            return _SIZE
        return found.columns or _SIZE[0], found.lines or _SIZE[1]


def end_text(end: ItemEnd) -> str:
    """How an item ended, in words."""
    if end.blocked_by:
        return f"{end.state} by {', '.join(end.blocked_by)}"
    parts = [end.state + (" before" if end.is_kept else "")]
    if end.duration_us is not None:
        parts.append(f"in {end.duration_us / 1_000_000:.1f} s")
    if end.run is not None:
        parts.append(f"as {end.run}")
    return " ".join(parts) + (f": {end.problem.message}" if end.problem else "")


def clipped(text: str, width: int) -> str:
    """What of a text fits into so many columns, on one line."""
    shown = reveal(text.replace("\n", " ").replace("\t", " "))
    used, kept = 0, list[str]()
    for character in shown:
        wide = _columns(character)
        if used + wide > width:
            while kept and used > width - 1:
                used -= _columns(kept.pop())
            return "".join(kept) + "…" if width > 0 else ""
        used += wide
        kept.append(character)
    return "".join(kept)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def _line(text: str) -> None:
    click.echo(reveal(text).replace("\n", " "), err=True)
