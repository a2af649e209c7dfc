"""`armarius workflow run`."""

import shlex
from pathlib import Path

import click

from armarius.budget import NO_BUDGET, parse_budget
from armarius.cli.cache.place import artefacts_of
from armarius.cli.output import print_json, say
from armarius.cli.progress import Lines
from armarius.cli.running import folder_of
from armarius.clock import SystemClock
from armarius.dispatch.api import open_dispatch
from armarius.errors import Interrupted, UsageError
from armarius.identity import new_id
from armarius.workflows.engine import Order, WorkflowReport, check_order, run_workflow
from armarius.workflows.template import read_template

_CODES = {"succeeded": 0, "not_met": 1, "failed": 1, "interrupted": Interrupted.exit_code}
_SHORT = 23


@click.command()
@click.argument("workflow")
@click.argument("goal")
@click.option("--write", is_flag=True, help="It may change files of this folder.")
@click.option("--check", metavar="CMD", help="The command that decides; split as a shell would, run without one.")
@click.option("--id", "name", help="Go on with this one, if it was begun; what is done is not repeated.")
@click.option("-C", "--cd", "folder", type=click.Path(path_type=Path), help="Work in this folder.")
@click.option("--workers", type=click.IntRange(1, 32), help="How many runs live at a time.")
@click.option("--model", help="The model; default: what your Codex is set to.")
@click.option("--lane", help="The login to use: one of `armarius lanes`, or `own`.")
@click.option("--budget", metavar="MEASURE=N,…", help="What the runs of a step may use up together.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # one for each flag
    *,
    workflow: str,
    goal: str,
    write: bool,
    check: str | None,
    name: str | None,
    folder: Path | None,
    workers: int | None,
    model: str | None,
    lane: str | None,
    budget: str | None,
    as_json: bool,
) -> int:
    """Do a workflow, or go on with one.

    WORKFLOW is a name of `armarius workflow list`, or a file that `armarius template copy` made. GOAL is
    what it is for. It begins with an inventory of the repository, which is kept for the next one. CMD is run by
    Armarius, with your rights and outside the sandbox. Exit code 0 only when its condition holds.
    """
    if not goal.strip():
        raise UsageError("goal-empty", "the goal is empty", "say what it is for")
    order = Order(
        template=read_template(workflow),
        id=name or new_id("wf", SystemClock())[3:][:_SHORT],
        goal=goal,
        folder=folder_of(folder),
        writes=write,
        check=_words(check),
        workers=workers,
        model=model,
        lane=lane,
        budget=NO_BUDGET if budget is None else parse_budget(budget),
    )
    check_order(order)
    with open_dispatch(order.folder, lane=lane) as dispatch:
        report = run_workflow(dispatch, artefacts_of(dispatch.settings), order, Lines())
    if as_json:
        print_json(report)
    else:
        _say(report, order)
    return _CODES[report.state]


def _words(check: str | None) -> tuple[str, ...] | None:
    if check is None:
        return None
    try:
        words = shlex.split(check)
    except ValueError as error:
        raise UsageError("check", f"--check {check!r}: {error}", "close the quote") from error
    if not words:
        raise UsageError("check", "--check is empty", "name a program")
    return tuple(words)


def _say(report: WorkflowReport, order: Order) -> None:
    last = order.template.step[-1].id
    answer = next((value for key, value in reversed(report.handed_on.items()) if key.partition(".")[0] == last), None)
    if isinstance(answer, str) and answer:
        say(answer)
    tokens = report.usage.input + report.usage.output
    say(
        f"{report.id} {report.state}: {len(report.handed_on)} steps, {len(report.runs)} runs, {tokens:,} tokens",
        err=True,
    )
    if report.why is not None:
        say(f"{report.failed_step}: {report.why}", err=True)
    if report.state in ("failed", "interrupted"):
        say(f"go on with the same command and --id {report.id}", err=True)
