"""`armarius plan check`."""

import sys
from pathlib import Path
from typing import Literal

import click

from armarius.cli.output import clean, print_json, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of, strict_repository
from armarius.errors import DataError, UsageError
from armarius.plans.check import CheckReport
from armarius.plans.folder import plans_in
from armarius.plans.formats import as_github, as_sarif
from armarius.plans.hook import stop_reason

_LARGEST_QUESTION = 64 << 20


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@FOLDER
@click.option("--strict-evidence", "strict", is_flag=True, help="A done item must name a run that succeeded.")
@click.option("--adopted", is_flag=True, help="The plans were begun without these rules: ask for less.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    help="How to print what was found; default: text.",
)
@click.option("--stop-hook", is_flag=True, help="Answer Codex's Stop hook, whose question is on standard input.")
@AS_JSON
def command(  # one for each flag
    *,
    files: tuple[Path, ...],
    folder: Path | None,
    strict: bool,
    adopted: bool,
    form: Literal["text", "json", "sarif", "github"] | None,
    stop_hook: bool,
    as_json: bool,
) -> int:
    """Hold plans to their rules.

    FILE is a plan, or a folder of plans; without one, all of `execplans/` are checked. The exit code is
    1 when a rule is broken that makes a plan invalid; a warning alone leaves it 0.
    """
    if stop_hook:
        sys.stdout.buffer.write(stop_reason(sys.stdin.buffer.read(_LARGEST_QUESTION)))
        return 0
    if as_json and form not in {None, "json"}:
        raise UsageError("usage", f"--json and --format {form} cannot both be", "choose one")
    root = root_of(folder)
    paths = _named(files) if files else plans_in(root)
    with strict_repository(root, adopted=adopted, strict=strict) as repository:
        report = CheckReport.of(tuple(map(repository.check, paths)), strict_evidence=strict)
    _print(report, "json" if as_json else form or "text")
    return 1 if report.errors else 0


def _named(files: tuple[Path, ...]) -> list[Path]:
    paths = list[Path]()
    for file in files:
        if file.is_dir():
            paths += sorted(path for path in file.glob("*.md") if path.is_file())
        elif not file.exists():
            raise DataError("missing", f"{file} does not exist", "check the path")
        else:
            paths.append(file)
    return paths


def _print(report: CheckReport, form: str) -> None:
    match form:
        case "json":
            print_json(report)
        case "sarif":
            print_json(as_sarif(report))
        case "github":
            for line in as_github(report):
                say(line)
        case _:
            _tell(report)


def _tell(report: CheckReport) -> None:
    for plan in report.plans:
        for found in plan.findings:
            say(f"{clean(plan.path)}:{found.line}: {found.severity} {found.rule}: {found.message}")
            say(f"    why: {found.why}")
            say(f"    fix: {found.fix}")
    count = len(report.plans)
    plans = "1 plan" if count == 1 else f"{count} plans" if count else "No plans"
    say(f"{plans}: {report.errors} errors, {report.warnings} warnings" if count else "No plans in execplans/.")
