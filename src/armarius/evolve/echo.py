"""Is a rule, or are rules one after the other, the judge's own words?

Owns the comparison. Does not own what becomes of such a rule.
Invariant: short names that an answer needs (a heading, a tool, a label) are free; what is refused is a run of
words or a pattern that a judge looks for, which a skill could hand out without the work being done.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from armarius.evolve.checks import CommandPasses, FileHolds, JsonSchema, Qrels, Rubric
from armarius.evolve.judge import Check, Contains, Exact, NotContains, Regex, SectionContains
from armarius.evolve.tasks import Task

__all__ = ["MOST_WORDS", "echoed", "echoed_together"]

MOST_WORDS = 5
"""Words in a row that a rule and a judge may share."""

_MOST_UNSPACED = 11
"""Characters in a row of a language that has no spaces."""

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3005\u3040-\u30ff\u3400-\u9fff]+")
_META = re.compile(r"[\\[\](){}|*+?^$]")
_CLASS = re.compile(r"\\[A-Za-z]|\(\?(?:P?<\w*>?|[a-zA-Z-]*[:)])")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_LEAST_PATTERN = 6
_ANSWER_WORDS = 2


def echoed(rule: str, tasks: Iterable[Task]) -> str | None:
    """What of a judge, the hidden one too, stands in the rule; None when nothing does."""
    return next((f"{what} of {task}" for task, _, what in _echoes(rule, tasks)), None)


def echoed_together(before: Iterable[str], after: Iterable[str], tasks: Sequence[Task]) -> str | None:
    """What of a judge stands in the rules one after the other, and did not before they were changed."""
    known = set(_echoes("\n".join(before), tasks))
    found = (one for one in _echoes("\n".join(after), tasks) if one not in known)
    return next((f"{what} of {task}" for task, _, what in found), None)


def _echoes(text: str, tasks: Iterable[Task]) -> Iterator[tuple[str, int, str]]:
    """The task, the number of its check and what of it stands in the text."""
    said = _Said(text)
    for task in tasks:
        checks = (*task.judge.checks, *(task.hidden_judge.checks if task.hidden_judge else ()))
        for number, check in enumerate(checks):
            if (what := said.of(check)) is not None:
                yield task.task_id, number, what


class _Said:
    """A rule, ready to be compared."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._plain = f" {' '.join(rule.casefold().split())} "
        words = _words(rule)
        self._words = f" {' '.join(words)} "
        self._runs = set(_runs(words))
        self._unspaced = set(_unspaced_runs(rule))

    def of(self, check: Check) -> str | None:
        """What of a check it holds."""
        if isinstance(check, Regex) and _is_pattern(check.arg) and check.arg in self._rule:
            return "a pattern of the judge"
        for text in _literals(check):
            if any(run in self._runs for run in _runs(_words(text))):
                return f"more than {MOST_WORDS} words in a row of the judge"
            if not self._unspaced.isdisjoint(_unspaced_runs(text)):
                return f"more than {_MOST_UNSPACED} characters in a row of the judge"
        if (
            isinstance(check, Exact)
            and _is_answer(literal := _words(check.arg))
            and f" {' '.join(literal)} " in self._words
        ):
            return "the answer"
        if isinstance(check, Qrels) and any(self._names(slug) for slug in check.arg.expected):
            return "the answer"
        return None

    def _names(self, slug: str) -> bool:
        """Whether a slug of several words stands in it as it is spelt."""
        spelt = re.escape(slug.casefold().removesuffix(".md"))
        return len(_WORD.findall(slug)) >= _ANSWER_WORDS and bool(
            re.search(rf"(?<![\w-]){spelt}(?![\w-])", self._plain)
        )


def _literals(check: Check) -> Iterator[str]:
    """The texts that a check looks for."""
    match check:
        case Contains(arg=text) | NotContains(arg=text) | Exact(arg=text):
            yield text
        case SectionContains(arg=section):
            yield section.text
        case Regex(arg=pattern):
            yield _CLASS.sub(" ", pattern)
        case Rubric(arg=wanted):
            yield wanted.text
        case FileHolds(arg=file):
            yield file.contains or ""
        case CommandPasses(arg=command):
            yield from _spoken(command.argv)
        case JsonSchema(arg=schema):
            yield from _values_of(schema)
        case _:
            return


def _spoken(argv: tuple[str, ...]) -> Iterator[str]:
    """What a command is given to look for; its own words are those by which anybody would run it."""
    for before, word in itertools.pairwise(argv):
        if before.endswith("c") and before.startswith("-"):
            yield from (found[1:-1] for found in _QUOTED.findall(word))
        else:
            yield word


def _values_of(schema: Any, *, wanted: bool = False) -> Iterator[str]:
    """The values that a schema asks for, and not the names of its fields."""
    if isinstance(schema, str):
        if wanted:
            yield schema
    elif isinstance(schema, list):
        for one in schema:  # pyright: ignore[reportUnknownVariableType] - JSON
            yield from _values_of(one, wanted=wanted)
    elif isinstance(schema, dict):
        for key, value in schema.items():  # pyright: ignore[reportUnknownVariableType] - JSON
            yield from _values_of(value, wanted=wanted or key in ("const", "enum", "pattern", "default", "examples"))


def _is_pattern(text: str) -> bool:
    return len(text) >= _LEAST_PATTERN and bool(_META.search(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _is_answer(words: list[str]) -> bool:
    """Whether words are more than a yes or a no."""
    return len(words) >= _ANSWER_WORDS or any(character.isdigit() for word in words for character in word)


def _runs(words: list[str]) -> Iterator[tuple[str, ...]]:
    length = MOST_WORDS + 1
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))


def _unspaced_runs(text: str) -> Iterator[str]:
    length = _MOST_UNSPACED + 1
    for run in _UNSPACED.findall(unicodedata.normalize("NFKC", text)):
        yield from (run[at : at + length] for at in range(len(run) - length + 1))
