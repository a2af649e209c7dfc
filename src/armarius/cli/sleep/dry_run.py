"""`armarius sleep dry-run`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.harvest import say_found
from armarius.cli.sleep.harvesting import HARVESTING, TARGET, Wish, gathered_of, most_tasks_of, project_of
from armarius.cli.sleep.nightly import PLANNED, Backend, Terms, choices_of
from armarius.cli.sleep.options import AS_JSON, PROJECT, roots_of
from armarius.dispatch.workbench import ledger_of
from armarius.evolve.forecast import Choices, Forecast, forecast
from armarius.evolve.harvest import Source
from armarius.evolve.records import QUERIES, CandidateRow
from armarius.evolve.targets import LEARNED, Target
from armarius.evolve.tasks import read_tasks
from armarius.settings import Settings
from armarius.skills.target import resolve_target


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
@PLANNED
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
        aim = _named(settings, project, wish)
    return forecast(
        tasks,
        project=project_of(project),
        target=aim,
        skill_bytes=aim.path.stat().st_size if aim.path.is_file() else 0,
        choices=msgspec.structs.replace(choices, undecided=undecided_on(settings, aim.path)),
        reviewed=reviewed,
        gathered=gathered,
    )


def undecided_on(settings: Settings, target: Path) -> int:
    """How many candidates of a skill are undecided; none where there was no night yet."""
    if not settings.has_ledger:
        return 0
    with ledger_of(settings) as ledger:
        rows = ledger.fetch(QUERIES.open_candidates_of, CandidateRow, target_path=str(target))
    return len(rows)


def _named(settings: Settings, project: Path, wish: Wish) -> Target:
    """The target that was named, else the skill that a night would make."""
    named = wish.target or settings.project_skill
    if named is None:
        learned = project_of(project) / LEARNED
        return Target(learned, "none was named", exists=learned.is_file())
    return Target(resolve_target(named, (*wish.roots, *roots_of(settings, project))), "named")


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
    say(
        f"a night would make {plan.runs.least:.0f} to {plan.runs.most:.0f} runs: {plan.tokens.least:,.0f} to "
        f"{plan.tokens.most:,.0f} tokens, {plan.minutes.least:.1f} to {plan.minutes.most:.1f} minutes"
    )
    say(f"  ({plan.rests_on})")
    for sent in plan.sent:
        say(f"would send to {sent.to}: {sent.what}; {sent.times} times, at most {sent.bytes:,} bytes each")
    for chance in plan.detects.chances if plan.held_out_tasks else ():
        say(
            f"an edit worth {chance.gain:+.0%} is adopted tonight with probability {chance.tonight:.2f}, "
            f"in the end {chance.in_the_end:.2f}"
        )
    say(plan.verdict)
