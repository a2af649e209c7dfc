"""The last things that happened in a thread, and what happens next.

Owns which items are news, and finding a session file again that was archived, compressed or replaced.
Does not own waiting, nor how an item is shown.
Invariant: an item is news once when it is met and once more when it has ended; where the file lies,
and how often it is read anew, makes no difference to that.
"""

from collections.abc import Callable, Iterator

import msgspec

from armarius.sessions.names import Named
from armarius.sessions.reading import SessionReader, reader_at_end
from armarius.thread import Command, FileChange, Item, ItemStatus, Thread, ToolCall

__all__ = ["Follower", "News"]


class News(msgspec.Struct, frozen=True):
    """One thing that happened (`armarius.item.v1`). `turn` is the id of its turn."""

    thread: str
    turn: str
    item: Item
    schema: str = "armarius.item.v1"


class Follower:
    """One thread, from its last items on. `find` looks for its file again when it is gone."""

    def __init__(self, named: Named, last: int, find: Callable[[], Named | None]) -> None:
        """Read the end of the file; OSError when it cannot be opened."""
        self._find = find
        self._last = last
        self._shown = dict[str, bool]()
        self._reader: SessionReader = reader_at_end(named.path, lambda thread: len(list(_items(thread))) >= last)

    def last(self) -> list[News]:
        """The last items that there are."""
        found = self._news()
        return found[max(0, len(found) - self._last) :]

    def next(self) -> list[News]:
        """What is new since; FileNotFoundError while there is no such file anywhere."""
        try:
            is_new = self._reader.advance()
        except FileNotFoundError:
            named = self._find()
            if named is None:
                raise
            self._reader = reader_at_end(named.path, lambda thread: any(i.id in self._shown for _, i in _items(thread)))
            is_new = True
        return self._news() if is_new else []

    def _news(self) -> list[News]:
        thread = self._reader.thread()
        found = list[News]()
        for turn, item in _items(thread):
            is_over = _is_over(item)
            if self._shown.get(item.id) in {None, False} and (is_over or item.id not in self._shown):
                found.append(News(thread.id, turn, item))
                self._shown[item.id] = is_over
        return found


def _items(thread: Thread) -> Iterator[tuple[str, Item]]:
    return ((turn.id, item) for turn in thread.turns for item in turn.items)


def _is_over(item: Item) -> bool:
    if isinstance(item, ToolCall):
        return item.output is not None
    return not (isinstance(item, Command | FileChange) and item.status is ItemStatus.IN_PROGRESS)
