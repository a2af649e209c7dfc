"""Words are found again in what was said and run.

Owns what a person may type, the ranking, and the snippet. Does not own the index of words.
Invariant: any text is a valid search and means what it says; a snippet is read from its source at
that moment, and where the source is gone or another by now, the hit says so and shows nothing.

    two words       both occur, in any order
    "two words"     they follow each other
    begin*          a word that begins so

Case, accents and punctuation do not count: `foo_bar` is `foo` followed by `bar`. There are no
operators; `AND`, `-x` and `a:b` are words like any other. Better matches come first, and of two that
match alike the newer: a session of today counts double, one of a month ago one and a half.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from armarius.rollouts.opening import open_rollout
from armarius.sessions.index import Entry, SessionIndex
from armarius.sessions.index_rows import QUERIES

__all__ = ["Hit", "Phrase", "Source", "phrases", "search"]

Source: TypeAlias = Literal["present", "changed", "gone", "unreadable"]

_PIECE = re.compile(r'"([^"]*)(?:"|$)(\*?)|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")
_MOST_PHRASES: Final = 64
_LONGEST_PHRASE: Final = 1_000
_LONGEST_LINE: Final = 8 << 20
_CHUNK: Final = 64 << 10
_AROUND: Final = 70
_SAID = ("text", "message", "content", "command", "cmd", "input", "script")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One place where the words occur. `source` says whether `snippet` could be read from it."""

    thread_id: str
    title: str
    kind: str
    at_us: int | None
    path: str
    byte: int
    size: int
    source: Source
    snippet: str


class Phrase(msgspec.Struct, frozen=True):
    """Words that follow each other; the last one may only begin so."""

    text: str
    is_beginning: bool

    @property
    def fts(self) -> str:
        """As FTS5 takes it: within quotes nothing has a meaning of its own."""
        return '"' + self.text.replace('"', '""') + '"' + ("*" if self.is_beginning else "")

    @property
    def words(self) -> list[str]:
        """What stands in a text where the phrase does."""
        return _WORD.findall(_folded(self.text))


def phrases(text: str) -> list[Phrase]:
    """What is looked for. What has no letter or digit says nothing; of more than 64 the first count."""
    found = dict[Phrase, None]()
    for match in _PIECE.finditer(text):
        quoted, star, word = match.groups()
        if quoted is None:
            quoted, star = word.rstrip("*"), "*" if word.endswith("*") else ""
        plain = quoted[:_LONGEST_PHRASE].replace("\0", " ").encode(errors="replace").decode()
        if any(letter.isalnum() for letter in plain):
            found[Phrase(plain, bool(star))] = None
    return list(found)[:_MOST_PHRASES]


def search(index: SessionIndex, text: str, entries: Sequence[Entry], *, now_us: int, most: int) -> list[Hit]:
    """The best `most` places in the files of `entries`."""
    wanted = phrases(text)
    if not wanted:
        return []
    by_file = {entry.file: entry for entry in entries}
    files = msgspec.json.encode(list(by_file)).decode()
    query = " ".join(phrase.fts for phrase in wanted)
    words = [word for phrase in wanted for word in phrase.words]
    rows = index.rows(QUERIES.search, now_us, query, files, most)
    return [_hit(by_file[row[0]], row, words) for row in rows]


def _hit(entry: Entry, row: tuple[Any, ...], words: list[str]) -> Hit:
    _, kind, byte, size, at_us = row
    source, snippet = _snippet(entry, byte, size, words)
    return Hit(
        thread_id=entry.thread_id,
        title=entry.summary.title,
        kind=kind,
        at_us=at_us if at_us is not None else entry.summary.last_at_us,
        path=str(entry.path),
        byte=byte,
        size=size,
        source=source,
        snippet=snippet,
    )


def _snippet(entry: Entry, byte: int, size: int, words: list[str]) -> tuple[Source, str]:
    """The words with what stands around them, read from the file now."""
    try:
        line = _line(entry.path, byte, size)
    except FileNotFoundError:
        return "gone", ""
    except OSError:
        return "unreadable", ""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(line, words)  # a line with wrong bytes in it was read all the same
    best = max(_strings(value), key=lambda found: _merit(*found, words), default=("", ""))
    return ("present", _window(best[1], words)) if _count(best[1], words) else ("changed", "")


def _torn(line: bytes, words: list[str]) -> tuple[Source, str]:
    text = line.decode(errors="replace")
    return ("present", _window(text, words)) if _count(text, words) == len(words) else ("changed", "")


def _line(path: Path, byte: int, size: int) -> bytes:
    """The line that begins there; up to its end when its size is not known."""
    data = b""
    with open_rollout(path) as stream:
        stream.seek(byte)
        most = min(size or _LONGEST_LINE, _LONGEST_LINE)
        while len(data) < most and (more := stream.read(min(most - len(data), _CHUNK))):
            data += more
            if not size and b"\n" in more:
                break
    return data if size else data.partition(b"\n")[0]


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Every string in a record with the key that it stands under, also within arguments of a call."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        key, inner = stack.pop()
        if isinstance(inner, dict):
            stack += cast("dict[str, Any]", inner).items()
        elif isinstance(inner, list):
            stack += [(key, one) for one in cast("list[Any]", inner)]
        elif isinstance(inner, str):
            yield key, inner
            if key == "arguments" and inner.startswith("{"):
                with contextlib.suppress(msgspec.DecodeError, RecursionError):
                    stack.append(("", msgspec.json.decode(inner)))


def _merit(key: str, text: str, words: list[str]) -> tuple[int, bool]:
    return _count(text, words), key in _SAID


def _count(text: str, words: list[str]) -> int:
    folded = _folded(text)
    return sum(word in folded for word in words)


def _window(text: str, words: list[str]) -> str:
    """The part of a text around the first of the words, on one line."""
    folded = _folded(text)
    at = min((place for word in words if (place := folded.find(word)) >= 0), default=0)
    begin, end = max(0, at - _AROUND), at + 2 * _AROUND
    middle = " ".join(text[begin:end].split())
    return ("… " if begin else "") + middle + (" …" if end < len(text) else "")


def _folded(text: str) -> str:
    """The text without case and accents, letter by letter as long as it was."""
    if text.isascii():
        return text.lower()
    return "".join(unicodedata.normalize("NFD", letter)[0].lower()[:1] for letter in text)
