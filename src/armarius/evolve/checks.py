"""Checks that read an answer as data, or look beyond it: at commands, files and a model's opinion.

Owns their forms, what of them can be refused when a task file is read, and the reading of an answer as
JSON and as a ranked list. Does not own starting a program or a model (`outside`).
Invariant: a check that exists can be applied: its schema is one, its paths stay inside the workspace,
its program is named.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from armarius.errors import DataError
from armarius.runs.answer import check_answer, check_schema

__all__ = [
    "CheckBase",
    "CommandPasses",
    "FileHolds",
    "JsonSchema",
    "Qrels",
    "Ranking",
    "Rubric",
    "WantedCommand",
    "WantedFile",
    "WantedQuality",
    "missing_slugs",
    "unfit",
]

_Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2_000)]
_Word: TypeAlias = Annotated[str, Meta(max_length=4_000, pattern=r"^[^\u0000]*$")]
_Slug: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]


class CheckBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """What all checks share; `op` names the operator."""

    @property
    def op(self) -> str:
        return str(self.__struct_config__.tag)


class WantedCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program with its arguments, without a shell, and how it must end. `timeout_s` is a failure when it passes."""

    argv: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=200)]
    exit_code: Annotated[int, Meta(ge=0, le=255)] = 0
    timeout_s: Annotated[float, Meta(gt=0, le=3_600)] = 60.0

    def __post_init__(self) -> None:
        if not self.argv[0].strip():
            raise ValueError("the first word of argv names the program, and it is blank")


class CommandPasses(CheckBase, frozen=True, tag="command"):
    """The command ends so in the workspace that the agent left, inside a sandbox without network."""

    arg: WantedCommand


class WantedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the workspace. `contains` is a text in it, to the letter; `absent` that it must not be there."""

    path: _Text
    contains: _Text | None = None
    absent: bool = False

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or "\0" in self.path or not path.parts:
            raise ValueError(f"{self.path!r} is no path inside the workspace")
        if self.absent and self.contains is not None:
            raise ValueError("a file that must be absent contains nothing")


class FileHolds(CheckBase, frozen=True, tag="file"):
    """A file that the agent left, or was to remove; links are not followed out of the workspace."""

    arg: WantedFile


_ANNOTATIONS = frozenset(
    {
        *("$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"),
        *("examples", "format", "readOnly", "title", "writeOnly"),
    }
)
"""What a schema says without asking for anything."""


class JsonSchema(CheckBase, frozen=True, tag="json_schema"):
    """The answer is JSON, by itself or as one fenced block, and fits the schema."""

    arg: dict[str, Any]

    def __post_init__(self) -> None:
        if _ANNOTATIONS.issuperset(self.arg):
            what = "asks for nothing" if self.arg else "is empty"
            raise ValueError(f"the schema {what}, so every answer would fit")
        try:
            check_schema(self.arg, "the schema")
        except DataError as error:
            raise ValueError(error.message) from error


class Ranking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a search should have found: `least` of the expected slugs (all, unless said) among the first `top`."""

    expected: Annotated[tuple[_Slug, ...], Meta(min_length=1, max_length=1_000)]
    top: Annotated[int, Meta(ge=1, le=1_000)] = 10
    least: Annotated[int, Meta(ge=1, le=1_000)] | None = None

    def __post_init__(self) -> None:
        if len(set(map(_fold, self.expected))) != len(self.expected):
            raise ValueError("an expected slug is there twice")
        if self.wanted > min(len(self.expected), self.top):
            raise ValueError(f"{self.wanted} of {len(self.expected)} slugs cannot be among the first {self.top}")

    @property
    def wanted(self) -> int:
        return len(self.expected) if self.least is None else self.least


class Qrels(CheckBase, frozen=True, tag="qrels"):
    """The answer names the expected slugs among its first references."""

    arg: Ranking


class WantedQuality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes an answer good, in words; `least` is the rating from 0 to 1 that it must get."""

    text: Annotated[str, Meta(min_length=1, max_length=8_000)]
    least: Annotated[float, Meta(gt=0, le=1)] = 0.8

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("the rubric is blank, so nothing is asked for")


class Rubric(CheckBase, frozen=True, tag="rubric"):
    """A model that sees the task, the rubric and the answer rates it high enough."""

    arg: WantedQuality


_FENCED = re.compile(r"\A```[\w-]*\n(.*)\n```\Z", re.DOTALL)


def unfit(schema: dict[str, Any], answer: str) -> str | None:
    """Why an answer does not fit a schema; None when it does."""
    _, reason = check_answer(_unfenced(answer), schema)
    return reason


def _unfenced(answer: str) -> str:
    """What stands in the one block that an answer is; the answer itself where it is none."""
    answer = answer.replace("\r\n", "\n").strip()
    block = _FENCED.match(answer)
    return block[1] if block and "\n```" not in block[1] else answer


# A reference is a wiki link, the goal of a Markdown link, code, or a bare word with a hyphen, slash or underscore.
_REFERENCE = re.compile(
    r"\[\[([^\]\[|#\n]{1,200})[^\]\[\n]{0,200}\]\]|\]\(([^()\s]{1,300})\)|`([^`\s]{1,200})`"
    r"|^[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+[*_]{0,2}([\w./-]{1,200}?)[*_]{0,2}[ \t]*$"
    r"|(?<![\w/.-])([A-Za-z0-9][A-Za-z0-9]{0,80}(?:[-_/][A-Za-z0-9]{1,80}){1,20}(?:\.md)?)",
    re.MULTILINE,
)
"""Links, code, an entry of a list that is one word, and words that are joined as a slug is."""


def missing_slugs(wanted: Ranking, answer: str) -> tuple[int, list[str]]:
    """How many of the expected slugs are among the first references of an answer, and those that are not.

    An answer that is a JSON array of texts is such a list by itself.
    """
    first = list[str]()
    for reference in _references(answer):
        if len(first) == wanted.top:
            break
        if reference not in first:
            first.append(reference)
    # A slug may be expected with its folder or without.
    names = {*first, *(name.rpartition("/")[2] for name in first)}
    missing = [slug for slug in wanted.expected if _fold(slug) not in names]
    return len(wanted.expected) - len(missing), missing


def _references(answer: str) -> Iterator[str]:
    try:
        listed = msgspec.json.decode(_unfenced(answer), type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        found = _REFERENCE.finditer(answer)
        listed = [next(filter(None, reference.groups())).strip() for reference in found]
    return map(_fold, listed)


def _fold(slug: str) -> str:
    return unicodedata.normalize("NFC", slug).strip().removesuffix(".md").removeprefix("./").strip("/").casefold()
