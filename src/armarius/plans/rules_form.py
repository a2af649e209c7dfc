"""Rules on the form of a plan: its title, its sections, headings, fences, lists, and what is left to fill in.

Owns P01 to P04, P06, P10 to P12 and P24. Does not own the table of rules.
Invariant: pure; no pattern goes back over a line more than once for each place in it.
"""

import re
from collections.abc import Iterator
from typing import Final

from armarius.plans.document import Item, Kind, Line, Plan
from armarius.plans.rules import Finding, Severity, Surroundings, finding

__all__ = ["CHECKS", "LIVING", "SECTIONS", "is_placeholder", "without_code"]

LIVING: Final = ("progress", "surprises and discoveries", "decision log", "outcomes and retrospective")
SECTIONS: Final = {
    "Purpose / Big Picture": ("purpose big picture", "purpose", "big picture"),
    "Progress": ("progress",),
    "Surprises & Discoveries": ("surprises and discoveries",),
    "Decision Log": ("decision log",),
    "Outcomes & Retrospective": ("outcomes and retrospective",),
    "Context and Orientation": ("context and orientation",),
    "Plan of Work": ("plan of work",),
    "Concrete Steps": ("concrete steps",),
    "Validation and Acceptance": ("validation and acceptance",),
    "Idempotence and Recovery": ("idempotence and recovery",),
    "Artifacts and Notes": ("artifacts and notes", "artefacts and notes"),
    "Interfaces and Dependencies": ("interfaces and dependencies",),
}
"""The sections of a plan, and the plain names under which each is found."""

_NEEDED_TEXT: Final = ("Purpose / Big Picture", "Context and Orientation", "Plan of Work")
_SPAN = re.compile(r"`[^`\n]+`")
_ANGLE = re.compile(r"<([^<>`\n]{1,120})>")
_TAG = re.compile(
    r"/?(?:a|abbr|b|blockquote|br|code|dd|del|details|div|dl|dt|em|h[1-6]|hr|i|img|ins|kbd|li|ol|p|pre|q|s|samp|small"
    r"|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|u|ul|var)(?:\s[^<>]*)?/?",
    re.IGNORECASE,
)
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+|[^\s@]+@[^\s@]+")
_LIVES = re.compile(r"[Ll]iving\s{1,40}document")
_MAYBE = re.compile(r"<|…|\.\.|TODO|TBD|FIXME|XXX")
_LEFT = re.compile(r"\b(?:TODO|TBD|FIXME|XXX)\b")
_DOTS = re.compile(r"(?:[^:\n]{0,60}:)?\s{0,8}(?:\.{2,}|…)")
_DELIMITERS = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$|\s*\|\s*:?-+:?\s*\|\s*$")
_BLAND: Final = frozenset({"plan", "execplan", "exec plan", "execution plan", "title", "untitled", "new plan", "todo"})
_LONGEST_TITLE: Final = 100
_MOST_BULLETS: Final = 8
_GAP: Final = 2
"""Entries of one list are lines below each other, or have an empty one between them."""


def without_code(text: str) -> str:
    """Prose without what stands between backticks, which keeps its place."""
    return _SPAN.sub(_blank, text) if "`" in text else text


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def is_placeholder(text: str) -> bool:
    """Whether something stands in the place of what is meant."""
    bare = text.strip()
    return not bare.strip(".…") or bool(_ANGLE.fullmatch(bare)) or bare.upper() in {"TODO", "TBD"}


