"""Sentences, clauses, and which of them are negated.

Owns taking Markdown apart into clauses of plain English. Does not own what a clause asks for: that
is `grammar.py`.
Invariant: a clause is wholly affirmed or wholly negated, and what stood in quotes or in a code span
stands in it as one placeholder, so that no rule is ever found inside a quotation.

Not read: front matter, headings, fenced code and HTML comments. Bold, italics, bullets and numbers
are decoration and fall away.
"""

import re

import msgspec

__all__ = ["ANY_QUOTE", "CODE_SPAN", "Clause", "clauses"]


class Clause(msgspec.Struct, frozen=True):
    """A piece of a sentence. `quotes` are the quotations that the placeholders count into."""

    text: str
    negated: bool
    quotes: tuple[str, ...] = ()

    def words(self, span: str) -> str:
        """`span` of this clause with its quotations put back, without their marks."""
        return _PLACEHOLDER.sub(lambda found: self.quotes[int(found[1])], span)

    def without(self, span: str) -> "Clause":
        """This clause with `span` spent, so that a later rule does not read it again."""
        return msgspec.structs.replace(self, text=self.text.replace(span, _SPENT, 1))


# Placeholders are characters of the private use area; one that stands in a skill becomes a space.
_IN_QUOTES, _IN_CODE, _SHUT, _SPENT = "\ue000", "\ue002", "\ue001", "\ue003"
ANY_QUOTE = f"(?:[{_IN_QUOTES}{_IN_CODE}]\\d+{_SHUT})"
CODE_SPAN = f"(?:{_IN_CODE}\\d+{_SHUT})"
_PLACEHOLDER = re.compile(f"[{_IN_QUOTES}{_IN_CODE}](\\d+){_SHUT}")

_FRONT_MATTER = re.compile(r"^---\n(?:[\w-]+:.*\n|[ \t]+.*\n|- .*\n|\n)*?---[ \t]*$", re.MULTILINE)
_NOT_PROSE = re.compile(r"^(`{3,}|~{3,}).*?^\1|<!--.*?-->|^#{1,6} .*?$", re.DOTALL | re.MULTILINE)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ x]\]\s+)?")
_EMPHASIS = re.compile(r"(\*{1,3}|(?<!\w)_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_TYPOGRAPHY = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "\u2018": "'", "\u2019": "'", "\u2013": "—", "\u00a0": " "}
    | dict.fromkeys((_IN_QUOTES, _IN_CODE, _SHUT, _SPENT), " ")
)
_QUOTED = re.compile(r"`+([^`]+)`+|\"([^\"]+)\"|(?<![\w])'([^']+(?:'\w[^']*)*)'(?!\w)")
_CONTRACTION = re.compile(r"\b(can|do|does|did|must|should|need|is|are|wo)n't\b", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|max|min)\.(?=\s)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|[.;]$")

_NOT = r"(?:do not|does not|must not|should not|shall not|may not|can ?not|never|not)"
_ANSWERING = r"(?:answer|reply|respond|conclude|finish|submit|send|deliver|return|stop|hand)"
# Idioms whose "no" forbids nothing, put the plain way before anything is looked for.
_IDIOMS = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"\bwithout (?:exception|fail|delay)\b|\bno matter (?:what|how)[^,;]*|\bno exceptions?\b", ""),
        (r"\b(?:no|never|not) (?:more|longer|greater|larger) than\b", "at most"),
        (r"\b(?:no|never|not) (?:fewer|less|shorter|smaller) than\b", "at least"),
        (rf"\b{_NOT} (?:\w+ ){{0,2}}?(?:exceed|surpass|(?:go|run) (?:over|above|beyond|past))", "at most"),
        (rf"\b{_NOT} (?:ever )?(?:forget|fail|neglect|hesitate|omit) to\b", "always"),
        (rf"\b{_NOT} (?:ever )?(?:forget|neglect|omit|skip|leave out|miss)\b", "always use"),
        (rf"\b{_NOT} (?:ever )?{_ANSWERING}\w*\b[^,;]*?\b(?:before|without|until|unless)\b", "always"),
        (r"\bno (?:answer|reply|response|brief|report|analysis)\b[^,;]*?\bwithout\b", "always"),
    )
)
_NEGATOR = re.compile(
    rf"\b(?:{_NOT}|avoid|refrain from|without|omit|skip|leave out|exclude|no need (?:to|for)|need not"
    r"|instead of|rather than|neither|nor|no)\b",
    re.IGNORECASE,
)
_FORBIDDEN_AFTER = re.compile(
    r"\b(?:is|are) (?:not (?:allowed|permitted|needed|wanted|required|necessary|welcome)"
    r"|forbidden|banned|prohibited|off limits|unwelcome|unnecessary)\b",
    re.IGNORECASE,
)
_BREAK = re.compile(r"\s+—\s+|\s+--?\s+|;|,?\s+(?:but|however|although|though)\s+", re.IGNORECASE)
_SCOPE_END = re.compile(r",|\b(?:and|instead|then)\b", re.IGNORECASE)
_LISTED_END = re.compile(r"\b(?:instead|then)\b", re.IGNORECASE)


