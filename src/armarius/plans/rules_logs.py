"""Rules on what is kept while the work goes on: progress, decisions, surprises, outcomes, and their proof.

Owns P05, P07 to P09, P20, P22 and P23. Does not own the table of rules, nor the record of runs.
Invariant: pure but for the look-up of evidence.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from armarius.plans.document import Item, Kind, Line, Plan, Section
from armarius.plans.rules import Finding, Surroundings, finding

__all__ = ["CHECKS", "EVIDENCE_ID", "POINTERS", "done_at", "progress_of"]

POINTERS: Final = ("Run", "Thread", "Rollout", "Receipt", "Next command")
"""The labels of the resume pointers."""

EVIDENCE_ID = re.compile(r"(?<![\w-])(?:run|receipt)_[0-9a-f]{8}[0-9a-f-]{0,28}(?![\w])", re.ASCII)

_STAMP = re.compile(
    r"\((?P<day>\d{4}-\d{2}-\d{2})(?:[ T](?P<time>\d{2}:\d{2}(?::\d{2})?))?(?P<zone> ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?"
    r"(?:[,;][^()]{0,120})?\)",
    re.ASCII,
)
_PARTIAL = re.compile(r"\b(?:partial(?:ly)?|half[- ]done|half[- ]finished|in progress|wip)\b", re.IGNORECASE)
_NOTHING = re.compile(
    r"\(?(?:none|nothing|not yet|n/?a|pending|to be (?:written|filled|done|added|completed)|will be (?:written|filled)"
    r"|no (?:decisions?|surprises?|outcomes?|entries))\b.{0,120}",
    re.IGNORECASE | re.DOTALL,
)
_NOTE = re.compile(r"\W{0,4}(?:revision|revised|change note|changed|updated|note|closed|abandoned)\b", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since|so that|reason|why|in order to|to \w+|after|due to)\b", re.IGNORECASE)


def progress_of(plan: Plan) -> tuple[Item, ...]:
    """The items of Progress."""
    section = plan.section("progress")
    if section is None:
        return ()
    last = section.lines[-1].number if section.lines else section.line
    return tuple([item for item in plan.items if section.line < item.line <= last])


def done_at(item: Item) -> datetime | None:
    """When an item says that it was done; None without a whole time in UTC."""
    found = _STAMP.search(item.text[:400])
    if found is None or found["time"] is None or (found["zone"] or "").strip() not in {"Z", "UTC"}:
        return None
    try:
        return datetime.fromisoformat(f"{found['day']} {found['time']}").replace(tzinfo=UTC)
    except ValueError:
        return None


def progress(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P05."""
    section = plan.section("progress")
    if section is None:
        return
    items = progress_of(plan)
    if not any(item.mark is not None for item in items):
        fix = "list the steps as `- [ ] …`, and done ones as `- [x] (2026-01-31 13:00Z) …`"
        yield finding("P05", section.line, "Progress has no checklist", fix)
    last: datetime | None = None
    for item in items:
        at = done_at(item)
        yield from _of_item(item, at)
        if not item.is_done:
            continue
        if at is not None:
            if last is not None and at < last:
                yield finding(
                    "P05",
                    item.line,
                    f"done at {at:%Y-%m-%d %H:%M}Z, before the one above it ({last:%Y-%m-%d %H:%M}Z)",
                    "put done items in the order in which they were done, or correct the time",
                )
            last = max(at, last) if last is not None else at


def _of_item(item: Item, at: datetime | None) -> Iterator[Finding]:
    if item.mark is None:
        if item.indent == 0:
            yield finding("P05", item.line, "an entry without a box", "write `- [ ]` or `- [x]`")
        return
    if item.mark not in {" ", "x", "X"}:
        fix = "split it: `[x]` for what is completed, `[ ]` for what remains"
        yield finding("P05", item.line, f"[{item.mark}] is neither open nor done", fix)
        return
    if at is None:
        stamped = _STAMP.search(item.text[:400])
        example = "write the time in UTC, e.g. `(2026-01-31 13:00Z)`"
        if stamped is not None:
            yield finding("P05", item.line, f"{stamped[0]} is no time in UTC", example)
        elif item.is_done:
            yield finding("P05", item.line, "a done item without its time", example)
        else:
            yield finding("P05", item.line, "an open item without a time", example, "warning")
    text = item.text.lower()
    if item.is_done and "remaining:" in text:
        fix = "split it: `[x]` for what is completed, `[ ]` for what remains"
        yield finding("P05", item.line, "checked, with something remaining", fix)
    elif not item.is_done and _PARTIAL.search(item.text) and not ("completed:" in text and "remaining:" in text):
        fix = "split it, or say `(completed: …; remaining: …)`"
        yield finding("P05", item.line, "partly done, without saying which part", fix, "warning")


