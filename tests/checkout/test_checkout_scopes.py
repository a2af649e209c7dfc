"""Which paths a scope covers, and when two scopes may meet."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.checkout.scopes import check, covers, overlaps
from armarius.errors import DataError

PAIRS = [
    ("src", "src/a/b.py", True),
    ("src/", "src", True),
    ("src", "srcs", False),
    ("src/*.py", "src/*.md", False),
    ("src/*.py", "src/a*", True),
    ("src/*.py", "src/a.py/inner", True),  # a name may turn out to be a folder
    ("src/a*", "src/b*", False),
    ("src/*a", "src/b*", True),
    ("**", "anything/at/all", True),
    ("**/tests", "src/tests/x", True),
    ("**/tests/*.py", "src/**/*.md", True),  # tests/x.py/y.md
    ("a/**/z", "a/z", True),
    ("a/**/z", "b/**/z", False),
    ("a/?.c", "a/xx.c", False),
    ("a/[a-c].c", "a/[c-d].c", True),
    ("a/[a-c].c", "a/[!a-c].c", False),
    ("a/[].c", "a/[].c", True),  # an unfinished bracket is a bracket
    ("*.PY", "*.py", False),
    ("caf\udce9", "caf*", True),
    ("*a*a*a*a*a*a*a*a*b", "a" * 60, False),
]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_two_patterns_meet_when_a_path_fits_both(one: str, other: str, expected: object) -> None:
    assert overlaps([one], [other]) is expected
    assert overlaps([other], ["elsewhere", one]) is expected


@pytest.mark.parametrize("bad", ["", "/etc", "../x", "a/../b", "a//b", ".", "a/./b", "a\0b", "a/" * 5000])
def test_a_pattern_without_a_meaning_is_refused(bad: str) -> None:
    with pytest.raises(DataError, match="pattern"):
        check(["fine", bad])


def test_an_empty_scope_meets_and_covers_nothing() -> None:
    assert not overlaps([], ["**"])
    assert not covers([], "a")


def as_regex(pattern: str) -> "re.Pattern[str]":
    """The same meaning, said in another way."""
    out = ""
    for name in pattern.split("/"):
        part = {"*": "[^/]*", "?": "[^/]"}
        out += "(?:[^/]+/)*" if name == "**" else "".join(part.get(char, char) for char in name) + "/"
    return re.compile(out + "(?:[^/]+/)*")


names = st.text("ab*?", min_size=1, max_size=3).filter(lambda name: name != "**") | st.just("**")
patterns = st.lists(names, min_size=1, max_size=3).map("/".join)
PATHS = [
    "/".join(path)
    for depth in (1, 2, 3)
    for path in itertools.product(("a", "b", "ab", "ba", "aab", "abb", "bab"), repeat=depth)
]


def fits(pattern: str, path: str) -> bool:
    return as_regex(pattern.replace("***", "*")).fullmatch(f"{path}/") is not None


@given(patterns, st.sampled_from(PATHS))
def test_a_scope_covers_exactly_the_paths_that_fit(pattern: str, path: str) -> None:
    assert covers([pattern], path) == fits(pattern, path)


@given(patterns, patterns)
def test_scopes_overlap_whenever_some_path_lies_in_both(one: str, other: str) -> None:
    if any(fits(one, path) and fits(other, path) for path in PATHS):
        assert overlaps([one], [other])


@given(patterns, patterns)
def test_scopes_that_overlap_have_a_path_in_both(one: str, other: str) -> None:
    """The other way round; among the paths up to six names that these short patterns can tell apart."""
    if overlaps([one], [other]):
        words = ["a", "b", "aa", "ab", "ba", "bb", "aaa", "aab", "aba", "abb", "baa", "bab", "bba", "bbb"]
        longer = ["".join(word) for size in (4, 5, 6) for word in itertools.product("ab", repeat=size)]
        assert _some_path(one, other, [*words, *longer])


def _some_path(one: str, other: str, words: list[str]) -> bool:
    for depth in range(1, 7):
        fitting = [
            [
                word
                for word in words
                if any(fits_name(pattern, word) for pattern in (*one.split("/"), *other.split("/")))
            ]
            for _ in range(depth)
        ]
        few = [_telling(found, one, other) for found in fitting]
        if any(fits(one, "/".join(path)) and fits(other, "/".join(path)) for path in itertools.product(*few)):
            return True
    return False


def fits_name(pattern: str, word: str) -> bool:
    return pattern == "**" or fits(pattern, word)


def _telling(found: list[str], one: str, other: str) -> list[str]:
    """One word for every set of names that it fits."""
    named = (*one.split("/"), *other.split("/"))
    return list({tuple(fits_name(pattern, word) for pattern in named): word for word in found}.values())
