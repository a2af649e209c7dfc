"""Session files on a disk, an index of them, and everything that the index says, to be compared.

Owns the folder, syncing, and the content of an index in an order that does not depend on its history.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import apsw
import msgspec

from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex
from armarius.sessions.search import Hit, search
from armarius.sessions.sync import Synced
from armarius.testing.clock import FakeClock

__all__ = ["DATA", "World", "as_thread", "thread_id"]

DATA = Path(__file__).parents[1] / "data" / "rollouts"

_ID = re.compile(rb'"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')

_FILES = """
SELECT id, path, thread_id, is_archived, offset, head, problem, source, cwd, model, parent_id,
    started_at_us, last_at_us, turns, responses, passages, commands, failed_commands, bad_lines, unknown, summary
FROM file WHERE gone_at_us IS NULL ORDER BY path
"""
_TURNS = "SELECT number, id, state, started_at_us, ended_at_us, model, waited_us FROM turn WHERE file = ? ORDER BY 1"
_RESPONSES = "SELECT id, at_us, model, input, cached_input, cache_write, output, reasoning FROM response WHERE file = ?"
_PASSAGES = "SELECT first, count, spots FROM passage WHERE file = ? ORDER BY first"
_WORDS = """
CREATE VIRTUAL TABLE temp.place_of_word USING fts5vocab('main', 'words', 'instance');
SELECT doc, term, offset FROM temp.place_of_word
"""


def as_thread(name: str, number: int) -> bytes:
    """A real session file under the id of a made-up thread."""
    data = (DATA / name).read_bytes()
    own = _ID.search(data)
    return data.replace(own[1], thread_id(number).encode()) if own else data


def thread_id(number: int) -> str:
    """The id of a made-up thread; a higher number is a younger thread."""
    return f"01a1f8dc-0000-7000-8000-{number:012x}"


class World:
    """A CODEX_HOME below `folder`, and an index of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "codex"
        self.place = Place("codex", self.home)
        self.clock = FakeClock()
        self._folder = folder
        self.index_file = folder / "state" / "sessions.sqlite"
        self.home.mkdir(parents=True, exist_ok=True)

    def path(self, number: int = 1, *, folder: str = "sessions/2026/11/20", suffix: str = ".jsonl") -> Path:
        """Where the session file of a thread lies; its folder is made."""
        place = self.home / folder
        place.mkdir(parents=True, exist_ok=True)
        return place / f"rollout-2026-11-20T10-00-00-{thread_id(number)}{suffix}"

    def put(self, name: str, number: int = 1, *, folder: str = "sessions/2026/11/20") -> Path:
        """A real session file, as a thread of its own."""
        path = self.path(number, folder=folder)
        path.write_bytes(as_thread(name, number))
        return path

    def opened(self) -> "contextlib.closing[SessionIndex]":
        return contextlib.closing(SessionIndex.open(self.index_file))

    def sync(self) -> Synced:
        with self.opened() as index:
            return index.sync([self.place], self.clock)

    def find(self, text: str) -> list[Hit]:
        with self.opened() as index:
            return search(index, text, index.entries([self.place]), now_us=self.clock.now_us(), most=1_000)

    def tokens(self) -> int:
        with self.opened() as index:
            return sum(usage.total for usage in index.usage_of_files().values())

    def content(self) -> list[Any]:
        """Everything in the index about files that are there, without its own numbers."""
        return _content(self.index_file)

    def fresh_content(self) -> list[Any]:
        """What an index says that was made in one go from what is there now."""
        other = World(self._folder)
        other.index_file = self._folder / "fresh" / "sessions.sqlite"
        for old in other.index_file.parent.glob("*"):
            old.unlink()
        other.sync()
        return other.content()


def _content(file: Path) -> list[Any]:
    connection: Any = apsw.Connection(str(file))
    with contextlib.closing(connection):
        words = dict[int, list[tuple[Any, ...]]]()
        for doc, *place in connection.execute(_WORDS):
            words.setdefault(doc, []).append(tuple(place))
        return [_about(connection, row, words) for row in connection.execute(_FILES).fetchall()]


def _about(connection: Any, row: tuple[Any, ...], words: dict[int, list[tuple[Any, ...]]]) -> dict[str, Any]:
    spots = list[Any]()
    for first, count, packed in connection.execute(_PASSAGES, (row[0],)):
        flat = msgspec.json.decode(packed)
        for number in range(count):
            kind, *spot = flat[4 * number : 4 * number + 4]
            # The words of a command stand in two lines, its call and its end: one that was read while it ran
            # is known by the first, which cannot be told from the file.
            spots.append((kind, [] if kind == "command" else spot, sorted(words.pop(first + number, []))))
    return {
        "file": row[1:],
        "turns": connection.execute(_TURNS, (row[0],)).fetchall(),
        "responses": sorted(connection.execute(_RESPONSES, (row[0],)).fetchall()),
        "texts": sorted(spots),
    }
