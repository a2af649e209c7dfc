"""Bounded edits of a skill: rules of its learned block are added, replaced or deleted.

Owns which edits are fit and what becomes of them. Does not own who proposes one, nor whether it
helps: that is the gate's.
Invariant: only the learned block changes; a rule is kept byte for byte; the edits of one batch are
independent of each other, so applying a batch twice is applying it once. An edit that is unfit is
rejected with its reason and the others go on.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from armarius.skills.document import MAX_SKILL, Document, Rule, write_rule

__all__ = [
    "MAX_RULE",
    "MAX_RULES",
    "Add",
    "Applied",
    "Delete",
    "Edit",
    "Rejected",
    "Replace",
    "apply_edits",
    "hidden_character",
]

MAX_RULE = 1_500
"""Code points of a rule."""

MAX_RULES = 40
"""Rules of a block. A block that only ever grows ends up unread."""

_EDGES = " \t\r\n"

# What a reader does not see or sees elsewhere: controls, soft hyphen, zero-width and bidirectional
# marks, line and paragraph separators, fillers (a blank of braille is one), variation selectors and
# tag characters (the last two can carry a hidden text: Unicode Technical Standard 39, and "Trojan
# Source", arXiv 2111.00169).
# U+FE0F stays, because emoji end with it.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)


class _EditBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """What all edits share; `op` names the kind."""


class Add(_EditBase, frozen=True, tag="add"):
    """Put a new rule at the end of the learned block."""

    text: str


class Replace(_EditBase, frozen=True, tag="replace"):
    """Put `text` in the place of the rule that says exactly `anchor`."""

    anchor: str
    text: str


class Delete(_EditBase, frozen=True, tag="delete"):
    """Take away the rule that says exactly `anchor`."""

    anchor: str


Edit: TypeAlias = Add | Replace | Delete


class Rejected(msgspec.Struct, frozen=True):
    """An edit that was not made, and why."""

    edit: Edit
    reason: str


class Applied(msgspec.Struct, frozen=True):
    """The document after the accepted edits; equal to the one before when there are none."""

    document: Document
    accepted: tuple[Edit, ...]
    rejected: tuple[Rejected, ...]


class _Unfit(Exception):
    """The reason why an edit is rejected."""


def apply_edits(document: Document, edits: Sequence[Edit], budget: int) -> Applied:
    """Make the first `budget` edits, as far as they are fit.

    Anchors mean the rules as they were before the batch, and a rule may be named by one edit only.
    The budget counts places in the list, not successes: otherwise a second application would reach
    edits that the first did not.
    """
    reasons: dict[int, str] = {}
    named: set[str] = set()
    for place, edit in enumerate(edits):
        try:
            _check_fit(edit, place, budget, named)
        except _Unfit as unfit:
            reasons[place] = str(unfit)
        named |= _names(edit)
    rules = document.learned.rules if document.learned else ()
    # Deletions go first, so that the room they make is there for additions in the first application
    # as in the second.
    fit = [place for place in range(len(edits)) if place not in reasons]
    for place in sorted(fit, key=lambda place: _ORDER[type(edits[place])]):
        try:
            rules = _edited(rules, edits[place], document.newline)
        except _Unfit as unfit:
            reasons[place] = str(unfit)
    changed = document.with_rules(rules) if len(reasons) < len(edits) else document
    if (size := len(changed.render())) > MAX_SKILL:
        changed = document
        too_large = f"with this batch the skill would have {size:,} bytes, at most {MAX_SKILL:,} are read"
        reasons = {place: reasons.get(place, too_large) for place in range(len(edits))}
    return Applied(
        changed,
        tuple(edit for place, edit in enumerate(edits) if place not in reasons),
        tuple(Rejected(edits[place], reasons[place]) for place in sorted(reasons)),
    )


def hidden_character(text: str) -> str | None:
    """The first character that a reader would not see, as `U+200B`; line feed and tab are seen."""
    found = _HIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


_ORDER: dict[type[Edit], int] = {Delete: 0, Replace: 1, Add: 2}


def _check_fit(edit: Edit, place: int, budget: int, named: set[str]) -> None:
    if place >= budget:
        raise _Unfit(f"over the budget of {budget}")
    if named & _names(edit):
        raise _Unfit("an earlier edit of this batch names the same rule")
    if isinstance(edit, Delete):
        return
    text = _trim(edit.text)
    if not text:
        raise _Unfit("the rule is empty")
    if len(text) > MAX_RULE:
        raise _Unfit(f"the rule has {len(text):,} characters, at most {MAX_RULE:,} are allowed")
    if hidden := hidden_character(text):
        raise _Unfit(f"the rule holds the hidden character {hidden}")
    if "armarius:learned" in text.casefold():
        raise _Unfit("the rule holds the marker of the learned block")
    if any(line.strip() == "---" for line in text.split("\n")):
        raise _Unfit("the rule holds a front-matter fence '---'")


def _edited(rules: tuple[Rule, ...], edit: Edit, newline: str) -> tuple[Rule, ...]:
    match edit:
        case Add(text=text):
            _check_new(rules, text)
            if len(rules) >= MAX_RULES:
                raise _Unfit(f"the block is full: {MAX_RULES} rules")
            return (*rules, write_rule(_trim(text), newline))
        case Replace(anchor=anchor, text=text):
            place = _find(rules, anchor)
            if _trim(text) == rules[place].text:
                raise _Unfit("the rule says so already")
            before, after = rules[:place], rules[place + 1 :]
            _check_new(before + after, text)
            return (*before, write_rule(_trim(text), newline), *after)
        case Delete(anchor=anchor):
            place = _find(rules, anchor)
            return rules[:place] + rules[place + 1 :]


def _find(rules: tuple[Rule, ...], anchor: str) -> int:
    """The place of the one rule that says exactly `anchor`."""
    places = [place for place, rule in enumerate(rules) if rule.text == _trim(anchor)]
    if not places:
        raise _Unfit("no rule says exactly that")
    if len(places) > 1:
        raise _Unfit(f"ambiguous: {len(places)} rules say exactly that")
    return places[0]


def _check_new(rules: tuple[Rule, ...], text: str) -> None:
    for number, rule in enumerate(rules, 1):
        if _fold(rule.text) == _fold(text):
            raise _Unfit(f"rule {number} says so already")


def _names(edit: Edit) -> set[str]:
    """The rules that an edit speaks of, in a form that is equal for near-equal ones."""
    match edit:
        case Add(text=text):
            return {_fold(text)}
        case Replace(anchor=anchor, text=text):
            return {_fold(anchor), _fold(text)}
        case Delete(anchor=anchor):
            return {_fold(anchor)}


def _trim(text: str) -> str:
    """A rule as it is stored: line feeds alone end lines, and white space around it is not part of it."""
    return text.replace("\r\n", "\n").strip(_EDGES)


def _fold(text: str) -> str:
    """Near-duplicates fold to the same: case, spacing and a final full stop do not make a new rule."""
    return " ".join(text.casefold().split()).rstrip(".")