def title(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P01."""
    heads = [section for section in plan.sections if section.level == 1]
    if not heads:
        yield finding("P01", 1, "there is no title", "begin with `# ` and what is to be done, in a few words")
        return
    for extra in heads[1:]:
        yield finding("P01", extra.line, f"a second title: {extra.title[:60]!r}", "make it a section with `##`")
    said = heads[0].title
    if len(said) > _LONGEST_TITLE:
        fix = f"say it in at most {_LONGEST_TITLE} characters; the rest belongs to the purpose"
        yield finding("P01", heads[0].line, f"the title has {len(said)} characters", fix)
    elif " ".join(said.lower().split()) in _BLAND or len(said.split()) <= 1:
        yield finding("P01", heads[0].line, f"{said!r} names no action", "say what is to be done, e.g. `# Add …`")


def living(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P02: one paragraph that says so and names the four sections."""
    paragraphs = [_bare(text).lower().replace("&", "and") for text in _paragraphs(plan) if _LIVES.search(text)]
    if not paragraphs:
        fix = "say below the title that it is a living document, and name the four sections that are kept up to date"
        yield finding("P02", _title_line(plan), "the plan does not say that it is a living document", fix)
        return
    best = max(paragraphs, key=lambda text: sum(name in text for name in LIVING))
    missing = [name for name in LIVING if name not in best]
    if missing:
        fix = "name Progress, Surprises & Discoveries, Decision Log and Outcomes & Retrospective in that paragraph"
        said = f"the paragraph about the living document does not name {', '.join(missing)}"
        yield finding("P02", _title_line(plan), said, fix)
    elif not re.search(r"up[ -]to[ -]date|\bupdate|\bmaintain|\bcurrent\b|\brevise", best):
        yield finding("P02", _title_line(plan), "it does not say that the sections are kept up to date", "say so there")


def follows(plan: Plan, around: Surroundings) -> Iterator[Finding]:
    """P03."""
    if around.plans_file is None:
        return
    path = str(around.plans_file)
    paragraphs = [_bare(text) for text in _paragraphs(plan) if path in text and _names(path, text)]
    fix = f"write below the title: This plan is maintained in accordance with `{path}`."
    if not paragraphs:
        yield finding("P03", _title_line(plan), f"{path} is checked in, and the plan does not name it", fix)
    elif not any(re.search(r"accordance|maintain|follow|conform|rules of", text, re.IGNORECASE) for text in paragraphs):
        yield finding("P03", _title_line(plan), f"{path} is named, and not said to be followed", fix)


def _names(path: str, text: str) -> bool:
    """Whether the text names this path and not only the end of another one."""
    return re.search(rf"(?<![\w/.-]){re.escape(path)}(?![\w/-])", text) is not None


def sections(plan: Plan, around: Surroundings) -> Iterator[Finding]:
    """P04."""
    for name, keys in SECTIONS.items():
        found = [section for section in plan.sections if section.key in keys]
        weight: Severity = "warning" if around.adopted and keys[0] not in LIVING else "error"
        if not found:
            yield finding("P04", _title_line(plan), f"the section {name!r} is missing", f"add `## {name}`", weight)
            continue
        for extra in found[1:]:
            fix = "merge it into the first one"
            yield finding("P04", extra.line, f"the section {name!r} is there twice", fix, weight)
        if name in _NEEDED_TEXT and found[0].is_empty:
            yield finding("P04", found[0].line, f"the section {name!r} is empty", "write it", weight)


def checklists(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P06."""
    progress = plan.section("progress")
    inside = {line.number for line in progress.lines} if progress else set[int]()
    for item in plan.items:
        if item.mark is not None and item.line not in inside:
            fix = "move it to Progress, or write a sentence"
            yield finding("P06", item.line, "a checklist outside of Progress", fix)


def fences(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P10."""
    around = plan.envelope
    if around is not None:
        if around.is_alone:
            fix = "take the first and the last fence away"
            yield finding("P10", around.line, "a fence around a plan that has the file to itself", fix)
        if not around.is_closed:
            yield finding("P10", around.line, "the fence around the plan is never closed", "close it below the plan")
        for line in around.inner:
            yield finding("P10", line, "a fence within the fenced plan", "indent the block by four spaces instead")
        for line in around.others:
            yield finding("P10", line, "a second fenced plan in one file", "give each plan one fence, or a file")
    if plan.open_fence is not None:
        fix = "close it, or indent the block by four spaces instead"
        yield finding("P10", plan.open_fence, "this fence is never closed, and hides all that follows", fix)


def headings(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P11."""
    by_number = {line.number: line for line in plan.lines}
    before = 0
    for section in plan.sections:
        after = by_number.get(section.line + 1)
        if (
            after is not None
            and after.kind is Kind.COMMENT
            and not after.text
            and not after.raw.lstrip().startswith("<")
        ):
            after = by_number.get(section.line + 2)  # the underline of a heading
        if after is not None and after.is_said:
            yield finding("P11", section.line, f"no empty line after {section.title[:60]!r}", "add one")
        if section.level > before + 1:
            said = f"a heading of level {section.level} where {before + 1} would follow"
            yield finding("P11", section.line, said, "use # for the title, ## for sections, ### below them")
        before = section.level


def prose(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P12."""
    for above, line in zip(plan.lines, plan.lines[1:], strict=False):
        if line.is_prose and "-" in line.text and "|" in above.text and _DELIMITERS.match(line.text[:400]):
            yield finding("P12", above.number, "a table", "say it in sentences, or indent it as an example")
    exempt = set[int]()
    for name in LIVING[:3]:
        section = plan.section(name)
        exempt |= {line.number for line in section.lines} if section else set()
    run = list[Item]()
    for item in [*plan.items, None]:
        if item is not None and run and item.line - run[-1].line - run[-1].text.count("\n") <= _GAP:
            run.append(item)
            continue
        if len(run) > _MOST_BULLETS and run[0].line not in exempt:
            yield finding("P12", run[0].line, f"a list of {len(run)} entries", "say it in sentences, or in parts")
        run = [item] if item else []


def placeholders(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P24: in prose; what stands in code is the code's."""
    fix = "write what is meant, or put a name that really is spelled so in backticks"
    for line in plan.lines:
        may = (line.is_prose or line.kind is Kind.HEADING) and _MAYBE.search(line.text)
        said = _placeholder_in(line) if may else ""
        if said:
            yield finding("P24", line.number, f"{said!r} is left to fill in", fix)


def _placeholder_in(line: Line) -> str:
    bare = without_code(line.text)
    if "<" in bare:
        for found in _ANGLE.finditer(bare):
            inner = found[1].strip()
            if (
                inner
                and (inner[0].isalpha() or not inner.isascii() or inner[0] in ".…?")
                and not (_TAG.fullmatch(inner) or _LINK.fullmatch(inner))
            ):
                return found[0]
    left = _LEFT.search(bare)
    if left:
        return left[0]
    if "…" in bare or ".." in bare:
        entry = line.text.strip().lstrip("-*+ ").replace("*", "")
        if _DOTS.fullmatch(entry):
            return entry
    return ""


def _paragraphs(plan: Plan) -> Iterator[str]:
    """Each paragraph as one line."""
    parts = list[str]()
    for line in [*plan.lines, None]:
        if line is not None and line.is_prose:
            parts.append(line.text)
        elif parts:
            yield " ".join(parts)
            parts = []


def _bare(text: str) -> str:
    return " ".join(text.split()).replace("`", "").replace("*", "")


def _title_line(plan: Plan) -> int:
    return next((section.line for section in plan.sections), 1)


CHECKS = (title, living, follows, sections, checklists, fences, headings, prose, placeholders)
