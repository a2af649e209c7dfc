"""What a skill's text can ask for, as values, and the names that stand in it.

Owns `Rules`, the type of a family of rules, and reading names such as `"Key Risks" and Next Steps`.
Does not own the families.
Invariant: names are compared without regard to case, and a list never holds the same name twice.
"""

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from armarius.testing.english import ANY_QUOTE, Clause

__all__ = [
    "NAME",
    "NAMES",
    "Family",
    "Line",
    "Rules",
    "Unit",
    "any_of",
    "named",
    "pattern",
    "with_new",
    "without",
]

Unit: TypeAlias = Literal["character", "word", "sentence", "paragraph"]


class Line(msgspec.Struct, frozen=True):
    """A labelled line; an empty value is the worker's to fill."""

    label: str
    value: str = ""
    mark: str = ":"
    first: bool = False


class Rules(msgspec.Struct, frozen=True):
    """What the text asks of every answer."""

    sections: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    ceilings: dict[Unit, int] = {}
    floors: dict[Unit, int] = {}
    long: bool = False
    tools: tuple[str, ...] = ()
    opening: str = ""
    closing: str = ""
    sources: int = 0
    include: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


Family: TypeAlias = Callable[[Clause, Rules], tuple[Clause, Rules]]


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def any_of(*alternatives: str) -> str:
    """One of several patterns, as a part of a larger one."""
    return f"(?:{'|'.join(alternatives)})"


CAPITALS = r"(?-i:[A-Z][\w&'/-]*(?:(?: (?:and|of|for|the|to|in|&))* [A-Z][\w&'/-]*)*)"
NAME = rf"(?:{ANY_QUOTE}|{CAPITALS})"
NAMES = rf"{NAME}(?:(?:,? and |,? or |, then |, ){NAME})*"
_NOT_A_NAME = re.compile(
    r"^(?:(?:a|an|the|each|every|this|that|these|those|one|another|no|any|its|your|our|include|add|have|write"
    r"|use|always|put|give|make|provide|create|end|finish|close|begin|start|with|when|also|then|first"
    r"|last|final|same|single)\b ?)+",
    re.IGNORECASE,
)


def named(clause: Clause, span: str) -> list[str]:
    """The names in a span such as `"Key Risks" and Next Steps`, without words that name nothing."""
    names: list[str] = []
    for found in re.finditer(NAME, span, re.IGNORECASE):
        quoted = re.fullmatch(ANY_QUOTE, found[0])
        name = clause.words(found[0]) if quoted else _NOT_A_NAME.sub("", found[0])
        if name:
            names.append(name)
    return names


def without(items: tuple[str, ...], gone: list[str]) -> tuple[str, ...]:
    folded = {name.casefold() for name in gone}
    return tuple(item for item in items if item.casefold() not in folded)


def with_new(items: tuple[str, ...], new: list[str]) -> tuple[str, ...]:
    """`items` and then those of `new` that are not there yet."""
    result = items
    for name in new:
        if name.casefold() not in {item.casefold() for item in result}:
            result = (*result, name)
    return result
