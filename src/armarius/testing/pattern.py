"""Regular expressions: reading them, and a short text that one matches.

Owns walking a parsed pattern and choosing, at every fork, the member that reads best. Does not own
what the text is for.
Invariant: a text that is returned was tried and matches; None means that none was found. `^` and
`$` match at every line, as they do for the judge.
"""

import importlib
import re
import warnings
from typing import Any

__all__ = ["compiled", "example_of"]

_PARSER: Any = importlib.import_module("re._parser")  # the standard library's own reader of patterns
_PLEASANT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -.,:;_/()"
_CATEGORY = {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "x"}
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_LONGEST = 400


def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern, or None when it is none of Python's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "possible nested set": the pattern's author will not read it
        try:
            return re.compile(pattern, re.MULTILINE)
        except (re.error, OverflowError, RecursionError):
            return None


def example_of(pattern: re.Pattern[str]) -> str | None:
    """A text in which `pattern` is found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = _walk(_PARSER.parse(pattern.pattern), {})
        except (LookupError, StopIteration, RecursionError):
            return None
    return text if len(text) <= _LONGEST and pattern.search(text) else None


def _walk(nodes: Any, groups: dict[int, str]) -> str:
    return "".join(_one(str(kind), argument, groups) for kind, argument in nodes)


def _one(kind: str, argument: Any, groups: dict[int, str]) -> str:
    """The text for one node; LookupError for a kind that has none."""
    if kind in _REPEATS:
        least, _, body = argument
        if least > _LONGEST:
            raise LookupError(kind)
        return "".join(_walk(body, groups) for _ in range(least))
    match kind:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return next(character for character in _PLEASANT if ord(character) != argument)
        case "ANY":
            return "x"
        case "IN":
            return _member(argument)
        case "BRANCH":
            return _walk(argument[1][0], groups)
        case "SUBPATTERN":
            groups[argument[0]] = _walk(argument[-1], groups)
            return groups[argument[0]]
        case "ATOMIC_GROUP":
            return _walk(argument, groups)
        case "GROUPREF":
            return groups[argument]
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return ""
        case _:
            raise LookupError(kind)


def _member(members: list[Any]) -> str:
    """A character of a class: the first that is named, or for an excluding class any other."""
    if str(members[0][0]) == "NEGATE":
        shunned = members[1:]
        return next(one for one in _PLEASANT if not any(_holds(member, one) for member in shunned))
    kind, argument = members[0]
    match str(kind):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case _:
            return _of_category(str(argument))


def _of_category(name: str) -> str:
    plain = name.replace("_NOT_", "_")
    return _CATEGORY[plain] if plain == name else ("-" if plain == "CATEGORY_WORD" else "x")


def _holds(member: Any, character: str) -> bool:
    kind, argument = member
    match str(kind):
        case "LITERAL":
            return ord(character) == argument
        case "RANGE":
            return argument[0] <= ord(character) <= argument[1]
        case _:
            sample = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}
            plain = str(argument).replace("_NOT_", "_")
            return bool(re.match(sample[plain], character)) is (plain == str(argument))
