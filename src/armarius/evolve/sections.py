"""Headings of a Markdown answer and the text below each.

Owns what counts as a heading, and when two titles are the same. Does not own any check.
Invariant: every text has a reading, in time linear in its length; what a reader would not see as a
heading (code, HTML comments) is none. Headings follow CommonMark 0.31; besides, a line that is bold
as a whole counts as one, below all levels, because models write those.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["fold_title", "sections_titled", "visible_lines"]

_BOLD_LEVEL = 7
_NUMBERING = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3})*[.)]|\d{1,3}(?:\.\d{1,3})+|[A-Za-z][.)]|[IVX]{1,5}[.)])\s+")
_LIST_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_SYMBOLS = re.compile(r"^[^\w(\[]+")
_FENCE = re.compile(r"`{3,}|~{3,}")


class _Heading(NamedTuple):
    level: int
    title: str
    first: int  # the line where the heading begins
    below: int  # the line after it


def sections_titled(title: str, text: str) -> list[str]:
    """The text of each section with this title, up to the next heading of its level or above."""
    lines = text.split("\n")
    headings = list(_headings(lines))
    wanted = fold_title(title)
    found: list[str] = []
    for place, heading in enumerate(headings):
        if fold_title(heading.title) == wanted:
            later = (headings[i] for i in range(place + 1, len(headings)))
            end = next((other.first for other in later if other.level <= heading.level), len(lines))
            found.append("\n".join(lines[heading.below : end]))
    return found


def fold_title(title: str) -> str:
    """A title without case, spacing, emphasis, numbering, symbols before it or a colon behind it."""
    plain = " ".join(unicodedata.normalize("NFC", title).replace("*", "").replace("`", "").split()).strip("_ ")
    plain = _SYMBOLS.sub("", plain)
    return _NUMBERING.sub("", plain).rstrip(": \uff1a").casefold()


def visible_lines(lines: list[str]) -> Iterator[str]:
    """The lines, but blank ones in the place of fenced code and HTML comments."""
    fence = ""
    comment = False
    for line in lines:
        text = line.strip()
        indented = line.startswith(("    ", "\t"))
        opened = _FENCE.match(text)
        shown = ""
        if comment:
            comment = "-->" not in text
        elif fence:
            if not indented and text.startswith(fence) and not text.strip(fence[0]):
                fence = ""
        elif opened and not indented and not (text[0] == "`" and "`" in text[opened.end() :]):
            fence = opened[0]
        elif text.startswith("<!--") and not indented:
            comment = "-->" not in text
        else:
            shown = line
        yield shown


def _headings(lines: list[str]) -> Iterator[_Heading]:
    paragraph: list[str] = []  # the lines so far that an underline would turn into a heading
    for index, line in enumerate(visible_lines(lines)):
        text = line.strip()
        indented = line.startswith(("    ", "\t"))
        if not text or (indented and not paragraph):
            paragraph = []
        elif paragraph and not indented and set(text) in ({"="}, {"-"}):
            level = 1 if text[0] == "=" else 2
            yield _Heading(level, " ".join(paragraph), index - len(paragraph), index + 1)
            paragraph = []
        elif not indented and (level := _atx_level(text)):
            yield _Heading(level, text[level:].rstrip("#"), index, index + 1)
            paragraph = []
        elif not indented and (title := _bold_title(text)):
            yield _Heading(_BOLD_LEVEL, title, index, index + 1)
            paragraph = []
        elif _LIST_ITEM.match(text) or text.startswith(">"):
            paragraph = []
        else:
            paragraph.append(text)


def _atx_level(text: str) -> int:
    level = len(text) - len(text.lstrip("#"))
    return level if 1 <= level < _BOLD_LEVEL and text[level : level + 1] in ("", " ", "\t") else 0


def _bold_title(text: str) -> str:
    """What stands in a line that is bold as a whole, perhaps with a number before or a colon behind it."""
    bold = _NUMBERING.sub("", text).rstrip(": \uff1a")
    for mark in ("**", "__"):
        inner = bold[2:-2]
        if bold.startswith(mark) and bold.endswith(mark) and mark not in inner:
            return inner
    return ""