def decisions(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P07."""
    section = plan.section("decision log")
    labels = {"Decision": r"decision", "Rationale": r"rationale", "Date/Author": r"date\s?/\s?author|date"}
    if section is not None:
        yield from _entries("P07", section, labels)


def surprises(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P08."""
    section = plan.section("surprises and discoveries")
    if section is not None:
        yield from _entries("P08", section, {"Observation": "observation", "Evidence": "evidence"})


def _entries(rule: str, section: Section, labels: dict[str, str]) -> Iterator[Finding]:
    """Each entry of a log has each label, with something behind it."""
    example = "; ".join(f"{label}: …" for label in labels)
    entries = _entries_of(section.lines, next(iter(labels)))
    if not entries and not section.is_empty and not _NOTHING.fullmatch(section.said.strip()[:200]):
        said = f"{section.title!r} has text and no entry"
        yield finding(rule, section.line, said, f"write entries: {example}")
    for line, text in entries:
        missing = [label for label, pattern in labels.items() if not _has_label(text, pattern)]
        if missing:
            yield finding(rule, line, f"an entry without {', '.join(missing)}", f"write {example}")


def _entries_of(lines: Sequence[Line], label: str) -> list[tuple[int, str]]:
    """Where each entry begins and what it says: a bullet at the margin, or a paragraph that begins with the label."""
    begins = re.compile(rf"[-*+\s]{{0,4}}(?:\*\*|__)?{label}\b", re.IGNORECASE)
    entries = list[tuple[int, list[str]]]()
    for line in lines:
        margin = not line.text[:1].isspace()
        if line.is_prose and margin and (line.kind is Kind.ITEM or begins.match(line.text)):
            entries.append((line.number, [line.text]))
        elif entries and line.is_said:
            entries[-1][1].append(line.text)
    return [(number, "\n".join(text)) for number, text in entries]


def _has_label(text: str, pattern: str) -> bool:
    """Whether something stands behind the label: on its line, or on the next one that is no label itself."""
    return _label(pattern).search(text) is not None


@functools.cache
def _label(pattern: str) -> re.Pattern[str]:
    behind = r"[ \t*_]{0,8}(?:\n[ \t]{0,40}(?!\w{4,12}(?:/\w{4,8})?\s?:))?[^\s*_]"
    return re.compile(rf"(?<!\w)(?:{pattern})(?:\*\*|__)?\s?:{behind}", re.IGNORECASE)


def outcomes(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P09."""
    boxes = [item for item in progress_of(plan) if item.mark is not None]
    section = plan.section("outcomes and retrospective")
    if not boxes or section is None or not all(item.is_done for item in boxes):
        return
    if section.is_empty or _NOTHING.fullmatch(section.said.strip()[:200]):
        fix = "say what was achieved, what remains and what was learnt, against the purpose"
        yield finding("P09", section.line, "all of Progress is done, and there is no outcome", fix)


def revision(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P20: asked for as soon as something was done."""
    if not any(item.is_done for item in progress_of(plan)):
        return
    note = _note_of(plan)
    if note is None:
        last = next((line.number for line in reversed(plan.lines) if line.is_said), 1)
        fix = "add at the bottom: `Revision (2026-01-31): what changed, because …`"
        yield finding("P20", last, "work has begun, and no note at the bottom says what was revised", fix)
    elif not _REASON.search(note[1]):
        yield finding("P20", note[0], "the revision note gives no reason", "say what changed and why")


def _note_of(plan: Plan) -> tuple[int, str] | None:
    """The last paragraph that is a note on a revision: its line and its text, in the last section."""
    named = next((s for s in plan.sections if "revision" in s.key and s.level > 1), None)
    if named is not None and not named.is_empty:
        return named.line, named.said
    last = max((section.line for section in plan.sections), default=0)
    after = [line for line in plan.lines if line.number > last and line.is_prose]
    for index in range(len(after) - 1, -1, -1):
        if _NOTE.match(after[index].text):
            return after[index].number, " ".join(line.text for line in after[index:])
    return None


def pointers(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P22."""
    section = plan.section("resume pointers")
    example = "add `## Resume Pointers` with " + ", ".join(f"`{label}:`" for label in POINTERS)
    if section is None:
        yield finding("P22", 1, "there are no resume pointers", example)
        return
    said = {label for label in POINTERS if re.search(rf"(?im)^[-*+\s]{{0,4}}{label}s?:", section.said)}
    missing = [label for label in POINTERS if label not in said]
    if missing:
        yield finding("P22", section.line, f"the resume pointers lack {', '.join(missing)}", example)


def evidence(plan: Plan, around: Surroundings) -> Iterator[Finding]:
    """P23; with a record to look in, an item that cannot be proved is an error."""
    look_up = around.evidence
    for item in progress_of(plan):
        if not item.is_done:
            continue
        ids = EVIDENCE_ID.findall(item.text)
        if not ids:
            fix = "name the run that shows it, e.g. `run_0193…`"
            yield finding(
                "P23", item.line, "a done item names no run or receipt", fix, None if look_up is None else "error"
            )
        if look_up is None:
            continue
        for name in ids:
            found = look_up(name)
            if found is None:
                said, fix = f"{name} is not in the record", "name a run of `armarius runs list`"
                yield finding("P23", item.line, said, fix, "error")
            elif not found.is_good:
                said = f"{name} is recorded as {found.state}"
                yield finding("P23", item.line, said, "name a run that succeeded, or open the box again", "error")


CHECKS = (progress, decisions, surprises, outcomes, revision, pointers, evidence)
