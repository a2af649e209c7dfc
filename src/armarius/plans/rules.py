"""The rules that a plan is held to, P01 to P24, and P00 for a file that nobody can read.

Owns the table of rules with the reason of each, a finding, and the order in which all are asked. Does not
own what a rule looks at (`rules_form`, `rules_logs`, `rules_content`) nor reading files (`check.py`).
Invariant: pure but for what `Surroundings` is asked; a rule never raises, whatever the plan says. Findings
come in the order of the lines.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from armarius.plans.document import Plan

__all__ = ["RULES", "Evidence", "Finding", "Place", "Rule", "Severity", "Surroundings", "finding"]

Severity = Literal["error", "warning"]
Place = Literal["there", "missing", "no-folder", "outside"]
"""Where a path of the plan leads: to something, to nothing, into no folder, or out of the repository."""


class Rule(msgspec.Struct, frozen=True):
    """One rule: its name, what it weighs at most, and why it is one."""

    id: str
    name: str
    severity: Severity
    why: str


class Finding(msgspec.Struct, frozen=True, gc=False):
    """Where a plan breaks a rule: what stands there, why it matters, and the way out."""

    rule: str
    severity: Severity
    line: int
    message: str
    why: str
    fix: str


class Evidence(msgspec.Struct, frozen=True):
    """What the record says of a run or receipt that an item names."""

    id: str
    state: str
    is_good: bool


class Surroundings(msgspec.Struct, frozen=True):
    """What is around a plan.

    `plans_file` is the checked-in PLANS.md, from the root. `place` says where a path leads, and is only asked
    about paths without `..`. `evidence` looks up an id in the record; None when nobody asked for proof. An
    `adopted` plan was begun without these rules.
    """

    plans_file: PurePosixPath | None = None
    place: Callable[[str], Place] = lambda _: "there"
    evidence: Callable[[str], Evidence | None] | None = None
    adopted: bool = False


_TABLE: Final = (
    ("P00", "readable", "error", "a reader must see what is there, and a program must be able to read all of it"),
    ("P01", "title", "error", "the title is how people and agents name the plan"),
    ("P02", "living-document", "error", "whoever takes the plan up must know which sections to keep true"),
    ("P03", "follows-plans-file", "error", "the plan is read alone, so it must say where its own rules stand"),
    ("P04", "sections", "error", "each section answers a question that a newcomer has"),
    ("P05", "progress", "error", "Progress is the state of the work: what is done, when, and what is left"),
    ("P06", "checklists", "error", "two places with boxes are two states of the work"),
    ("P07", "decisions", "error", "a decision without its reason is made again by the next reader"),
    ("P08", "surprises", "warning", "a surprise without evidence cannot be told from a guess"),
    ("P09", "outcomes", "error", "work that is done has an outcome to compare with its purpose"),
    ("P10", "fences", "error", "a fence inside a fenced plan ends it early"),
    ("P11", "headings", "warning", "headings are how a reader finds the way, and tools find sections"),
    ("P12", "prose", "warning", "prose says how things hang together; tables and long lists do not"),
    ("P13", "paths", "warning", "a newcomer finds a file only by its full path"),
    ("P14", "steps", "error", "a newcomer must be able to type the steps and to tell success from failure"),
    ("P15", "acceptance", "error", "done means that somebody can see it work"),
    ("P16", "recovery", "error", "whoever takes the plan up does not know which step came last"),
    ("P17", "interfaces", "warning", "names that must exist in the end cannot be guessed"),
    ("P18", "self-contained", "warning", "the reader has this file and the repository, and nothing else"),
    ("P19", "milestones", "warning", "a milestone that cannot be checked alone is none"),
    ("P20", "revision-note", "warning", "readers must see what changed in the plan, and why"),
    ("P21", "autonomy", "warning", "the plan is carried out without anybody to ask"),
    ("P22", "resume-pointers", "warning", "a fresh agent needs the runs, the threads and the next command"),
    ("P23", "evidence", "warning", "a checked box is a claim; a recorded run is proof"),
    ("P24", "placeholders", "error", "what is not filled in was left for the reader to decide"),
)

RULES: Final[dict[str, Rule]] = {row[0]: Rule(*row) for row in _TABLE}  # type: ignore[arg-type]  # rows of literals

Check = Callable[[Plan, Surroundings], Iterator[Finding]]


def finding(rule: str, line: int, message: str, fix: str, severity: Severity | None = None) -> Finding:
    """A finding of a rule, with the rule's own weight unless another is said."""
    found = RULES[rule]
    return Finding(rule, severity or found.severity, max(line, 1), message, found.why, fix)
