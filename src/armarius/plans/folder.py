"""The plans of a repository: which there are, how each stands, and finding one by its name.

Owns the folder of plans and a plan in short. Does not own the rules, nor making plans (`setup.py`).
Invariant: a link is never read through; a name means one plan or none.
"""

import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from armarius.errors import DataError, UsageError, nearest
from armarius.plans.check import Checked, Repository, read_plan
from armarius.plans.document import Kind, Plan, parse
from armarius.plans.rules_logs import progress_of
from armarius.plans.setup import FOLDER

__all__ = ["Closing", "PlanLine", "PlanList", "closing_of", "find_plan", "line_of", "plans_in", "progress_in"]

PlanState = Literal["open", "closed", "abandoned"]

_CLOSING = re.compile(
    r"(?P<how>Closed|Abandoned) \((?P<at>\d{4}-\d{2}-\d{2} \d{2}:\d{2})Z\), because (?P<why>\S.*)", re.ASCII
)
_PREFIX: Final = "execplan-"


class Closing(msgspec.Struct, frozen=True):
    """How a plan came to its end, by the note that `close` wrote at its bottom."""

    state: PlanState
    at: str
    reason: str


class PlanLine(msgspec.Struct, frozen=True):
    """A plan in short. `next_step` is the first open item of Progress."""

    path: str
    title: str
    state: PlanState
    done: int
    steps: int
    next_step: str | None
    errors: int
    warnings: int


class PlanList(msgspec.Struct, frozen=True):
    """The plans of a repository (`armarius.plans.v1`)."""

    plans: tuple[PlanLine, ...]
    schema: str = "armarius.plans.v1"


def plans_in(root: Path) -> list[Path]:
    """The files of all plans, by name."""
    folder = root / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = (path for path in folder.glob("*.md") if path.is_file() and not path.is_symlink())
    return sorted(found, key=lambda path: path.stem)


def find_plan(root: Path, name: str | None) -> Path:
    """The plan that `name` means: its path, its slug or the beginning of one; without a name the only open plan."""
    known = plans_in(root)
    if name is None:
        still = [path for path in known if _is_open(path)]
        if len(still) == 1:
            return still[0]
        said = "no plan is open" if not still else f"{len(still)} plans are open"
        hint = "`armarius plan new` makes one" if not still else "name one of `armarius plan list`"
        raise UsageError("plan-which", said, hint)
    path = Path(name)
    if "/" in name or path.suffix == ".md":
        found = next((base / path for base in (Path.cwd(), root) if (base / path).is_file()), None)
        if found is not None:
            return found.absolute()
    slug = path.name.removesuffix(".md").removeprefix(_PREFIX)
    slugs = {each: each.stem.removeprefix(_PREFIX) for each in known}
    exact = [each for each, other in slugs.items() if other == slug]
    begins = exact or [each for each, other in slugs.items() if other.startswith(slug)]
    if len(begins) == 1:
        return begins[0]
    if begins:
        raise DataError("plan-ambiguous", f"{name!r} begins more than one plan", "write more of its name")
    hint = nearest(slug, list(slugs.values())).lstrip("; ") if slugs else ""
    raise DataError("plan-unknown", f"no plan {name!r} in {root / FOLDER}", hint or "see `armarius plan list`")


def closing_of(plan: Plan) -> Closing | None:
    """How it ended, if it has."""
    for line in reversed(plan.lines):
        found = _CLOSING.fullmatch(line.text) if line.kind is Kind.TEXT else None
        if found:
            return Closing("closed" if found["how"] == "Closed" else "abandoned", found["at"] + "Z", found["why"])
    return None


def progress_in(plan: Plan) -> tuple[int, int, str | None]:
    """How many steps are done, of how many, and the first that is not."""
    boxes = [item for item in progress_of(plan) if item.mark is not None]
    still = [item for item in boxes if not item.is_done]
    return len(boxes) - len(still), len(boxes), " ".join(still[0].text.split()) if still else None


def line_of(path: Path, repository: Repository, checked: Checked | None = None) -> PlanLine:
    """A plan in short; one that cannot be read is open, and has an error."""
    found = checked or repository.check(path)
    plan = _plan_or_none(path)
    closing = closing_of(plan) if plan else None
    done, steps, following = progress_in(plan) if plan else (0, 0, None)
    weights = [each.severity for each in found.findings]
    return PlanLine(
        path=found.path,
        title=found.title,
        state=closing.state if closing else "open",
        done=done,
        steps=steps,
        next_step=following,
        errors=weights.count("error"),
        warnings=weights.count("warning"),
    )


def _is_open(path: Path) -> bool:
    plan = _plan_or_none(path)
    return plan is None or closing_of(plan) is None


def _plan_or_none(path: Path) -> Plan | None:
    try:
        return parse(read_plan(path))
    except DataError:
        return None
