"""`armarius sleep run`."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.aim import aim_at, aim_of
from armarius.cli.sleep.dry_run import known_of, plan_night, say_plan
from armarius.cli.sleep.harvesting import HARVESTING, TARGET, Wish, most_tasks_of, night_from_sessions, project_of
from armarius.cli.sleep.nightly import (
    NIGHTLY,
    Backend,
    Terms,
    check_expected,
    choices_of,
    directly_of,
    thinker_of,
    why_not_now,
)
from armarius.cli.sleep.options import AS_JSON, PROJECT
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of, workbench
from armarius.errors import DataError, Refused, UsageError
from armarius.evolve.adoption import adopt_together, finish
from armarius.evolve.bench import Allowance
from armarius.evolve.directly import Directly, check_tasks
from armarius.evolve.forecast import Choices
from armarius.evolve.harvest import Source
from armarius.evolve.losses import check_losses
from armarius.evolve.naming import ask_codex, improve_by
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.records import find_proposal
from armarius.evolve.rehearsal import Rehearsal, rehearse
from armarius.evolve.report import NightReport
from armarius.evolve.targets import Target, skill_text
from armarius.evolve.tasks import TaskFile, read_tasks
from armarius.evolve.thinkers import Thinker
from armarius.identity import new_id
from armarius.settings import Settings
from armarius.skills.document import parse_document


@click.command()
@click.option("--tasks-file", type=click.Path(path_type=Path), help="Tasks with their checks (armarius.tasks.v1).")
@click.option(
    "--backend",
    type=click.Choice(["mock", "codex", "openai", "handoff"]),
    default="mock",
    show_default=True,
    help="mock plans and spends nothing; codex replays and reflects; with the others Codex replays and they reflect.",
)
@PROJECT
@HARVESTING
@TARGET
@NIGHTLY
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at a time.")
@click.option(
    "--scheduled",
    type=click.DateTime(["%H:%M"]),
    metavar="HH:MM",
    help="Only if the night of this time has not been yet; `sleep schedule` says so.",
)
@click.option("--on-battery", is_flag=True, help="With --scheduled: also when this machine runs on its battery.")
@AS_JSON
def command(  # one for each flag
    *,
    tasks_file: Path | None,
    target: Path | None,
    backend: Backend,
    project: Path,
    source: Source,
    codex_homes: tuple[Path, ...],
    claude_home: Path | None,
    max_sessions: int | None,
    lookback_hours: float,
    roots: tuple[Path, ...],
    max_tasks: int | None,
    workers: int | None,
    terms: Terms,
    scheduled: datetime | None,
    on_battery: bool,
    as_json: bool,
) -> int:
    """Replay, reflect, edit and judge; stage what the gate certifies.

    Without a task file, the tasks are mined from your sessions and not reviewed by anybody.
    """
    if on_battery and scheduled is None:
        raise UsageError("on-battery", "--on-battery says something only with --scheduled", "leave it out")
    settings = configuration.load(project)
    if scheduled is not None and (why := why_not_now(settings, project, scheduled, on_battery=on_battery)):
        say(why, err=True)
        return 0
    asked = Asked(
        settings=settings,
        project=project,
        wish=Wish(source, codex_homes, claude_home, max_sessions, lookback_hours, target, roots, max_tasks),
        path=tasks_file or settings.project_tasks,
        most=most_tasks_of(settings, max_tasks),
        workers=workers or settings.workers,
    )
    if (terms.target_backend or backend) == "mock":
        _rehearse(asked, choices_of(settings, terms, backend, asked.workers), as_json=as_json)
        return 0
    if terms.optimizer(backend) == "mock":
        raise UsageError("optimizer-mock", "a night that replays needs somebody to reflect", "name --optimizer-backend")
    clock = SystemClock()
    think = thinker_of(settings, terms.optimizer(backend), terms.optimizer_model or terms.model)
    helpers = Helpers(think, directly_of(settings, terms), Allowance(terms.budget, new_id("pot", clock), clock))
    report = _night(asked, _job(asked, terms, helpers), terms, helpers, quiet=as_json and not terms.progress)
    print_json(report) if as_json else _say_report(report)
    if terms.auto_adopt and report.decision == "adopt":
        _adopt(settings, report, terms)
    if terms.expect_adopt:
        check_expected(report)
    return 0


class Asked(NamedTuple):
    """What was typed, with what the project's settings add. `path` is a task file; without one, tasks are mined."""

    settings: Settings
    project: Path
    wish: Wish
    path: Path | None
    most: int
    workers: int


class Job(NamedTuple):
    """What a night is for."""

    project: Path
    target: Path
    tasks: TaskFile


class Helpers(NamedTuple):
    """Who reflects and who replays instead of Codex, if anybody, and what all of it may use up."""

    think: Thinker | None
    directly: Directly | None
    allowance: Allowance


def _rehearse(asked: Asked, choices: Choices, *, as_json: bool) -> None:
    """Tell what a night would do; nothing is sent to anybody."""
    if asked.path is None or (asked.wish.target or asked.settings.project_skill) is None:
        plan = plan_night(asked.settings, asked.project, asked.wish, asked.path, choices, tells=False)
        print_json(plan) if as_json else say_plan(plan, asked.wish.lookback_hours)
        return
    tasks = read_tasks(asked.path)
    target = aim_of(asked.settings, asked.project, asked.wish, asked.path, tasks)
    choices = known_of(asked.settings, target.path, tasks.tasks[: asked.most], choices)
    rehearsal = _rehearsal(target, tasks, asked.most, choices)
    print_json(rehearsal) if as_json else _say_rehearsal(rehearsal)


