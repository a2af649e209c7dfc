"""`armarius sleep`: a night on a task file, its proposal, adoption and roll-back."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.workbench import ledger_of, workbench
from armarius.errors import DataError, Refused, UsageError
from armarius.evolve import staging
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.records import QUERIES, NightRow, ProposalRow, find_proposal
from armarius.evolve.rehearsal import Rehearsal, rehearse
from armarius.evolve.report import NightReport
from armarius.evolve.tasks import TaskFile, read_tasks
from armarius.settings import Settings
from armarius.skills.target import resolve_target


class NightLine(msgspec.Struct, frozen=True):
    """A night; `report` once it is over."""

    id: str
    number: int
    state: str
    target: str
    created_at: str
    report: NightReport | None


class SleepStatus(msgspec.Struct, frozen=True):
    """The last nights and proposals, newest first (`armarius.sleep_status.v1`)."""

    nights: tuple[NightLine, ...]
    proposals: tuple[ProposalRow, ...]
    schema: str = "armarius.sleep_status.v1"


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def command() -> None:
    """Let skills get better overnight, behind a held-out gate."""


@command.command()
@click.option("--tasks-file", type=click.Path(path_type=Path), help="Tasks with their checks (armarius.tasks.v1).")
@click.option("--target-skill-path", "target", type=click.Path(path_type=Path), help="The SKILL.md to improve.")
@click.option(
    "--backend",
    type=click.Choice(["mock", "codex"]),
    default="mock",
    show_default=True,
    help="mock plans and spends nothing; codex replays for real.",
)
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project; default: here.",
)
@click.option(
    "--skill-root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A further folder of skills.",
)
@click.option("--max-tasks", type=click.IntRange(1), help="Use at most this many tasks.")
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at a time.")
@AS_JSON
def run(
    *,
    tasks_file: Path | None,
    target: Path | None,
    backend: str,
    project: Path,
    roots: tuple[Path, ...],
    max_tasks: int | None,
    workers: int | None,
    as_json: bool,
) -> int:
    """Replay, reflect, edit and judge; stage what the gate certifies."""
    settings = configuration.load(project)
    path = tasks_file or settings.project_tasks
    skill = target or settings.project_skill
    if path is None or skill is None:
        raise UsageError("night-incomplete", "a night needs --tasks-file and --target-skill-path", "name both")
    if max_tasks is not None and max_tasks > settings.max_tasks:
        raise UsageError("max-tasks", f"--max-tasks {max_tasks} is over the limit of {settings.max_tasks}")
    tasks = read_tasks(path)
    real = resolve_target(skill, (*roots, *_roots(settings, project)))
    most = max_tasks or settings.max_tasks
    rehearsal = rehearse(real, tasks, most)
    if backend == "mock":
        print_json(rehearsal) if as_json else _say_rehearsal(rehearsal)
        return 0
    if not tasks.reviewed:
        raise Refused(
            "tasks-unreviewed",
            f"{path} is not marked as reviewed, and its tasks would be sent to a model",
            'read it, then set "reviewed": true',
        )
    if rehearsal.certifies is None:
        raise DataError("tasks-few", f"{path}: {rehearsal.verdict}", "nothing was spent")
    report = _night(
        settings,
        project=project,
        target=real,
        tasks=tasks,
        most=most,
        workers=workers or settings.workers,
        quiet=as_json,
    )
    print_json(report) if as_json else _say_report(report)
    return 0


@command.command()
@AS_JSON
def status(*, as_json: bool) -> int:
    """Say what the last nights found and what waits to be adopted."""
    with ledger_of(configuration.load()) as ledger:
        nights = ledger.fetch(QUERIES.latest_nights, NightRow, most=10)
        proposals = ledger.fetch(QUERIES.latest_proposals, ProposalRow, most=10)
    if as_json:
        print_json(SleepStatus(tuple(map(_night_line, nights)), tuple(proposals)))
        return 0
    if not nights:
        say("No night yet. Start one with `armarius sleep run --backend codex …`.")
        return 0
    rows = [(n.id, rfc3339(n.created_at_us)[:16], n.state, n.target_path) for n in nights]
    print_table(("NIGHT", "BEGUN", "STATE", "TARGET"), rows)
    if proposals:
        say("")
        lines = [(p.id, p.state, f"{p.e_value:.1f}", p.folder) for p in proposals]
        print_table(("PROPOSAL", "STATE", "E", "FOLDER"), lines)
    return 0


@command.command()
@click.argument("proposal", required=False)
@AS_JSON
def adopt(*, proposal: str | None, as_json: bool) -> int:
    """Make a staged proposal live.

    PROPOSAL is the newest one if left out.
    """
    with ledger_of(configuration.load()) as ledger:
        change = staging.adopt(ledger, SystemClock(), find_proposal(ledger, proposal, "staged"))
    return _say_change(change, "adopted", as_json=as_json)


@command.command()
@click.argument("proposal", required=False)
@AS_JSON
def rollback(*, proposal: str | None, as_json: bool) -> int:
    """Put back the exact bytes from before an adoption.

    PROPOSAL is the newest one if left out.
    """
    with ledger_of(configuration.load()) as ledger:
        change = staging.rollback(ledger, SystemClock(), find_proposal(ledger, proposal, "adopted"))
    return _say_change(change, "rolled back", as_json=as_json)


def _roots(settings: Settings, project: Path) -> tuple[Path, ...]:
    """Where skills of the user's may be: this project, both homes, and what their own settings name."""
    return (
        configuration.project_root(project),
        settings.codex_home / "skills",
        settings.user_home / ".agents" / "skills",
        *settings.skill_roots,
    )


