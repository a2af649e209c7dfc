"""What a fresh agent needs to go on with a plan.

Owns bringing together the plan and the record: where it stands, which runs and threads there were, the last
proof, the next step, and the words that a new run is given. Does not own starting one (`dispatch`).
Invariant: what the record says is told apart from what the plan says; an id that the record does not have is
told as unknown.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from armarius.clock import rfc3339
from armarius.errors import DataError
from armarius.plans.check import Repository, read_plan
from armarius.plans.document import parse
from armarius.plans.folder import PlanLine, line_of
from armarius.plans.rules_logs import EVIDENCE_ID, progress_of
from armarius.redact import redact
from armarius.runs.records import RunRow, find_run, latest_runs
from armarius.store.database import Database

__all__ = ["PlanRun", "Resumption", "resumption"]

_THREAD = re.compile(
    r"(?<![\w-])(?<!run_)(?<!receipt_)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])", re.ASCII
)
_ROLLOUT = re.compile(r"[^\s`'\"()]{0,400}rollout-[\w.:-]{1,120}\.jsonl(?:\.zst)?", re.ASCII)
_NEXT = re.compile(r"(?im)^[-*+\s]{0,4}next command:[ \t]{0,8}`?([^`\n]{1,400})")
_MOST_RUNS: Final = 500
_MOST_SAID: Final = 400


class PlanRun(msgspec.Struct, frozen=True):
    """A run of a plan; `state` is `unknown` when the plan names it and the record does not."""

    id: str
    state: str
    thread_id: str | None = None
    ended_at: str | None = None
    answer: str | None = None
    error: str | None = None


class Resumption(msgspec.Struct, frozen=True):
    """Where a plan stands, and how to go on (`armarius.plan_resume.v1`).

    `receipt` is the newest run that succeeded. `prompt` is what a new run is told.
    """

    plan: PlanLine
    open_steps: tuple[str, ...]
    runs: tuple[PlanRun, ...]
    threads: tuple[str, ...]
    rollouts: tuple[str, ...]
    receipt: PlanRun | None
    next_command: str
    prompt: str
    schema: str = "armarius.plan_resume.v1"


def resumption(path: Path, repository: Repository, ledger: Database | None) -> Resumption:
    """Where the plan at `path` stands; without a ledger nothing was ever run."""
    text = read_plan(path)
    plan = parse(text)
    line = line_of(path, repository)
    named = tuple(dict.fromkeys(EVIDENCE_ID.findall(text)))
    runs = tuple(_runs(named, ledger, repository.root, line.path))
    section = plan.section("resume pointers")
    following = _NEXT.search(section.said) if section else None
    ended = [run for run in runs if run.state == "succeeded"]
    mentioned = _THREAD.findall(text)
    threads = tuple(dict.fromkeys([*(run.thread_id for run in runs if run.thread_id), *mentioned]))
    return Resumption(
        plan=line,
        open_steps=tuple(
            " ".join(item.text.split()) for item in progress_of(plan) if item.mark is not None and not item.is_done
        ),
        runs=runs,
        threads=threads,
        rollouts=tuple(dict.fromkeys(_ROLLOUT.findall(text))),
        receipt=ended[0] if ended else None,
        next_command=following[1].strip() if following else f"armarius plan resume {line.path} --start",
        prompt=_prompt(line, repository),
    )


def _runs(named: tuple[str, ...], ledger: Database | None, root: Path, shown: str) -> list[PlanRun]:
    """The runs that the plan names and those that were started for it, newest first; unknown ones last."""
    if ledger is None:
        return [PlanRun(name, "unknown") for name in named]
    rows = dict[str, RunRow]()
    unknown = list[PlanRun]()
    for name in named:
        try:
            row = find_run(ledger, name)
        except DataError:
            unknown.append(PlanRun(name, "unknown"))
        else:
            rows[row.id] = row
    for row in latest_runs(ledger, most=_MOST_RUNS):
        if Path(row.cwd).is_relative_to(root) and row.asked.prompt.startswith(_mark(shown)):
            rows[row.id] = row
    newest = sorted(rows.values(), key=lambda row: (row.created_at_us, row.id), reverse=True)
    return [*map(_of_row, newest), *unknown]


def _of_row(row: RunRow) -> PlanRun:
    answer = row.outcome.answer if row.outcome else None
    return PlanRun(
        row.id,
        row.state,
        row.thread_id,
        rfc3339(row.ended_at_us) if row.ended_at_us is not None else None,
        redact(answer)[:_MOST_SAID] if answer else None,
        row.error_message,
    )


def _mark(shown: str) -> str:
    """How the prompt of a plan's run begins, by which the run is found again."""
    return f"ExecPlan: {shown}\n"


def _prompt(line: PlanLine, repository: Repository) -> str:
    rules = f"Read {repository.plans_file}, and follow it. " if repository.plans_file else ""
    step = f"The next step of Progress is: {line.next_step}" if line.next_step else "All steps of Progress are done."
    return (
        f"{_mark(line.path)}\n"
        f"{rules}Read all of {line.path} before anything else; it is all that is known of this work. Go on with it.\n"
        f"{step}\n"
        "Do not ask what comes next. Keep Progress, Surprises & Discoveries, Decision Log, and Outcomes & Retrospective"
        " of the plan true as you go, with times in UTC, and stop at a state from which somebody else can go on.\n"
    )
