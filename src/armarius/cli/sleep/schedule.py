"""`armarius sleep schedule`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.sleep.options import AS_JSON, PROJECT
from armarius.cli.sleep.run import command as run
from armarius.clock import SystemClock
from armarius.errors import UsageError
from armarius.files import private_folder
from armarius.install.nightly import Job, Method, files_for, kept_variables
from armarius.install.scheduling import Notes, Scheduler, ScheduleReport, clocks_with, method_here

_OWN = frozenset({"--scheduled", "--on-battery"})


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--hour", type=click.IntRange(0, 23), default=3, show_default=True, help="Of the local clock.")
@click.option("--minute", type=click.IntRange(0, 59), default=17, show_default=True, help="Of that hour.")
@click.option("--method", type=click.Choice(["systemd", "launchd", "cron"]), help="Which clock.  [default: yours]")
@click.option("--on-battery", is_flag=True, help="Also when this machine runs on its battery.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and change nothing.")
@PROJECT
@AS_JSON
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF `sleep run`]...")
def command(
    *,
    hour: int,
    minute: int,
    method: Method | None,
    on_battery: bool,
    dry_run: bool,
    project: Path,
    as_json: bool,
    options: tuple[str, ...],
) -> int:
    """Have a night every day, with the options of `sleep run` that you name here.

    They are kept word for word, with this folder and your CODEX_HOME and ARMARIUS_HOME. A night that was slept
    through is made up for once. A second `schedule` for the same project takes the place of the first. What may be
    a secret in your environment is not kept: put a key where the clock's own environment has it.
    """
    settings = configuration.load(project)
    if owned := _OWN.intersection(option.partition("=")[0] for option in options):
        raise UsageError("schedule-option", f"{min(owned)} is not yours to name", "leave it out")
    run.make_context("armarius sleep run", list(options))  # an option that it does not know is refused now
    root = str(configuration.project_root(project).resolve())
    fixed = ("--project", root, "--scheduled", f"{hour:02d}:{minute:02d}", *(("--on-battery",) if on_battery else ()))
    job = Job(
        project=root,
        folder=str(Path.cwd()),
        argv=(sys.executable, "-m", "armarius", "sleep", "run", *fixed, *options),
        hour=hour,
        minute=minute,
        environ=kept_variables(
            {**settings.environ, "ARMARIUS_HOME": str(settings.home), "CODEX_HOME": str(settings.codex_home)}
        ),
        log=str(settings.home / "scheduled" / "log"),
        on_battery=on_battery,
    )
    chosen = method or method_here(settings.search_path)
    places = (settings.user_home, settings.home, settings.environ)
    report = Scheduler(chosen, *places).put_on(job, dry_run=dry_run)
    if not dry_run:
        for other in clocks_with(root, *places):
            if other != chosen:
                Scheduler(other, *places).take_off(root)
        private_folder(settings.home / "scheduled")
        Notes(settings.home, SystemClock()).begin(root)
    print_json(report) if as_json else _say(report, job)
    return 0


def _plans_only(options: Sequence[str]) -> bool:
    """Whether its nights spend nothing, as nobody has named who replays."""
    words = [word.partition("=")[0] for word in options]
    return "--backend" not in words and "--target-backend" not in words


def _say(report: ScheduleReport, job: Job) -> None:
    if report.dry_run:
        for name, data in files_for(report.method, job).items():
            say(f"# {name}\n{data.decode()}")
    word = "would run" if report.dry_run else "runs"
    say(f"{report.name} {word} every day at {report.at} ({report.method})")
    for path in report.files:
        say(f"  {path}")
    if _plans_only(job.argv):
        say("its nights only plan, as the backend is mock; add --backend codex for nights that replay")
