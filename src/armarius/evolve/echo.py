"""Is a rule the judge's own words?

Owns the comparison. Does not own what becomes of such a rule.
Invariant: short names that an answer needs (a heading, a tool, a label) are free; what is refused is a run of
words or a pattern that a judge looks for, which a skill could hand out without the work being done.
"""

import re
from collections.abc import Iterable, Iterator

from armarius.evolve.checks import Rubric
from armarius.evolve.judge import Check, Contains, Exact, NotContains, Regex, SectionContains
from armarius.evolve.tasks import Task

__all__ = ["MOST_WORDS", "echoed"]

MOST_WORDS = 5
"""Words in a row that a rule and a judge may share."""

_WORD = re.compile(r"\w+")
_META = re.compile(r"[\\\[\](){}|*+?^$]")
_LEAST_PATTERN = 6
_ANSWER_WORDS = 2


def echoed(rule: str, tasks: Iterable[Task]) -> str | None:
    """What of a judge stands in the rule; None when nothing does."""
    words = [word.casefold() for word in _WORD.findall(rule)]
    runs = set(_runs(words, MOST_WORDS + 1))
    said = f" {' '.join(words)} "
    for task in tasks:
        for check in task.judge.checks:
            if isinstance(check, Regex) and len(check.arg) >= _LEAST_PATTERN and _META.search(check.arg):
                if check.arg in rule:
                    return f"a pattern of the judge of {task.task_id}"
                continue
            literal = [word.casefold() for word in _WORD.findall(_literal(check))]
            if any(run in runs for run in _runs(literal, MOST_WORDS + 1)):
                return f"more than {MOST_WORDS} words in a row of the judge of {task.task_id}"
            if isinstance(check, Exact) and _is_answer(literal) and f" {' '.join(literal)} " in said:
                return f"the answer of {task.task_id}"
    return None


def _literal(check: Check) -> str:
    match check:
        case Contains(arg=text) | NotContains(arg=text) | Exact(arg=text):
            return text
        case SectionContains(arg=section):
            return section.text
        case Rubric(arg=wanted):
            return wanted.text
        case _:
            return ""


def _is_answer(words: list[str]) -> bool:
    """Whether words are more than a yes or a no."""
    return len(words) >= _ANSWER_WORDS or any(character.isdigit() for word in words for character in word)


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))
