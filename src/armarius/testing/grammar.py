r"""The small English that the scripted worker understands.

Owns reading a skill's text into `Rules`. Does not own obeying them (`policy.py`), nor taking
sentences apart (`english.py`).
Invariant: later text overrides earlier text; what is not in this table changes nothing.

    family     affirmed, for example                              negated
    ---------  -------------------------------------------------  --------------------------------
    sections   a section titled "X" · the heading "X" · an X      that section is dropped; "no
               section · a section on x · `## X`                  headings" drops all
    lines      end with "Label: value" · state it as `Label: …`   that line is dropped; "no
               · a Label line · a line labelled Label · Label     labelled lines" drops all
               followed by a colon
    length     at most / under / within / up to / limit to /      "not more than N" is a ceiling,
               keep it to N characters | words | sentences |      "not under N" a floor, "not
               paragraphs · N words or fewer · in N sentences     exhaustive" an ordinary length
               · at least / more than N · exhaustive, thorough,
               detailed, multiple paragraphs · be brief
    tools      run / use / call / query / consult the X tool ·    that tool is not run; "no tools",
               run the command X · use `X` · a call to `X` ·      "do not look anything up" drops
               `X` must be run                                    all
    edges      begin / start with "X" · the first line is "X" ·   "X" is never said
               end / close with "X" · the last line is "X"
    sources    cite / list at least N sources                     none
    phrases    include / mention / use the phrase "X" ·           "X" is never said
               "X" must appear

An `X` that must be exact stands in quotes or in a code span; a title or a label may also be a run
of Capitalised Words. A line goes last unless the text says begin, start or first. Lead-ins ("when
asked", "if you are unsure") are not conditions: what follows is obeyed. In a line's value, a
choice ("low|medium|high", "<low, medium or high>") means its first member.
"""

import functools

from armarius.testing.english import clauses
from armarius.testing.grammar_length import length
from armarius.testing.grammar_structure import lines, sections
from armarius.testing.grammar_tools import tools
from armarius.testing.grammar_values import Family, Rules
from armarius.testing.grammar_wording import edges, phrases, sources

__all__ = ["read_rules"]

_FAMILIES: tuple[Family, ...] = (sections, tools, lines, length, edges, sources, phrases)


@functools.lru_cache(maxsize=128)  # pure; a night asks about the same few skills hundreds of times
def read_rules(text: str) -> Rules:
    """The rules in a skill's text; a family spends the words it used, so none is read twice."""
    rules = Rules()
    for clause in clauses(text):
        rest = clause
        for family in _FAMILIES:
            rest, rules = family(rest, rules)
    return rules
