"""The end of a plan: done, or given up for a reason.

Owns the note at its bottom. Does not own the rules.
Invariant: a plan is closed only when no rule is broken and every step is done; every byte that was there stays,
and what somebody else wrote meanwhile is not lost.
"""

import stat
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Failed, Refused, UsageError
from armarius.files import read_bounded, write_atomic
from armarius.plans.check import LARGEST, Checked, Repository, read_plan
from armarius.plans.document import Plan, parse, text_of
from armarius.plans.folder import PlanState, closing_of, progress_in
from armarius.plans.setup import stamp

__all__ = ["PlanClosed", "close_plan", "with_note"]


class PlanClosed(msgspec.Struct, frozen=True):
    """How a plan was ended, and what the rules say of it (`armarius.plan_closed.v1`)."""

    path: str
    state: PlanState
    note: str
    checked: Checked
    schema: str = "armarius.plan_closed.v1"


def close_plan(repository: Repository, path: Path, clock: Clock, *, abandon: str | None = None) -> PlanClosed:
    """Note the end of a plan; Failed, with nothing changed, while something is left to do."""
    if path.is_symlink():
        raise Refused("plans-link", f"{path} is a symbolic link", "name the plan itself")
    text = read_plan(path)
    plan = parse(text)
    checked = repository.check(path)
    ended = closing_of(plan)
    if ended is not None:
        raise DataError("plan-closed", f"{checked.path} is {ended.state} since {ended.at}", "take that note out first")
    note = _given_up(abandon, clock) if abandon is not None else _done(plan, checked, clock)
    after = with_note(plan, note)
    closing = closing_of(parse(after))
    if closing is None:
        hint = "correct what `armarius plan check` says of fences and comments"
        raise DataError("plan-unclosable", f"a note at the bottom of {checked.path} would not be read", hint)
    if read_bounded(path, LARGEST) != text.encode():
        raise DataError("changed-meanwhile", f"{checked.path} was changed meanwhile", "try again")
    write_atomic(path, after.encode(), mode=stat.S_IMODE(path.stat().st_mode))
    return PlanClosed(checked.path, closing.state, note, checked)


def with_note(plan: Plan, note: str) -> str:
    """The plan's text with a paragraph at its bottom, within its fence if it has one."""
    last = plan.envelope.last if plan.envelope else len(plan.lines)
    end = "\r" if plan.lines[0].raw.endswith("\r") else ""
    raws = [line.raw for line in plan.lines]
    before, after = raws[:last], raws[last:]
    if after:  # a line follows, so the last one of the plan is whole
        gap = [] if not before or not before[-1].strip() else [end]
        return "\n".join([*before, *gap, note + end, *after])
    text = text_of(plan)
    gap_text = (
        "" if text.endswith(("\n\n", "\n\r\n")) or not text else "\n" if text.endswith("\n") else f"{end}\n{end}\n"
    )
    gap_text = f"{end}\n" if gap_text == "\n" else gap_text
    return f"{text}{gap_text}{note}{end}\n"


def _done(plan: Plan, checked: Checked, clock: Clock) -> str:
    errors = [found for found in checked.findings if found.severity == "error"]
    if errors:
        first = errors[0]
        said = f"{checked.path} breaks {len(errors)} rules, first {first.rule} at line {first.line}: {first.message}"
        raise Failed("plan-invalid", said, "see `armarius plan check`, or give --abandon REASON")
    done, steps, following = progress_in(plan)
    if following is not None:
        said = f"{done} of {steps} steps of {checked.path} are done; next: {following[:120]}"
        raise Failed("plan-open", said, "do them, or give --abandon REASON")
    return f"Closed ({stamp(clock)}), because all {steps} steps are done and `armarius plan check` found no error."


def _given_up(reason: str, clock: Clock) -> str:
    said = " ".join(reason.split())
    if not said or not said.isprintable() or "<!--" in said:
        raise UsageError("plan-reason", f"{reason!r} is no reason", "say in a sentence why the plan is given up")
    return f"Abandoned ({stamp(clock)}), because {said}"
