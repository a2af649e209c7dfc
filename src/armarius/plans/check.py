"""Plans on the disk, held to the rules.

Owns reading a plan's file, what is around it in its repository, and the answer for many of them. Does not own
the rules (`rules.py` and its neighbours), nor the record that evidence is looked up in (`evidence.py`).
Invariant: one bad file hides no other; what cannot be read is a finding (P00) and never an exception. Nothing
outside of the repository is looked at: a path of a plan that leads out of it is not followed.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.plans import rules_content, rules_form, rules_logs
from armarius.plans.document import LONGEST_LINE, Plan, parse
from armarius.plans.rules import Evidence, Finding, Place, Surroundings, finding

__all__ = ["LARGEST", "CheckReport", "Checked", "Repository", "check_text", "read_plan"]

LARGEST: Final = 1 << 20
PLANS_FILES: Final = (PurePosixPath(".agent/PLANS.md"), PurePosixPath("PLANS.md"))

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u061c\u2028-\u202e\u2060\u2066-\u2069]|\r(?!\n)"
)
_ADOPTED = re.compile(r"<!-- *armarius: *adopted *-->")
_MOST_HIDDEN: Final = 20
_CHECKS: Final = (*rules_form.CHECKS, *rules_logs.CHECKS, *rules_content.CHECKS)


class Checked(msgspec.Struct, frozen=True):
    """What was found in one plan. It is valid without an error, whatever else was found."""

    path: str
    title: str
    valid: bool
    findings: tuple[Finding, ...]


class CheckReport(msgspec.Struct, frozen=True):
    """The plans that were checked (`armarius.plan_check.v1`)."""

    plans: tuple[Checked, ...]
    errors: int
    warnings: int
    strict_evidence: bool = False
    schema: str = "armarius.plan_check.v1"

    @classmethod
    def of(cls, plans: tuple[Checked, ...], *, strict_evidence: bool = False) -> "CheckReport":
        weights = [found.severity for plan in plans for found in plan.findings]
        return cls(plans, weights.count("error"), weights.count("warning"), strict_evidence)


def check_text(text: str, around: Surroundings) -> tuple[Plan, tuple[Finding, ...]]:
    """Hold a text to all rules; what it was parsed to, and the findings in the order of the lines."""
    plan = parse(text)
    if not around.adopted and _ADOPTED.search(text):
        around = msgspec.structs.replace(around, adopted=True)
    found = [*_readable(text, plan)]
    for check in _CHECKS:
        found += check(plan, around)
    return plan, tuple(sorted(found, key=lambda each: (each.line, each.rule)))


def read_plan(path: Path) -> str:
    """The text of a plan's file; DataError when there is none, or it is no text of a bearable size."""
    data = read_bounded(path, LARGEST)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"{path}: line {line}: byte {error.start} is not UTF-8"
        raise DataError("not-utf8", said, "save it as UTF-8") from error


class Repository:
    """The repository that plans lie in. What it is asked about paths it remembers."""

    def __init__(
        self,
        root: Path,
        *,
        adopted: bool = False,
        evidence: Callable[[str], Evidence | None] | None = None,
    ) -> None:
        self.root = root
        self._real = root.resolve()
        self._places = dict[str, Place]()
        self.plans_file = next((name for name in PLANS_FILES if (root / name).is_file()), None)
        self._around = Surroundings(self.plans_file, self.place, evidence, adopted)

    def check(self, path: Path) -> Checked:
        """One plan; a file that cannot be read has one finding."""
        shown = self.shown(path)
        if shown != str(path.absolute()) and self.place(shown) == "outside":
            said = f"{shown} is a link out of the repository"
            return Checked(shown, "", valid=False, findings=(finding("P00", 1, said, "put the plan itself there"),))
        try:
            text = read_plan(path)
        except DataError as error:
            return Checked(shown, "", valid=False, findings=(finding("P00", 1, error.message, error.hint),))
        plan, found = check_text(text, self._around)
        return Checked(shown, plan.title, not any(each.severity == "error" for each in found), found)

    def shown(self, path: Path) -> str:
        """A path as people write it: from the root, where it lies below."""
        absolute = path.absolute()
        return absolute.relative_to(self.root).as_posix() if absolute.is_relative_to(self.root) else str(absolute)

    def place(self, path: str) -> Place:
        """Where a path from the root leads; no link is followed out of the repository."""
        if path not in self._places:
            try:
                self._places[path] = self._look(path)
            except (OSError, ValueError):  # a name that no file system takes
                self._places[path] = "missing"
        return self._places[path]

    def _look(self, path: str) -> Place:
        real = Path(os.path.realpath(self.root / path))  # a ring of links is an error to `resolve` alone
        if not real.is_relative_to(self._real):
            return "outside"
        if real.exists():
            return "there"
        return "missing" if real.parent.is_dir() else "no-folder"


def _readable(text: str, plan: Plan) -> Iterator[Finding]:
    """P00: what hides from a reader, and lines that are longer than anybody reads."""
    for count, found in enumerate(_HIDDEN.finditer(text)):
        if count == _MOST_HIDDEN:
            break
        line = text.count("\n", 0, found.start()) + 1
        said = f"U+{ord(found[0]):04X} stands there, which nobody sees"
        yield finding("P00", line, said, "take it out")
    for line in plan.long:
        said = f"a line of more than {LONGEST_LINE:,} characters, of which the rest was not looked at"
        yield finding("P00", line, said, "break it into lines")
