"""Which headings and labelled lines a clause asks for.

Owns the families `sections` and `lines` of the table in `grammar.py`.
Invariant: a heading or a label is obeyed as it is spelt, also when no check wants it.
"""

import re

import msgspec

from armarius.testing.english import ANY_QUOTE, Clause
from armarius.testing.grammar_values import (
    NAME,
    NAMES,
    Line,
    Rules,
    any_of,
    named,
    pattern,
    with_new,
    without,
)

__all__ = ["lines", "sections"]

_SECTION = r"(?:sub-?)?(?:section|heading|header|headline|title)s?"
_TITLED = r"(?:titled|entitled|called|named|labell?ed|headed|reading|that (?:reads?|says?)|with the title)"
_SECTION_FORMS = (
    pattern(rf"\b{_SECTION}(?: \w+){{0,4}}? {_TITLED} (?:exactly )?({NAMES})"),
    pattern(rf"\b{_SECTION}:? ({ANY_QUOTE}(?:(?:,? and |, ){ANY_QUOTE})*)"),
    pattern(rf"({NAMES}) {_SECTION}\b"),
    pattern(rf"\b(?:headed|entitled|under) ({ANY_QUOTE})"),
)
_ON = any_of("on", "about", "for", "covering", "devoted to", "dedicated to", "that lists?", "that covers?")
_END_OF_TITLE = r"(?=$|[,.]| (?:that|which|where|with|before|after|at|in|near|so)\b)"
_SECTION_ON = pattern(rf"\bsection {_ON} (?:the |your |any )?({ANY_QUOTE}|[a-z][\w' -]{{2,40}}?){_END_OF_TITLE}")
_ALL_SECTIONS = pattern(rf"\b{_SECTION}\b")


def sections(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    titles: list[str] = []
    rest = clause
    for form in _SECTION_FORMS:
        while found := form.search(rest.text):
            names = named(clause, found[1])
            titles += names
            rest = rest.without(found[0])
    while found := _SECTION_ON.search(rest.text):
        name = clause.words(found[1])
        titles.append(name if name != found[1] else found[1].strip().title())
        rest = rest.without(found[0])
    for found in re.finditer(ANY_QUOTE, rest.text):
        if clause.words(found[0]).startswith("#"):
            titles.append(clause.words(found[0]))
            rest = rest.without(found[0])
    titles = [title.strip("# ").rstrip(":") for title in titles]
    if not clause.negated:
        return rest, msgspec.structs.replace(rules, sections=with_new(rules.sections, titles))
    kept = without(rules.sections, titles)
    if not titles and _ALL_SECTIONS.search(clause.text):
        kept = ()
    return rest, msgspec.structs.replace(rules, sections=kept)


_LABELLED = re.compile(r"\s*([^\W\d][^:=\n]{0,40}?)\s*([:=])(?!//)\s*(.*)", re.DOTALL)
_LONGEST_LABEL = 4  # words; what is longer before a colon is a sentence
_LABEL = r"(?-i:[A-Z][\w-]*(?: [A-Za-z][\w-]*){0,2})"
_BARE_LINE = pattern(
    rf"\b(?:lines?|with|as|add|write|include|state|reads?|reading|says?|saying|form|format):? (?:an? |the )?"
    rf"({_LABEL}\s*:.*)$"
)
_MARKED = any_of("called", "named", "begins?", "beginning", "starts?", "starting")
_LINE_FORMS = (
    pattern(rf"({NAMES})[ -]lines?\b"),
    pattern(rf"({NAME}),? (?:immediately )?followed by (?:a colon|an equals sign)"),
    pattern(rf"\b(?:labell?ed|marked|tagged) (?:lines? (?:for|with) )?({NAMES})"),
    pattern(rf"\blines? (?:that )?{_MARKED} (?:with )?(?:the (?:word|label) )?({NAMES})"),
)
_ON_A_LINE = pattern(
    r"\b(?:state|give|report|declare|rate|provide|write) (?:your|the|an?) (?:overall |own )?([a-z]+)\b[^,]*?"
    r" (?:(?:on|in|as) (?:its|a|an) (?:own|separate|labell?ed) line|on a line of its own)"
)
_TOP = pattern(r"\b(?:begin|start|open|lead|first line)\b")
_NOT_THE_TOP = pattern(r"\b(?:end|finish|close|conclude|last|final|lines? (?:that|which|must|should))\b")
_FIRST_CHOICE = pattern(r"\b(?:followed by|one of|either|choose) (?:one of |either )?(\w+)(?=,| or\b|/)")
_ALL_LINES = pattern(r"\blabell?ed lines?\b")


def lines(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    rest, lines = _labels(clause)
    if not clause.negated:
        choice = _FIRST_CHOICE.search(clause.text)
        first = bool(_TOP.search(clause.text)) and not _NOT_THE_TOP.search(clause.text)
        kept = rules.lines
        for line in lines:
            value = line.value or (choice[1] if choice else "")
            new = msgspec.structs.replace(line, value=value, first=first)
            kept = (*(old for old in kept if old.label.casefold() != line.label.casefold()), new)
        return rest, msgspec.structs.replace(rules, lines=kept)
    gone = {line.label.casefold() for line in lines}
    kept = tuple(line for line in rules.lines if line.label.casefold() not in gone)
    if not gone and _ALL_LINES.search(clause.text):
        kept = ()
    return rest, msgspec.structs.replace(rules, lines=kept)


def _labels(clause: Clause) -> tuple[Clause, list[Line]]:
    """The labelled lines a clause speaks of, quoted ones first."""
    lines: list[Line] = []
    rest = clause
    for found in re.finditer(ANY_QUOTE, clause.text):
        if line := _line(clause.words(found[0])):
            lines.append(line)
            rest = rest.without(found[0])
    if (found := _BARE_LINE.search(rest.text)) and (line := _line(clause.words(found[1]))):
        lines.append(line)
        rest = rest.without(found[0])
    for form in _LINE_FORMS:
        while found := form.search(rest.text):
            lines += [Line(name.rstrip(":")) for name in named(clause, found[1])]
            rest = rest.without(found[0])
    if found := _ON_A_LINE.search(rest.text):
        lines.append(Line(found[1].capitalize()))
        rest = rest.without(found[0])
    return rest, lines


def _line(text: str) -> Line | None:
    found = _LABELLED.fullmatch(text)
    if found is None or len(found[1].split()) > _LONGEST_LABEL:
        return None
    return Line(found[1].strip("*_ "), _first_member(found[3].strip("*_ .")), found[2])


def _first_member(value: str) -> str:
    """A value as it is to be written: the first of a choice, nothing for a blank to fill in."""
    inside = re.fullmatch(r"[<\[{(](.*)[>\]})]", value)
    members = re.split(r"\s*[|/]\s*|,\s*(?:or\s+)?|\s+or\s+", inside[1] if inside else value)
    if len(members) > 1 and len(members[0].split()) == 1:
        return members[0]
    return "" if inside or value in ("...", "…", "X", "___") else value
