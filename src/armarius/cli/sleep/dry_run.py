"""`armarius sleep dry-run`."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.aim import aim_of
from armarius.cli.sleep.harvest import say_found
from armarius.cli.sleep.harvesting import HARVESTING, TARGET, Wish, gathered_of, most_tasks_of, project_of
from armarius.cli.sleep.nightly import NIGHTLY, Backend, Terms, choices_of
from armarius.cli.sleep.options import AS_JSON, PROJECT
from armarius.dispatch.workbench import ledger_of
from armarius.evolve.forecast import Choices, Forecast, Outgoing, Range, forecast
from armarius.evolve.harvest import Source
from armarius.evolve.records import QUERIES, CandidateRow
from armarius.evolve.retention import suite_for
from armarius.evolve.targets import Target, skill_text
from armarius.evolve.tasks import Task, read_tasks, split_tasks
from armarius.settings import Settings


@click.command()
@click.option("--tasks-file", type=click.Path(path_type=Path), help="Plan with these tasks; no session is opened.")
@PROJECT
@HARVESTING
@TARGET
@click.option(
    "--backend",
    type=click.Choice(["mock", "codex", "openai", "handoff"]),
    default="mock",
    show_default=True,
    help="To whom a night would speak; a dry run speaks to nobody.",
)
@NIGHTLY
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at a time.")
@AS_JSON
def command(  # one for each flag
    *,
    tasks_file: Path | None,
    project: Path,
    source: Source,
    codex_homes: tuple[Path, ...],
    claude_home: Path | None,
    max_sessions: int | None,
    lookback_hours: float,
    target: Path | None,
    roots: tuple[Path, ...],
    max_tasks: int | None,
    backend: Backend,
    workers: int | None,
    terms: Terms,
    as_json: bool,
) -> int:
    """Say what a night would mine, replay and send, what it would cost, and what it could detect.

    Nothing is run or sent, whatever the backend.
    """
    settings = configuration.load(project)
    wish = Wish(source, codex_homes, claude_home, max_sessions, lookback_hours, target, roots, max_tasks)
    choices = choices_of(settings, terms, backend, workers or settings.workers)
    plan = plan_night(settings, project, wish, tasks_file, choices, tells=terms.progress)
    print_json(plan) if as_json else say_plan(plan, lookback_hours)
    return 0


def plan_night(
    settings: Settings, project: Path, wish: Wish, tasks_file: Path | None, choices: Choices, *, tells: bool
) -> Forecast:
    """The plan for a night on a task file, or on what the sessions give."""
    most = most_tasks_of(settings, wish.max_tasks)
    path = tasks_file or settings.project_tasks
    if path is None:
        gathered = gathered_of(settings, project, wish, tells=tells)
        tasks, reviewed = gathered.mined.tasks, False
        aim = Target(Path(gathered.target), gathered.target_why, exists=Path(gathered.target).is_file())
    else:
        file = read_tasks(path)
        gathered, tasks, reviewed = None, file.tasks[:most], file.reviewed
        aim = aim_of(settings, project, wish, path, file)
    return forecast(
        tasks,
        project=project_of(project),
        target=aim,
        skill_bytes=len(skill_text(aim.path)),
        choices=known_of(settings, aim.path, tasks, choices),
        reviewed=reviewed,
        gathered=gathered,
    )


def _span(numbers: Range, form: str = ",.0f") -> str:
    """`3 to 7`, or the one number that both are."""
    least, most = format(numbers.least, form), format(numbers.most, form)
    return least if least == most else f"{least} to {most}"


def _times(sent: Outgoing) -> str:
    return "once, about" if sent.times == 1 else f"at most {sent.times} times, each time about"


def known_of(settings: Settings, target: Path, tasks: Sequence[Task], choices: Choices) -> Choices:
    """The choices with what earlier nights left: undecided candidates, and tasks that may not be lost."""
    safety = sum(task.split == "safety" for task in tasks)
    if not settings.has_ledger:
        return msgspec.structs.replace(choices, kept=safety)
    with ledger_of(settings) as ledger:
        rows = ledger.fetch(QUERIES.open_candidates_of, CandidateRow, target_path=str(target))
        held_out = split_tasks(tasks)[1] if tasks else ()
        suite = suite_for(ledger, target, tasks, held_out)
    return msgspec.structs.replace(choices, undecided=len(rows), kept=len(suite.tasks))


def say_plan(plan: Forecast, lookback_hours: float) -> None:
    """The plan for people."""
    if plan.found:
        say_found(plan.found, lookback_hours)
        for asked in plan.found.asking:
            say(f"  needs {asked}")
    for note in plan.notes:
        say(note)
    say(f"target {plan.target} ({plan.target_why}{'' if plan.target_exists else ', not there yet'})")
    say(f"{plan.train_tasks} training tasks, {plan.held_out_tasks} held out; nothing was run or sent")
    for task, why in plan.uncertifiable.items():
        say(f"  {task} cannot certify: {why}")
    if plan.runs.most:
        runs, tokens, minutes = _span(plan.runs), _span(plan.tokens), _span(plan.minutes, ".1f")
        say(f"a night would make {runs} runs: {tokens} tokens, {minutes} minutes")
        say(f"  ({plan.rests_on})")
    if plan.budget:
        say(plan.budget.sentence)
    for sent in plan.sent:
        say(f"would send to {sent.to}: {sent.what}; {_times(sent)} {sent.bytes:,} bytes of yours")
    decides = plan.certifies is not None and not (plan.budget and plan.budget.ends_it)
    for chance in plan.detects.chances if decides else ():
        say(
            f"an edit worth {chance.gain:+.0%} is adopted tonight with probability {chance.tonight:.2f}, "
            f"in the end {chance.in_the_end:.2f}"
        )
    say(plan.verdict)
