"""Which tools a clause asks to run.

Owns the family `tools` of the table in `grammar.py`.
Invariant: a tool is one plain word, so that what the worker runs is never more than a program and a
query.
"""

import re

import msgspec

from armarius.testing.english import ANY_QUOTE, CODE_SPAN, Clause
from armarius.testing.grammar_values import Rules, any_of, pattern, with_new, without

__all__ = ["tools"]

_RUN_BY = any_of("run", "called", "used", "consulted", "queried", "invoked", "executed", "tried", "checked")
_RUN = any_of(
    *(_RUN_BY, "call", "use", "consult", "query", "invoke", "execute", "try", "check", "employ"),
    *("running", "calling", "using", "consulting", "querying", "invoking", "executing", "trying", "checking"),
    *("start with", "begin with", "turn to", "reach for", "make use of", "rely on"),
)
_THE = r"(?:(?:the|a|an|your|our|this) )?"
_TOOL = r"(?:tool|command|program|utility|script|cli)s?"
_WORD = rf"(?:{ANY_QUOTE}|[a-z][\w.-]*)"
_MUST = r"(?:must|should|has to|needs to|is to|ought to|shall)(?: always| first)?(?: be)?"
_FORMS = (
    pattern(rf"\b{_RUN} {_THE}({_WORD}) {_TOOL}\b"),
    pattern(rf"\b{_RUN} {_THE}{_TOOL} (?:called |named )?({_WORD})"),
    pattern(rf"\b{_RUN} {_THE}({CODE_SPAN})"),
    pattern(rf"\b(?:calls?|query|queries|lookups?) (?:to|of|with) {_THE}({CODE_SPAN}|{_WORD}(?= {_TOOL}))"),
    pattern(rf"({CODE_SPAN}) (?:call|query|lookup|run|search)\b"),
    pattern(rf"\b(?:via|through|with) {_THE}({_WORD}) {_TOOL}\b"),
    pattern(rf"\b(?:look|search|find|verify|research|check)\w*\b[^,]*? (?:with|in|via) ({CODE_SPAN})"),
    pattern(rf"({_WORD}) {_TOOL} {_MUST} {_RUN_BY}\b"),
    pattern(rf"({ANY_QUOTE}) {_MUST} {_RUN_BY}\b"),
)
_MENTION = pattern(rf"\b({_WORD}) {_TOOL}\b")
_ALONE = pattern(rf"^ *{_THE}({CODE_SPAN})")
_ALL = pattern(rf"\b{_TOOL}\b|\blook (?:anything|things|it|something) up\b")
_PROGRAM = re.compile(r"[A-Za-z][\w.-]*")
_NO_PROGRAM = frozenset(
    (
        *(
            "a",
            "an",
            "the",
            "any",
            "all",
            "other",
            "no",
            "your",
            "our",
            "its",
            "this",
            "that",
            "these",
            "those",
        ),
        *("every", "each", "some", "such", "available", "external", "right", "same", "following", "relevant"),
        *("appropriate", "provided", "single", "another", "first", "to", "for", "in", "before", "after"),
        *("with", "when", "if", "and", "or", "line", "of", "is", "must", "should", "shell"),
    )
)
_ONLY_SPOKEN_OF = re.compile(r" (?:line|section|heading|label|phrase|word)s?\b| as\b")


def tools(clause: Clause, rules: Rules) -> tuple[Clause, Rules]:
    """The programs to run, in the order in which they are named."""
    programs: list[str] = []
    rest = clause
    for form in (*_FORMS, _MENTION, _ALONE) if clause.negated else _FORMS:
        for found in form.finditer(rest.text):
            program = _PROGRAM.match(clause.words(found[1]))
            spoken_of = _ONLY_SPOKEN_OF.match(found.string, found.end())
            if program and program[0].casefold() not in _NO_PROGRAM and not spoken_of:
                programs.append(program[0])
                rest = rest.without(found[0])
    if not clause.negated:
        return rest, msgspec.structs.replace(rules, tools=with_new(rules.tools, programs))
    everything = not programs and _ALL.search(clause.text)
    return rest, msgspec.structs.replace(rules, tools=() if everything else without(rules.tools, programs))
