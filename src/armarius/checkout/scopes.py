"""Which paths a run may change, as patterns, and whether two runs may meet.

Owns the patterns' meaning. Does not own who waits for whom.
Invariant: two scopes overlap when and only when some path lies in both. The answer is worked out from the
patterns alone, without looking at any file, so it holds for files that nobody has made yet.

    src/*.py      one name: `*` any run of characters, `?` one, `[a-z]` and `[!a-z]` one of these or not
    src/**/test   `**` any number of folders
    docs          a path, and everything below it
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from armarius.errors import DataError

__all__ = ["check", "covers", "overlaps"]

_LAST = 0x10FFFF
_LONGEST = 4096


class _Chars(NamedTuple):
    """One character (or, as a `star`, any number of them) out of some ranges."""

    ranges: tuple[tuple[int, int], ...]
    star: bool = False


_ANY = ((0, ord("/") - 1), (ord("/") + 1, _LAST))
_Name = tuple[_Chars, ...]
_ANYTHING: _Name = (_Chars(_ANY, star=True),)
_Pattern = tuple[_Name | None, ...]
"""Names of a path from its top; None stands for any number of names."""


def check(scope: Iterable[str]) -> tuple[str, ...]:
    """The scope, when every pattern of it has a meaning; else DataError."""
    patterns = tuple(scope)
    for pattern in patterns:
        _read(pattern)
    return patterns


def overlaps(scope_a: Iterable[str], scope_b: Iterable[str]) -> bool:
    """Whether some path lies in both scopes. Nothing lies in an empty scope."""
    ours = [_read(pattern) for pattern in scope_a]
    theirs = [_read(pattern) for pattern in scope_b]
    return any(_paths_meet(one, other) for one in ours for other in theirs)


def covers(scope: Iterable[str], path: str) -> bool:
    """Whether the path, written with `/` from the repository's top, lies in the scope."""
    exact: _Pattern = tuple(_literal(name) for name in path.split("/"))
    return any(_paths_meet(_read(pattern), exact) for pattern in scope)


@lru_cache(maxsize=4096)
def _read(pattern: str) -> _Pattern:
    names = pattern.removeprefix("./").rstrip("/").split("/")
    if pattern.startswith("/") or len(pattern) > _LONGEST or "\0" in pattern or {"", ".", ".."} & set(names):
        raise DataError(
            "scope",
            f"{pattern!r} is no pattern of paths in the repository",
            "write it from the repository's top, without `..`, e.g. `src/**/*.py`",
        )
    return (*(None if name == "**" else _read_name(name) for name in names), None)


def _literal(name: str) -> _Name:
    return tuple(_Chars(((ord(char), ord(char)),)) for char in name)


def _read_name(name: str) -> _Name:
    found: list[_Chars] = []
    at = 0
    while at < len(name):
        char = name[at]
        end = name.find("]", at + (3 if name[at + 1 : at + 2] == "!" else 2)) if char == "[" else -1
        if end > 0:
            found.append(_Chars(_class(name[at + 1 : end])))
            at = end + 1
            continue
        if char == "*":
            if not (found and found[-1].star):
                found.append(_Chars(_ANY, star=True))
        else:
            found.append(_Chars(_ANY if char == "?" else ((ord(char), ord(char)),)))
        at += 1
    return tuple(found)


def _class(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges between brackets; `/` is never one of them, because names are already split."""
    others = text.startswith("!")
    text = text[1:] if others else text
    ranges: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        wide = text[at + 1 : at + 2] == "-" and at + 2 < len(text)
        ranges.append((ord(text[at]), ord(text[at + 2] if wide else text[at])))
        at += 3 if wide else 1
    if not others:
        return tuple((low, high) for low, high in ranges if low <= high)
    rest: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted((*((low, high) for low, high in ranges if low <= high), (ord("/"), ord("/")))):
        if low > start:
            rest.append((start, low - 1))
        start = max(start, high + 1)
    return (*rest, (start, _LAST)) if start <= _LAST else tuple(rest)


def _paths_meet(one: _Pattern, other: _Pattern) -> bool:
    """Walk both patterns side by side: which pairs of places can be reached by one and the same path."""
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        i, j = place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        if i == len(one) and j == len(other):
            return True
        a = one[i] if i < len(one) else ()
        b = other[j] if j < len(other) else ()
        if a is None:
            waiting.append((i + 1, j))
        if b is None:
            waiting.append((i, j + 1))
        if i < len(one) and j < len(other) and _names_meet(a or _ANYTHING, b or _ANYTHING):
            waiting.append((i if a is None else i + 1, j if b is None else j + 1))
    return False


@lru_cache(maxsize=65536)
def _names_meet(one: _Name, other: _Name) -> bool:
    """Whether one name fits both; the same walk, by characters."""
    if one == other:
        return all(char.ranges for char in one)
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        i, j = place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        if i == len(one) and j == len(other):
            return True
        a = one[i] if i < len(one) else None
        b = other[j] if j < len(other) else None
        if a and a.star:
            waiting.append((i + 1, j))
        if b and b.star:
            waiting.append((i, j + 1))
        if a and b and _share(a.ranges, b.ranges):
            waiting.append((i if a.star else i + 1, j if b.star else j + 1))
    return False


def _share(ours: tuple[tuple[int, int], ...], theirs: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= high2 and low2 <= high for low, high in ours for low2, high2 in theirs)
