"""The scripted model's second role: it reads failed checks and proposes rules.

Owns reading a reflection prompt and writing one ordinary English rule per kind of failed check, from
the check alone. Does not own, import or know what the worker understands: a rule is written as one
would write it for a person, and whether it helps is for the gate to find out.
Invariant: never more edits than the prompt allows; where it cannot help it proposes nothing.

A reflection prompt holds the line `ARMARIUS REFLECTION v1` and one fenced JSON block:
{"skill", "edit_budget", "failures": [{"task_id", "task", "answer", "failed": [{"op", "arg"}]}], "preferences"}.
The answer is {"edits": [{"op": "add", "anchor": null, "text", "why", "tasks"}]}. Preferences, texts of tasks
and answers are passed over: a script has no taste, and a check says best what it wants.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from armarius.testing.pattern import compiled, example_of

__all__ = ["is_reflection", "reflect"]


class _Check(msgspec.Struct, frozen=True):
    op: str
    arg: Any = None

    @property
    def label(self) -> str:
        return f"{self.op} {json.dumps(self.arg, ensure_ascii=False)}"


class _Failure(msgspec.Struct):
    failed: list[_Check]
    task_id: str = ""


class _Brief(msgspec.Struct):
    skill: str
    edit_budget: int
    failures: list[_Failure]


_WORTH_ROUNDING = 200  # characters; above it, a number that ends in 00 or 50 reads better
_TITLE = re.compile(r"^ARMARIUS REFLECTION v1\s*$", re.MULTILINE)
_BLOCK = re.compile(r"^```json\n(.*?)\n```", re.DOTALL | re.MULTILINE)


def is_reflection(prompt: str) -> bool:
    return _TITLE.search(prompt) is not None


def reflect(prompt: str) -> str:
    """The proposal for a reflection prompt, as JSON; one without edits when it cannot be read."""
    return json.dumps({"edits": _edits(prompt)}, ensure_ascii=False)


def _edits(prompt: str) -> list[dict[str, Any]]:
    block = _BLOCK.search(prompt)
    if block is None:
        return []
    try:
        brief = msgspec.json.decode(block[1], type=_Brief)
    except msgspec.MsgspecError:
        return []
    checks = {check.label: check for failure in brief.failures for check in failure.failed}
    tally = Counter(check.label for failure in brief.failures for check in failure.failed)
    edits: list[dict[str, Any]] = []
    for label, times in tally.most_common():
        rule = _rule(checks[label])
        if rule and rule not in brief.skill and len(edits) < brief.edit_budget:
            why = f"{times} of {len(brief.failures)} failing answers did not satisfy {label}"
            behind = [one.task_id for one in brief.failures if any(check.label == label for check in one.failed)]
            edits.append({"op": "add", "anchor": None, "text": rule, "why": why, "tasks": behind})
    return edits


def _rule(check: _Check) -> str:
    """A sentence or two that would make an answer satisfy `check`, or nothing."""
    match check:
        case _Check("no_refusal"):
            return "Give a direct answer to every question, also when parts of it stay uncertain."
        case _Check("section_contains", {"section": str(title), "text": str(text)}):
            return " ".join(part for part in (_heading(title), _words(text)) if part)
        case _Check(op, bool()) if op in _WRITERS_OF_SIZES:
            return ""
        case _Check(op, int(size)) if op in _WRITERS_OF_SIZES and size > 0:
            return _WRITERS_OF_SIZES[op](size)
        case _Check(op, str(text)) if op in _WRITERS_OF_TEXTS and text.strip() and "\n" not in text:
            return _WRITERS_OF_TEXTS[op](text)
        case _:
            return ""


def _quoted(text: str) -> str:
    """`text` between marks that it does not hold itself; nothing when it holds them all."""
    return next((f"{mark}{text}{mark}" for mark in '"`' if mark not in text), "")


def _heading(title: str) -> str:
    return f"Give each answer a section with the heading {shown}." if (shown := _quoted(title)) else ""


def _words(text: str) -> str:
    return f"Somewhere in the answer, include the exact words {shown}." if (shown := _quoted(text)) else ""


def _unsaid(text: str) -> str:
    return f"Never write {shown} in an answer." if (shown := _quoted(text)) else ""


def _only(text: str) -> str:
    return f"Reply with {shown} and nothing besides." if (shown := _quoted(text)) else ""


def _matching(pattern: str) -> str:
    """Ask for a line with a text that matches, placed where the pattern's anchors want it."""
    wanted = compiled(pattern)
    text = example_of(wanted) if wanted else None
    shown = _quoted(text) if text and "\n" not in text else ""
    if not wanted or not text or not shown:
        return ""
    if not wanted.search(f"Before.\n{text}\nAfter."):
        if wanted.search(f"{text}\nAfter."):
            return f"Begin the answer with {shown}."
        return f"Finish the answer with {shown}." if wanted.search(f"Before.\n{text}") else ""
    if text.rstrip().endswith((":", "=")):
        return f"Close each answer with a line that starts with {shown}, then your own estimate."
    return f"Close each answer with a line that reads {shown}."


def _shorter(limit: int) -> str:
    """A margin of a tenth: who follows the rule will not count to the last letter."""
    target = limit - limit // 10
    target -= target % 50 if target > _WORTH_ROUNDING else 0
    return f"Keep the whole answer below {target} characters, headings and all." if target > 1 else ""


def _longer(limit: int) -> str:
    return f"Write at least {limit + -(-limit // 10)} characters in every answer."


def _citing(number: int) -> str:
    return f"Cite at least {number} sources, numbered in square brackets."


def _running(tool: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", tool, re.ASCII):
        return ""
    return f"Before you answer, always run the command `{tool}` with a few words of the question."


def _leaving(tool: str) -> str:
    return f"Do not run the command `{tool}`." if re.fullmatch(r"\w[\w.-]*", tool, re.ASCII) else ""


_WRITERS_OF_TEXTS: dict[str, Callable[[str], str]] = {
    "section_present": _heading,
    "regex": _matching,
    "contains": _words,
    "not_contains": _unsaid,
    "exact": _only,
    "tool_called": _running,
    "tool_not_called": _leaving,
}
_WRITERS_OF_SIZES: dict[str, Callable[[int], str]] = {
    "max_chars": _shorter,
    "min_chars": _longer,
    "min_citations": _citing,
}