def _night(
    settings: Settings, *, project: Path, target: Path, tasks: TaskFile, most: int, workers: int, quiet: bool
) -> NightReport:
    with workbench(settings) as bench:
        order = NightOrder(
            project=configuration.project_root(project),
            target=target,
            tasks=tasks,
            owner=bench.owner,
            search_path=settings.search_path,
            codex_version=bench.binary.version,
            environ=bench.keys,
            model=settings.model,
            effort=settings.effort,
            workers=workers,
            max_tasks=most,
            deadline_s=min(settings.timeout, 600.0),
        )
        night = Night(
            order,
            runner=bench.runner,
            ledger=bench.ledger,
            clock=bench.clock,
            home=settings.home,
            progress=lambda step, done, of: None if quiet else say(f"{step} {done}/{of}", err=True),
        )
        return night.run()


def _say_report(report: NightReport) -> None:
    say(f"night {report.number}: {report.state} ({report.decision}, {report.reason})")
    say(f"e-value {report.e_value:.2f} after {report.pairs_used} pairs, {report.pairs_ignored} ignored")
    say(f"{report.runs} runs, {report.usage.total:,} tokens, {report.duration_us / 1_000_000:.1f} s")
    say(f"report {report.report}")
    if report.proposal is not None:
        say(f"staged {report.proposal}; make it live with `armarius sleep adopt`")


def _say_rehearsal(plan: Rehearsal) -> None:
    say(f"{plan.target}: {plan.train_tasks} training tasks, {plan.held_out_tasks} held out; nothing was run or sent")
    say(f"a night would make {plan.runs_least} to {plan.runs_most} runs of about {plan.bytes_per_run:,} bytes each")
    say(plan.verdict)


def _say_change(change: staging.Change, word: str, *, as_json: bool) -> int:
    if as_json:
        print_json(change)
    else:
        say(f"{word} {change.proposal}: {change.target}" + ("" if change.changed else " (it was already)"))
        say(f"backup {change.backup}")
    return 0


def _night_line(night: NightRow) -> NightLine:
    created = rfc3339(night.created_at_us)
    return NightLine(night.id, night.number, night.state, night.target_path, created, night.outcome)