def clauses(text: str) -> list[Clause]:
    """The clauses of a Markdown text, in order."""
    quotes: list[str] = []
    found: list[Clause] = []
    for block in _blocks(text):
        for sentence in _SENTENCE_END.split(_masked(block, quotes)):
            plain = sentence
            for idiom, replacement in _IDIOMS:
                plain = idiom.sub(replacement, plain)
            for piece in _BREAK.split(plain):
                found += _by_polarity(piece)
    known = tuple(quotes)
    return [
        msgspec.structs.replace(clause, quotes=known)
        for clause in found
        if clause.text.strip(" ,.!?:")  # what is left between two marks says nothing
    ]


def _blocks(text: str) -> list[str]:
    """Paragraphs and list items, each on one line."""
    prose = _NOT_PROSE.sub("\n", _FRONT_MATTER.sub("\n", text))
    blocks = [""]
    for line in prose.translate(_TYPOGRAPHY).splitlines():
        words = _BULLET.sub("", line)
        if not line.strip() or words != line:
            blocks.append("")
        blocks[-1] = f"{blocks[-1]} {words.strip()}".strip()
    return [_EMPHASIS.sub(r"\2", block) for block in blocks if block]


def _masked(block: str, quotes: list[str]) -> str:
    """`block` with each quotation replaced by a placeholder and added to `quotes`."""

    def mask(found: re.Match[str]) -> str:
        inside = (found[1] or found[2] or found[3]).strip()
        # American printers put the sentence's own full stop inside the quotation.
        stop = "." if inside.endswith((".", "!", "?")) and not found[1] else ""
        quotes.append(inside)
        return f"{_IN_CODE if found[1] else _IN_QUOTES}{len(quotes) - 1}{_SHUT}{stop}"

    masked = _CONTRACTION.sub(_expanded, _QUOTED.sub(mask, block))
    return _ABBREVIATION.sub(lambda found: found[1].replace(".", ""), masked)


def _expanded(contraction: re.Match[str]) -> str:
    stem = contraction[1]
    return "will not" if stem.lower() == "wo" else f"{stem} not"


def _by_polarity(piece: str) -> list[Clause]:
    """Cut at every negator and at the end of what it governs."""
    if _FORBIDDEN_AFTER.search(piece):
        return [Clause(piece, negated=True)]
    negator = _NEGATOR.search(piece)
    if negator is None:
        return [Clause(piece, negated=False)]
    rest = piece[negator.end() :]
    # "do not look up, search, or use": the "or" carries the negation over the commas.
    listed = re.search(r"\b(?:or|nor)\b", rest)
    end = (_LISTED_END if listed else _SCOPE_END).search(rest)
    cut = end.start() if end else len(rest)
    return [
        Clause(piece[: negator.start()], negated=False),
        Clause(rest[:cut], negated=True),
        *(_by_polarity(rest[end.end() :]) if end else []),
    ]
