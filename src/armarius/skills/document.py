"""SKILL.md as a value, and back to the same bytes.

Owns the pieces of a document, the learned block and its rules, and the difference between two
documents. Does not own what front matter must say (`front`), which edits are fit (`edit`) or which
file may be written (`target`).
Invariant: `parse_document(data).render() == data`, and whatever is done to the learned block, every
byte outside it stays. Line ends of any kind and a missing final newline are kept. Refused by name
are bytes that are not UTF-8 and a byte order mark: Codex skips such a file (seen with 0.163).
"""

import re
from pathlib import Path, PurePath
from typing import NamedTuple

import msgspec

from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.skills.front import front_lines, read_front

__all__ = [
    "END",
    "MAX_SKILL",
    "MEMORY",
    "START",
    "Document",
    "Learned",
    "Rule",
    "diff",
    "parse_document",
    "parse_rule",
    "read_document",
    "write_rule",
]

MEMORY = "AGENTS.md"
"""What Codex reads of a project before any work; it can learn as a skill does."""

START = "<!-- armarius:learned start -->"
END = "<!-- armarius:learned end -->"
HEADING = "## Learned rules"

MAX_SKILL = 256 * 1024
"""Bytes of a SKILL.md; some 64,000 tokens, more than any model should be handed as one skill."""

_MARKER = re.compile(r"<!--\s*armarius:learned\s+(start|end)\s*-->", re.IGNORECASE)
_BLANK = " \t\r\n"


class Rule(msgspec.Struct, frozen=True):
    """One list entry of the learned block: what it says, and its lines as they stand in the file."""

    text: str
    source: str


class Learned(msgspec.Struct, frozen=True):
    """The learned block: marker, heading and what else precedes the first rule; rules; marker."""

    opening: str
    rules: tuple[Rule, ...]
    closing: str


class Document(msgspec.Struct, frozen=True):
    """A SKILL.md in pieces that add up to it: `front`, `body`, the learned block, `tail`."""

    name: str
    description: str
    front: str
    body: str
    learned: Learned | None = None
    tail: str = ""

    @property
    def text(self) -> str:
        return self.front + self.body + self._learned_text() + self.tail

    @property
    def rules(self) -> tuple[str, ...]:
        """What each learned rule says."""
        return tuple(rule.text for rule in self.learned.rules) if self.learned else ()

    @property
    def newline(self) -> str:
        """How the learned block ends its lines: as it did, or as the front matter does."""
        lines = self.learned.opening if self.learned else self.front or self.body
        return "\r\n" if lines.partition("\n")[0].endswith("\r") else "\n"

    def render(self) -> bytes:
        return self.text.encode()

    def with_rules(self, rules: tuple[Rule, ...]) -> "Document":
        """This document with other rules; a block is made at the end when there was none."""
        if self.learned:
            return msgspec.structs.replace(self, learned=msgspec.structs.replace(self.learned, rules=rules))
        newline = self.newline
        above = self.front + self.body
        gap = "" if not above else newline * (2 - above.endswith("\n") - above.endswith(("\n\n", "\n\r\n")))
        opening = f"{gap}{START}{newline}{HEADING}{newline}{newline}"
        return msgspec.structs.replace(self, learned=Learned(opening, rules, END + newline))

    def _learned_text(self) -> str:
        if self.learned is None:
            return ""
        rules = "".join(rule.source for rule in self.learned.rules)
        return self.learned.opening + rules + self.learned.closing


def read_document(path: Path) -> Document:
    """The document at `path`; DataError when there is none that Codex could use."""
    return parse_document(read_bounded(path, MAX_SKILL), str(path))


