"""`armarius sleep run`."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.dry_run import Recipient, plan_night, say_plan
from armarius.cli.sleep.harvesting import HARVESTING, TARGET, Wish, most_tasks_of, night_from_sessions, project_of
from armarius.cli.sleep.nightly import NIGHTLY, Backend, Terms, check_expected, thinker_of, why_not_now
from armarius.cli.sleep.options import AS_JSON, PROJECT, roots_of
from armarius.clock import SystemClock
from armarius.dispatch.workbench import ledger_of, workbench
from armarius.errors import DataError, Refused, UsageError
from armarius.evolve.adoption import adopt_together, finish
from armarius.evolve.harvest import Source
from armarius.evolve.naming import ask_codex, improve_by
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.records import find_proposal
from armarius.evolve.rehearsal import Rehearsal, rehearse
from armarius.evolve.report import NightReport
from armarius.evolve.tasks import TaskFile, read_tasks
from armarius.evolve.thinkers import Thinker
from armarius.settings import Settings
from armarius.skills.target import resolve_target


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
    settings = configuration.load(project)
    if scheduled is not None and (why := why_not_now(settings, project, scheduled, on_battery=on_battery)):
        say(why, err=True)
        return 0
    wish = Wish(source, codex_homes, claude_home, max_sessions, lookback_hours, target, roots, max_tasks)
    most = most_tasks_of(settings, max_tasks)
    path = tasks_file or settings.project_tasks
    skill = target or settings.project_skill
    is_mock = (terms.target_backend or backend) == "mock"
    if path is None and is_mock:
        to = Recipient(backend, terms.model or settings.model, workers or settings.workers)
        plan = plan_night(settings, project, wish, None, to, tells=False)
        print_json(plan) if as_json else say_plan(plan, lookback_hours)
        return 0
    if path is None:
        namer = thinker_of(settings, terms.optimizer(backend), terms.optimizer_model or terms.model)
        ask = namer.ask if namer else ask_codex(settings, terms.budget, terms.optimizer_model or terms.model)
        tasks, skill = night_from_sessions(settings, project, wish, improve_by(ask))
    elif skill is None:
        raise UsageError("night-incomplete", "a task file does not say for which skill", "name --target-skill-path")
    else:
        tasks = read_tasks(path)
    real = resolve_target(skill, (*roots, *roots_of(settings, project)))
    rehearsal = rehearse(real, tasks, most)
    if is_mock:
        print_json(rehearsal) if as_json else _say_rehearsal(rehearsal)
        return 0
    if path is not None and not tasks.reviewed:
        raise Refused(
            "tasks-unreviewed",
            f"{path} is not marked as reviewed, and its tasks would be sent to a model",
            'read it, then set "reviewed": true',
        )
    if rehearsal.certifies is None and terms.gate == "on":
        raise DataError("tasks-few", f"{path or project_of(project)}: {rehearsal.verdict}", "nothing was spent")
    if terms.optimizer(backend) == "mock":
        raise UsageError("optimizer-mock", "a night that replays needs somebody to reflect", "name --optimizer-backend")
    job = Job(configuration.project_root(project), real, tasks, most, workers or settings.workers)
    think = thinker_of(settings, terms.optimizer(backend), terms.optimizer_model or terms.model)
    report = _night(settings, job, terms, think, quiet=as_json and not terms.progress)
    print_json(report) if as_json else _say_report(report)
    if terms.auto_adopt and report.decision == "adopt":
        _adopt(settings, report, terms)
    if terms.expect_adopt:
        check_expected(report)
    return 0


class Job(NamedTuple):
    """What a night is for."""

    project: Path
    target: Path
    tasks: TaskFile
    most: int
    workers: int


def _night(settings: Settings, job: Job, terms: Terms, think: Thinker | None, *, quiet: bool) -> NightReport:
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
            model=terms.target_model or model,
            effort=settings.effort,
            workers=job.workers,
            max_tasks=job.most,
            deadline_s=min(settings.timeout, 600.0),
            edit_budget=terms.edit_budget,
            rollouts=terms.rollouts_k,
            preferences=terms.preferences,
            metric=terms.gate_metric,
            gate=terms.gate == "on",
            budget=terms.budget,
            optimizer_model=terms.optimizer_model or model,
        )
        night = Night(
            order,
            runner=bench.runner,
            ledger=bench.ledger,
            clock=bench.clock,
            home=settings.home,
            think=think,
            progress=lambda step, done, of: None if quiet else say(f"{step} {done}/{of}", err=True),
        )
        return night.run()


def _adopt(settings: Settings, report: NightReport, terms: Terms) -> None:
    """Make live what the gate has certified; on standard error, as the report is the answer."""
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
    if report.decision == "trial":
        say("on trial: nothing is proposed yet, the evidence is carried on to the next night")
    if report.proposal is not None:
        if report.decision == "ungated":
            say("the gate was off: nobody has measured whether this helps")
        say(f"staged {report.proposal}; make it live with `armarius sleep adopt`")


def _say_rehearsal(plan: Rehearsal) -> None:
    say(f"{plan.target}: {plan.train_tasks} training tasks, {plan.held_out_tasks} held out; nothing was run or sent")
    say(f"a night would make {plan.runs_least} to {plan.runs_most} runs of about {plan.bytes_per_run:,} bytes each")
    say(plan.verdict)
