"""A plan as lines, sections and items.

Owns reading the Markdown of a plan, as far as its rules need it: headings, lists, code, comments, and
the fence that a plan may stand in. Does not own what is right (`rules.py`).
Invariant: pure, and linear in the text; `text_of(parse(text)) == text` for every text. A line is looked at
up to LONGEST_LINE characters, and says so when it is longer.
"""

import enum
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

__all__ = ["LONGEST_LINE", "Envelope", "Item", "Kind", "Line", "Plan", "Section", "parse", "text_of"]

LONGEST_LINE: Final = 8_000

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,9}[.)])(?:[ \t]+(.*))?$")
_BOX = re.compile(r"\[(?P<mark>.?)\](?:[ \t]+(?P<text>.*))?$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_WORDS = re.compile(r"[a-z0-9]+")
_CODE_INDENT: Final = 4
_MARKS: Final = "-*+0123456789"


class Kind(enum.Enum):
    """What a line is. A comment is nothing that anybody reads; `outside` is not part of the plan."""

    BLANK = "blank"
    HEADING = "heading"
    ITEM = "item"
    TEXT = "text"
    CODE = "code"
    FENCE = "fence"
    COMMENT = "comment"
    OUTSIDE = "outside"


_BEFORE_CODE: Final = frozenset({Kind.BLANK, Kind.CODE, Kind.HEADING, Kind.COMMENT})


class Line(msgspec.Struct, frozen=True, gc=False):
    """`raw` is all that stands there, `text` what of it can be read: no line end, no comment, not too long.

    `is_said`: it says something to a reader. `is_prose`: it does so in words.
    """

    number: int
    raw: str
    text: str
    kind: Kind
    is_said: bool
    is_prose: bool


class Section(msgspec.Struct, frozen=True):
    """A heading and what follows it, up to the next heading of its level or above. `key` is its plain name."""

    level: int
    title: str
    key: str
    line: int
    lines: tuple[Line, ...]

    @property
    def is_empty(self) -> bool:
        return not any(line.is_said for line in self.lines)

    @property
    def prose(self) -> str:
        return "\n".join([line.text for line in self.lines if line.is_prose])

    @property
    def said(self) -> str:
        return "\n".join([line.text for line in self.lines if line.is_said])


class Item(msgspec.Struct, frozen=True):
    """An entry of a list with its further lines. `mark` is what stands in its box, None without a box."""

    line: int
    indent: int
    mark: str | None
    text: str

    @property
    def is_done(self) -> bool:
        return self.mark in {"x", "X"}


class Envelope(msgspec.Struct, frozen=True):
    """The fence around a plan, by line: the first and last ones, fences `inner`, `others` with plans.

    `is_alone`: nothing else is in the file. `last` is the last line of the plan within.
    """

    line: int
    last: int
    is_alone: bool
    inner: tuple[int, ...]
    others: tuple[int, ...]
    is_closed: bool


class Plan(msgspec.Struct, frozen=True):
    """A parsed plan. `prose` are its lines in words, `items` the entries of all its lists.

    `open_fence` is the line of a fence that nobody closes, `long` are the lines cut short.
    """

    lines: tuple[Line, ...]
    prose: tuple[Line, ...]
    items: tuple[Item, ...]
    sections: tuple[Section, ...]
    envelope: Envelope | None
    open_fence: int | None
    long: tuple[int, ...]

    @property
    def title(self) -> str:
        """The first heading of the first level, or nothing."""
        return next((section.title for section in self.sections if section.level == 1), "")

    def section(self, *keys: str) -> Section | None:
        """The first section with one of these plain names."""
        return next((section for section in self.sections if section.key in keys), None)


def plain(title: str) -> str:
    """A heading without its spelling: `Surprises & Discoveries` and `surprises and discoveries` are one."""
    return " ".join(_WORDS.findall(title.lower().replace("&", " and ")))


def parse(text: str) -> Plan:
    """Read a plan; nothing is refused here."""
    raws = text.split("\n")
    texts = [raw.removesuffix("\r")[:LONGEST_LINE] for raw in raws]
    texts[0] = texts[0].removeprefix("\ufeff")
    long = tuple(number for number, raw in enumerate(raws, start=1) if len(raw) > LONGEST_LINE + 1)
    envelope, first, last = _envelope(texts)
    scan = _Scan()
    lines = list[Line]()
    for number, (raw, shown) in enumerate(zip(raws, texts, strict=True), start=1):
        if first <= number <= last:
            kind, said = scan.kind(shown, number)
        else:
            kind, said = (Kind.OUTSIDE, shown) if shown.strip() else (Kind.BLANK, shown)
        lines.append(_line(number, raw, said, kind))
    _underlined(lines)
    prose = tuple([line for line in lines if line.is_prose])
    items = tuple(_items(lines))
    return Plan(tuple(lines), prose, items, tuple(_sections(lines)), envelope, scan.open_fence, long)


def text_of(plan: Plan) -> str:
    """The text that it was parsed from."""
    return "\n".join(line.raw for line in plan.lines)


def _line(number: int, raw: str, text: str, kind: Kind) -> Line:
    is_prose = kind is Kind.TEXT or kind is Kind.ITEM
    return Line(number, raw, text, kind, is_prose or kind is Kind.CODE, is_prose)


def _items(lines: Sequence[Line]) -> Iterator[Item]:
    """The entries of all lists, each with what belongs to it."""
    head: Line | None = None
    rest = list[str]()
    for line in lines:
        begins = line.kind is Kind.ITEM
        ends = line.kind is Kind.HEADING or (
            line.kind is Kind.TEXT and not line.text[:1].isspace() and _after_blank(rest)
        )
        if head is not None and (begins or ends):
            yield _item(head, rest)
            head, rest = None, []
        if begins:
            head, rest = line, []
        elif head is not None:
            rest.append(line.text if line.is_said else "")
    if head is not None:
        yield _item(head, rest)


def _after_blank(rest: list[str]) -> bool:
    return bool(rest) and not rest[-1].strip()


def _item(line: Line, rest: list[str]) -> Item:
    found = _ITEM.match(line.text)
    assert found is not None  # that is what made it an item
    said = found[2] or ""
    box = _BOX.match(said)
    text = "\n".join([(box["text"] or "") if box else said, *(more.strip() for more in rest)]).strip()
    return Item(line.number, len(found[1].expandtabs(4)), box["mark"] if box else None, text)


class _Scan:
    """What a line is follows from those before it."""

    def __init__(self) -> None:
        self.open_fence: int | None = None
        self._fence = ""
        self._in_comment = False
        self._before = Kind.BLANK

    def kind(self, text: str, number: int) -> tuple[Kind, str]:
        kind, said = self._kind(text, number)
        self._before = kind
        return kind, said

    def _kind(self, text: str, number: int) -> tuple[Kind, str]:
        bare = text.strip()
        if not bare and not self._fence:
            return Kind.BLANK, text
        if self._fence:
            closing = _FENCE.match(text) if bare[:1] == self._fence[0] else None
            if closing and closing["fence"].startswith(self._fence) and not closing["info"].strip():
                self._fence, self.open_fence = "", None
                return Kind.FENCE, text
            return Kind.CODE, text
        if not self._in_comment and self._is_code(text):
            return Kind.CODE, text
        said = self._without_comments(text)
        first = said.lstrip()[:1]
        if not first:
            return Kind.COMMENT, said
        opening = _FENCE.match(said) if first in "`~" else None
        if opening:
            self._fence, self.open_fence = opening["fence"], number
            return Kind.FENCE, said
        if first == "#" and _HEADING.match(said):
            return Kind.HEADING, said
        return (Kind.ITEM if first in _MARKS and _ITEM.match(said) else Kind.TEXT), said

    def _is_code(self, text: str) -> bool:
        if text[:1] not in {" ", "\t"} or self._before not in _BEFORE_CODE:
            return False
        whole = text.expandtabs(_CODE_INDENT)
        indent = len(whole) - len(whole.lstrip(" "))
        return indent >= _CODE_INDENT and bool(text.strip()) and (self._before is Kind.CODE or not _ITEM.match(text))

    def _without_comments(self, text: str) -> str:
        """The text with its comments blanked out; one may go on over many lines."""
        if not self._in_comment and "<!--" not in text:
            return text
        parts = list[str]()
        at = 0
        while at < len(text):
            mark = "-->" if self._in_comment else "<!--"
            found = text.find(mark, at)
            if not self._in_comment:
                parts.append(text[at:] if found < 0 else text[at:found])
            if found < 0:
                break
            at = found + len(mark)
            self._in_comment = not self._in_comment
        return "".join(parts).rstrip()


def _underlined(lines: list[Line]) -> None:
    """Turn headings that are underlined into such as the others; their underline says nothing more."""
    for index, line in enumerate(lines):
        if not (line.is_prose and index and line.text.lstrip()[:1] in {"=", "-"} and _UNDERLINE.match(line.text)):
            continue
        above = lines[index - 1]
        alone = index == 1 or lines[index - 2].kind in {Kind.BLANK, Kind.HEADING, Kind.COMMENT}
        if above.kind is Kind.TEXT and alone:
            mark = "#" if "=" in line.text else "##"
            lines[index - 1] = _line(above.number, above.raw, f"{mark} {above.text.strip()}", Kind.HEADING)
            lines[index] = _line(line.number, line.raw, "", Kind.COMMENT)


def _sections(lines: list[Line]) -> Iterator[Section]:
    heads = [(index, _level_and_title(line.text)) for index, line in enumerate(lines) if line.kind is Kind.HEADING]
    ends = [len(lines)] * len(heads)
    open_heads = list[int]()
    for place, (index, (level, _)) in enumerate(heads):
        while open_heads and heads[open_heads[-1]][1][0] >= level:
            ends[open_heads.pop()] = index
        open_heads.append(place)
    for (index, (level, title)), end in zip(heads, ends, strict=True):
        if level > 1:
            yield Section(level, title, plain(title), lines[index].number, tuple(lines[index + 1 : end]))
        else:
            # What belongs to the title alone; the whole plan would be kept once more for each of them.
            below = next((after for after, _ in heads if after > index), len(lines))
            yield Section(level, title, plain(title), lines[index].number, tuple(lines[index + 1 : below]))


def _level_and_title(text: str) -> tuple[int, str]:
    found = _HEADING.match(text)
    assert found is not None  # that is what made it a heading
    return len(found[1]), (found[2] or "").strip().rstrip("#").strip()


def _envelope(texts: list[str]) -> tuple[Envelope | None, int, int]:
    """The fence that the plan stands in, if it does, and the first and last line of the plan."""
    everything = (None, 1, len(texts))
    fences = [(number, found) for number, text in enumerate(texts, start=1) if (found := _FENCE.match(text))]
    openers = [(number, found) for number, found in fences if found["info"].strip().lower() in {"md", "markdown"}]
    if not openers:
        return everything
    first_line = next((number for number, text in enumerate(texts, start=1) if text.strip()), 0)
    plans = [number for number, _ in openers if number == first_line or _holds_plan(texts, number)]
    if not plans or (plans[0] != first_line and any(_is_progress(text) for text in texts[: plans[0] - 1])):
        return everything
    opener = plans[0]
    mark = next(found["fence"] for number, found in openers if number == opener)
    until = plans[1] if len(plans) > 1 else len(texts) + 1
    bare = [
        number
        for number, found in fences
        if opener < number < until and found["fence"].startswith(mark) and not found["info"].strip()
    ]
    close = bare[-1] if bare else until
    inner = tuple(n for n, found in fences if opener < n < close and found["fence"].startswith("```"))
    after = any(text.strip() for text in texts[close:])
    is_alone = opener == first_line and not after
    return Envelope(opener, close - 1, is_alone, inner, tuple(plans[1:]), bool(bare)), opener + 1, close - 1


def _holds_plan(texts: list[str], opener: int) -> bool:
    """Whether what follows a fence is a plan: its title comes first, and it has Progress before the next fence."""
    for index in range(opener, len(texts)):
        text = texts[index]
        if _FENCE.match(text):
            return False
        if _is_progress(text):
            return True
    return False


def _is_progress(text: str) -> bool:
    found = _HEADING.match(text)
    return found is not None and plain(found[2] or "") == "progress"