def parse_document(data: bytes, where: str = "SKILL.md") -> Document:
    """The document that `data` is; DataError with `where` and the line when it is none. MEMORY has no front matter."""
    lines = _split(_decode(data, where))
    if PurePath(where).name == MEMORY:
        above, name, description = 0, MEMORY, ""
    else:
        above = front_lines(lines, where)
        name, description = read_front(lines[:above], where)
    front = "".join(lines[:above])
    block = _block(lines, above, where)
    if block is None:
        return Document(name, description, front, "".join(lines[above:]))
    learned = _learned(lines, block, where)
    body, tail = "".join(lines[above : block.start]), "".join(lines[block.end + 1 :])
    return Document(name, description, front, body, learned, tail)


def parse_rule(source: str) -> Rule:
    """The rule whose lines in the file are `source`; the inverse of `write_rule`."""
    first, *others = (line.rstrip("\n").removesuffix("\r") for line in _split(source))
    further = [line[2:] if line.startswith("  ") else line.removeprefix("\t") for line in others]
    return Rule("\n".join([first[2:], *further]).strip(_BLANK), source)


def write_rule(text: str, newline: str = "\n") -> Rule:
    """`text` as a list entry; further lines are indented so that they belong to it."""
    first, *others = text.split("\n")
    lines = [f"- {first}", *(f"  {line}" if line else "" for line in others)]
    return Rule(text, "".join(line + newline for line in lines))


def diff(before: Document, after: Document, path: str) -> str:
    """A unified diff of two documents, byte for byte, that `patch` and `git apply` understand."""
    import difflib  # only to show a proposal; nothing that reads a skill should pay for it

    lines = difflib.unified_diff(_split(before.text), _split(after.text), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _split(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one; `splitlines` also cuts at form feeds and U+2028."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _decode(data: bytes, where: str) -> str:
    if len(data) > MAX_SKILL:
        raise DataError("too-large", f"{where} has {len(data):,} bytes, at most {MAX_SKILL:,} are read")
    if data.startswith(b"\xef\xbb\xbf"):
        raise DataError(
            "byte-order-mark",
            f"{where}:1: a byte order mark hides the front matter from Codex",
            "save the file as UTF-8 without BOM",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            "not-utf8", f"{where}:{line}: byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8"
        ) from error


class _Span(NamedTuple):
    """The lines of the two markers, from 0."""

    start: int
    end: int


def _block(lines: list[str], above: int, where: str) -> _Span | None:
    """Where the learned block is. Markers that do not pair are refused: to guess would cost user text."""
    found = [(i, m[1].lower()) for i, line in enumerate(lines) if (m := _MARKER.fullmatch(line.strip()))]
    if not found:
        return None
    problem, at = "", found[0][0]
    if at < above:
        problem = "a learned-block marker inside the front matter"
    elif found[0][1] == "end":
        problem = "the learned block ends here but does not start"
    elif len(found) == 1:
        problem = "the learned block starts here but does not end"
    elif found[1][1] == "start":
        problem, at = "the learned block starts a second time before it ends", found[1][0]
    elif len(found) > 2:  # noqa: PLR2004 - two markers are one block
        problem, at = "a second learned block", found[2][0]
    if problem:
        raise DataError(
            "learned-block", f"{where}:{at + 1}: {problem}", "remove the stray marker or restore its partner"
        )
    return _Span(found[0][0], found[1][0])


def _learned(lines: list[str], block: _Span, where: str) -> Learned:
    sources: list[str] = []
    first = block.end
    for index in range(block.start + 1, block.end):
        line = lines[index]
        if line.startswith("- ") or line.rstrip(_BLANK) == "-":
            first = min(first, index)
            sources.append(line)
        elif sources and (line.startswith(("  ", "\t")) or not line.strip(_BLANK)):
            sources[-1] += line
        elif sources:
            raise DataError(
                "learned-block",
                f"{where}:{index + 1}: this line in the learned block belongs to no rule",
                "begin it with '- ', indent it by two spaces, or move it out of the block",
            )
    opening = "".join(lines[block.start : first])
    return Learned(opening, tuple(parse_rule(source) for source in sources), lines[block.end])
