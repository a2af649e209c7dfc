"""`armarius plan show`."""

from pathlib import Path

import click
import msgspec

from armarius.cli.output import print_json, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of
from armarius.plans.check import Repository, read_plan
from armarius.plans.document import parse
from armarius.plans.folder import Closing, PlanLine, closing_of, find_plan, line_of
from armarius.plans.rules import Finding
from armarius.plans.rules_logs import done_at, progress_of


class SectionLine(msgspec.Struct, frozen=True):
    """A heading of a plan, and where it stands."""

    level: int
    title: str
    line: int
    empty: bool


class StepLine(msgspec.Struct, frozen=True):
    """An item of Progress."""

    line: int
    done: bool
    at: str | None
    text: str


class PlanShown(msgspec.Struct, frozen=True):
    """One plan (`armarius.plan.v1`)."""

    plan: PlanLine
    sections: tuple[SectionLine, ...]
    progress: tuple[StepLine, ...]
    closing: Closing | None
    findings: tuple[Finding, ...]
    schema: str = "armarius.plan.v1"


@click.command()
@click.argument("plan", required=False)
@FOLDER
@AS_JSON
def command(*, plan: str | None, folder: Path | None, as_json: bool) -> int:
    """Show one plan: its sections, its progress, what breaks a rule.

    PLAN is its path, its slug or the beginning of one; without it, the only open plan.
    """
    root = root_of(folder)
    shown = _shown(find_plan(root, plan), Repository(root))
    if as_json:
        print_json(shown)
        return 0
    line = shown.plan
    say(f"{line.title or '(no title)'}\n{line.path} · {line.state} · {line.done} of {line.steps} steps done")
    if shown.closing:
        say(f"{shown.closing.state} {shown.closing.at}: {shown.closing.reason}")
    for section in shown.sections:
        say(f"{section.line:>6}  {'  ' * (section.level - 1)}{section.title}{'  (empty)' if section.empty else ''}")
    for step in shown.progress:
        say(f"  [{'x' if step.done else ' '}] {step.text}")
    say(f"{line.errors} errors, {line.warnings} warnings" + ("" if not line.errors else "; see `armarius plan check`"))
    return 0


def _shown(path: Path, repository: Repository) -> PlanShown:
    checked = repository.check(path)
    plan = parse(read_plan(path))
    return PlanShown(
        line_of(path, repository, checked),
        tuple(SectionLine(each.level, each.title, each.line, each.is_empty) for each in plan.sections),
        tuple(
            StepLine(item.line, item.is_done, f"{at:%Y-%m-%dT%H:%M:%SZ}" if (at := done_at(item)) else None, item.text)
            for item in progress_of(plan)
            if item.mark is not None
        ),
        closing_of(plan),
        checked.findings,
    )
