"""Which words a clause wants said, and where.

Owns the families `edges`, `sources` and `phrases` of the table in `grammar.py`.
Invariant: only what stands in quotes is said or kept unsaid word for word.
"""

import re

import msgspec

from armarius.testing.english import ANY_QUOTE, Clause
from armarius.testing.grammar_length import NUMBER, value
from armarius.testing.grammar_values import Rules, any_of, pattern, with_new, without

__all__ = ["edges", "phrases", "sources"]

_QUOTES = rf"{ANY_QUOTE}(?:(?:,? and |, ){ANY_QUOTE})*"
_SAYING = r"(?: \w+){0,6}? (?:with|by (?:writing|saying))"
_FIRST = (
    pattern(rf"\b(?:begin|start|open|lead|preface)\w*\b{_SAYING}(?: \w+){{0,5}}? ({ANY_QUOTE})"),
    pattern(rf"\b(?:first|opening) (?:line|sentence|words?)\b(?: \w+){{0,5}}? ({ANY_QUOTE})"),
    pattern(rf"({ANY_QUOTE}) as the (?:first|opening)\b"),
)
_LAST = (
    pattern(rf"\b(?:end|finish|clos|conclud|sign off|wrap up)\w*\b{_SAYING}(?: \w+){{0,5}}? ({ANY_QUOTE})"),
    pattern(rf"\b(?:last|final|closing) (?:line|sentence|words?)\b(?: \w+){{0,5}}? ({ANY_QUOTE})"),
    pattern(rf"({ANY_QUOTE}) as the (?:last|final|closing)\b"),
)
_CITED = pattern(
    r"\b(?:cite|list|reference|give|provide|name|quote) (?:at least )?"
    rf"{NUMBER}[ -](?:\w+ )?(?:sources?|references?|citations?)\b"
)
_ANY_SOURCE = pattern(r"\b(?:sources|references|citations)\b")
_SAY = any_of(
    *("includ", "mention", "us", "contain", "say", "writ", "add", "quot", "stat", "insert", "put", "featur"),
    *("incorporat", "work in", "hav", "carr", "repeat"),
)
_SAY_PLAINLY = any_of("includ", "mention", "contain", "say", "quot", "incorporat", "insert", "writ", "repeat")
_WORDING = any_of("phrase", "word", "text", "string", "sentence", "term", "expression", "keyword", "marker")
_APPEAR = any_of("appear", "occur", "be (?:included|present|mentioned|said|used|quoted|written)")
_SAID = (
    pattern(rf"\b{_SAY}\w*(?: \w+){{0,5}}? {_WORDING}s?:? ({_QUOTES})"),
    pattern(rf"\b{_SAY_PLAINLY}\w*(?: (?:the|exactly|literally|verbatim|always))* ({_QUOTES})"),
    pattern(rf"({ANY_QUOTE}) (?:must|should|has to|needs to|shall|is to) (?:also |always )?{_APPEAR}"),
)


def edges(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    """How an answer begins and ends."""
    if clause.negated:
        return clause, rules
    rest, first = _newest(clause, _FIRST)
    rest, last = _newest(rest, _LAST)
    return rest, msgspec.structs.replace(rules, opening=first or rules.opening, closing=last or rules.closing)


def sources(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    """How many sources an answer cites."""
    if clause.negated:
        gone = _ANY_SOURCE.search(clause.text)
        return clause, msgspec.structs.replace(rules, sources=0 if gone else rules.sources)
    found = _CITED.search(clause.text)
    if found is None:
        return clause, rules
    return clause.without(found[0]), msgspec.structs.replace(rules, sources=value(found["number"]))


def phrases(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    """Words to say and words to leave unsaid; the newer wish for a phrase wins."""
    if clause.negated:
        said = [clause.words(quote) for quote in re.findall(ANY_QUOTE, clause.text)]
        include, avoid = without(rules.include, said), with_new(rules.avoid, said)
    else:
        spans = [found[1] for form in _SAID for found in form.finditer(clause.text)]
        said = [clause.words(quote) for span in spans for quote in re.findall(ANY_QUOTE, span)]
        include, avoid = with_new(rules.include, said), without(rules.avoid, said)
    return clause, msgspec.structs.replace(rules, include=include, avoid=avoid)


def _newest(clause: Clause, forms: tuple[re.Pattern[str], ...]) -> tuple[Clause, str]:
    """The quotation that a form finds, and the clause without it."""
    for form in forms:
        if found := form.search(clause.text):
            return clause.without(found[0]), clause.words(found[1])
    return clause, ""