def _rehearsal(target: Target, tasks: TaskFile, most: int, choices: Choices) -> Rehearsal:
    document = parse_document(skill_text(target.path), str(target.path))
    return rehearse(target, document, tasks, most, choices)


def _job(asked: Asked, terms: Terms, helpers: Helpers) -> Job:
    """The tasks and the skill of a night that can be paid for: refused here, or fit for it."""
    if asked.path is not None:
        tasks = read_tasks(asked.path)
        if not tasks.reviewed:
            raise Refused(
                "tasks-unreviewed",
                f"{asked.path} is not marked as reviewed, and its tasks would be sent to a model",
                'read it, then set "reviewed": true',
            )
        target = aim_of(asked.settings, asked.project, asked.wish, asked.path, tasks)
    else:
        by_codex = ask_codex(asked.settings, helpers.allowance, terms.optimizer_model or terms.model)
        ask = helpers.think.ask if helpers.think else by_codex
        tasks, skill = night_from_sessions(asked.settings, asked.project, asked.wish, improve_by(ask))
        target = aim_at(asked.settings, asked.project, asked.wish, skill, "found by the harvest")
    rehearsal = _rehearsal(target, tasks, asked.most, Choices())
    if rehearsal.certifies is None and terms.gate == "on":
        where = asked.path or project_of(asked.project)
        raise DataError("tasks-few", f"{where}: {rehearsal.verdict}", "nothing was replayed")
    if helpers.directly is not None:
        check_tasks(tasks.tasks[: asked.most])
    return Job(configuration.project_root(asked.project), target.path, tasks)


def _night(asked: Asked, job: Job, terms: Terms, helpers: Helpers, *, quiet: bool) -> NightReport:
    settings = asked.settings
    model = terms.model or settings.model
    with workbench(settings) as bench:
        finish(bench.ledger, bench.clock, settings.home)
        order = NightOrder(
            project=job.project,
            target=job.target,
            tasks=job.tasks,
            owner=bench.owner,
            search_path=settings.search_path,
            codex_version=bench.binary.version,
            environ=bench.keys,
            model=model if helpers.directly else terms.target_model or model,
            effort=settings.effort,
            workers=asked.workers,
            max_tasks=asked.most,
            deadline_s=min(settings.timeout, 600.0),
            edit_budget=terms.edit_budget,
            rollouts=terms.rollouts_k,
            preferences=terms.preferences,
            metric=terms.gate_metric,
            gate=terms.gate == "on",
            optimizer_model=terms.optimizer_model or model,
        )
        night = Night(
            order,
            runner=bench.runner,
            ledger=bench.ledger,
            clock=bench.clock,
            home=settings.home,
            think=helpers.think,
            allowance=helpers.allowance,
            directly=helpers.directly,
            progress=lambda step, done, of: None if quiet else say(f"{step} {done}/{of}", err=True),
        )
        was_there = job.target.exists()
        try:
            return night.run()
        finally:
            if not was_there and job.target.exists():
                say(f"made {job.target}, which says nothing yet", err=True)


def _adopt(settings: Settings, report: NightReport, terms: Terms) -> None:
    """Make live what the gate has certified; on standard error, as the report is the answer."""
    check_losses(report.pairs)
    clock = SystemClock()
    with ledger_of(settings) as ledger:
        row = find_proposal(ledger, report.proposal, "staged")
        [change] = adopt_together(ledger, clock, [row], settings.home, frozenset(terms.allow))
    say(f"adopted {change.proposal}: {change.target}; backup {change.backup}", err=True)


def _say_report(report: NightReport) -> None:
    say(f"night {report.number}: {report.state} ({report.decision}, {report.reason})")
    say(f"e-value {report.e_value:.2f} after {report.pairs_used} pairs, {report.pairs_ignored} ignored")
    say(f"{report.runs} runs, {report.usage.total:,} tokens, {report.duration_us / 1_000_000:.1f} s")
    say(f"report {report.report}")
    if report.caution:
        say(report.caution)
    for sentence in report.losses:
        say(sentence)
    for one in report.candidates if len(report.candidates) > 1 else ():
        said = f"round {one.round}: {one.decision}, e-value {one.e_value:.2f} after {one.pairs_used} pairs"
        say(f"  {one.id} {said}: {'; '.join(one.edits)}")
    for note in report.notes:
        say(note)
    if report.decision == "trial":
        say("on trial: nothing is proposed yet, the evidence is carried on to the next night")
    if report.proposal is not None:
        if report.decision == "ungated":
            say("the gate was off: nobody has measured whether this helps")
        say(f"staged {report.proposal}; make it live with `armarius sleep adopt`")


def _say_rehearsal(plan: Rehearsal) -> None:
    say(f"{plan.target}: {plan.train_tasks} training tasks, {plan.held_out_tasks} held out; nothing was run or sent")
    say(f"a night would make {plan.runs_least} to {plan.runs_most} runs of about {plan.bytes_per_run:,} bytes each")
    if plan.budget:
        say(plan.budget.sentence)
    say(plan.verdict)
