"""How long a clause lets an answer be.

Owns the family `length` of the table in `grammar.py`, and reading amounts.
Invariant: a bound holds for the whole answer, and includes its number ("under 10" is at most 9).
"""

import re

import msgspec

from armarius.testing.english import Clause
from armarius.testing.grammar_values import Rules, Unit, any_of, pattern

__all__ = ["NUMBER", "length", "value"]

_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORTH = {
    **{word: worth for worth, word in enumerate(_COUNTED, start=1)},
    "a": 1,
    "single": 1,
    "fifteen": 15,
    "twenty": 20,
    "fifty": 50,
    "hundred": 100,
    "thousand": 1000,
}
_BY_LENGTH = sorted(_WORTH, key=len, reverse=True)
NUMBER = rf"(?P<number>\d[\d,]*k?|(?:{any_of(*_BY_LENGTH)} )?(?:hundred|thousand)|{any_of(*_BY_LENGTH)})"
_UNIT = r"(?P<unit>characters?|chars?|letters?|words?|sentences?|paragraphs?)\b"
_ABOUT = any_of("about", "around", "roughly", "a total of", "exactly", "only", "just", "the")
_AMOUNT = rf"(?:{_ABOUT} )*{NUMBER}[ -](?:short |plain |full )?{_UNIT}"

_LESS = any_of("under", "below", "beneath", "(?:less|fewer|shorter|smaller) than")
_MORE = any_of("over", "above", r"exceed\w*", "(?:more|longer) than")
_LESS_THAN = pattern(rf"\b{_LESS} {_AMOUNT}")
_MORE_THAN = pattern(rf"\b{_MORE} {_AMOUNT}")
_KEEP = any_of(*("keep", "kept", "hold", "held", "trim", "cut", "restrict", "shorten", "confine", "stay", "fits?"))
_WRITE = any_of("answers?", "reply", "replies", "respond", "responses?", "write", "written")
_BOUND_IS = any_of(
    *("at most", "within", "up to", "not over"),
    r"max(?:imum)?(?: length)?(?: of| is)?:?",
    r"(?:limit|cap|ceiling|budget)(?:s|t?ed|ped)?(?: \w+){0,4}? (?:to|at|of|is)",
    rf"{_KEEP}(?: \w+){{0,6}}? (?:to|at|in|into)",
    rf"{_WRITE}(?: \w+){{0,4}}? (?:in|using)",
)
_OR_LESS = any_of("or (?:fewer|less)", "at (?:the )?most", "max(?:imum)?", "tops", "cap")
_CEILINGS = (
    pattern(rf"\b{_BOUND_IS} {_AMOUNT}"),
    pattern(rf"\b{_AMOUNT} {_OR_LESS}\b"),
    pattern(rf"\b{_AMOUNT}(?= (?:answer|reply|response|limit|ceiling))"),
)
_FLOORS = (
    pattern(rf"\b{any_of('at least', 'min(?:imum)?(?: length)?(?: of| is)?:?')} {_AMOUNT}"),
    pattern(rf"\b{_AMOUNT} {any_of('or (?:more|longer)', 'at least', 'min(?:imum)?')}\b"),
)
_LONG = pattern(
    r"\b"
    + any_of(
        *(r"exhaustive(?:ly)?", r"thorough(?:ly)?", r"comprehensive(?:ly)?", "detailed"),
        *("in (?:great |full )?(?:detail|depth)", "(?:multiple|several|many) paragraphs"),
        *("as long as (?:possible|you can)", "at (?:great )?length", "every angle", "leave nothing out"),
    )
    + r"\b"
)
_SHORT = pattern(
    r"\b"
    + any_of(
        r"(?:be|stay|keep (?:it|them|answers|replies|the \w+)) (?:\w+ ){0,2}?(?:brief|short)",
        *(r"concise(?:ly)?", "briefly", r"succinct(?:ly)?", r"tersely?", "to the point"),
    )
    + r"\b"
)


def length(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    """Bounds and the general wish for long or short; a wish for length drops earlier ceilings."""
    ceilings, floors, long = dict(rules.ceilings), dict(rules.floors), rules.long
    if _LONG.search(clause.text):
        long = not clause.negated
        ceilings = ceilings if clause.negated else {}
    elif _SHORT.search(clause.text) and not clause.negated:
        long, floors = False, {}
    rest = clause
    # "not under 10" is a floor of 10, "under 10" a ceiling of 9; and the other way round.
    for form, plain, turned, step in ((_LESS_THAN, ceilings, floors, -1), (_MORE_THAN, floors, ceilings, 1)):
        rest, amounts = _amounts(form, rest)
        for unit, amount in amounts:
            (turned if clause.negated else plain)[unit] = amount if clause.negated else amount + step
    for bounds, forms in ((floors, _FLOORS), (ceilings, _CEILINGS)):
        for form in forms:
            rest, amounts = _amounts(form, rest)
            for unit, amount in amounts:
                bounds[unit] = amount
                if clause.negated:
                    del bounds[unit]
    return rest, msgspec.structs.replace(rules, ceilings=ceilings, floors=floors, long=long)


def value(number: str) -> int:
    """What a number is worth, in figures or in words."""
    folded = number.lower()
    if folded[0].isdigit():
        return int(folded.rstrip("k").replace(",", "")) * (1_000 if folded.endswith("k") else 1)
    worth = 1
    for word in folded.split():
        worth *= _WORTH[word]
    return worth


def _amounts(form: re.Pattern[str], clause: Clause) -> tuple[Clause, list[tuple[Unit, int]]]:
    """Every amount that `form` finds, and the clause without them."""
    rest, amounts = clause, list[tuple[Unit, int]]()
    while found := form.search(rest.text):
        amounts.append((_UNITS[found["unit"][0].lower()], value(found["number"])))
        rest = rest.without(found[0])
    return rest, amounts


_UNITS: dict[str, Unit] = {
    "c": "character",
    "l": "character",
    "w": "word",
    "s": "sentence",
    "p": "paragraph",
}
