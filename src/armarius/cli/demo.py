"""`armarius demo`: the whole loop on real Codex and a scripted model."""

import shutil
import sys

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.clock import SystemClock
from armarius.codex.binary import find
from armarius.demo.flight import Flight, FlightReport, clear, fly
from armarius.files import private_folder
from armarius.identity import new_id
from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer

FIRST = "seed-missing-structure"


@click.command()
@click.option("--all", "every", is_flag=True, help="All four skills; without it, one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--keep", is_flag=True, help="Keep the sessions and runs that it made.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the scripted model; default: a free one."
)
def command(*, every: bool, as_json: bool, keep: bool, port: int) -> int:
    """See the whole loop on real Codex, without an account.

    A skill that lacks something is used for a day; a night finds an edit, the gate tests it on
    held-out tasks, it is adopted, and fresh runs are scored before and after.
    """
    settings = configuration.load()
    clock = SystemClock()
    base = private_folder(settings.cache / "demo") / new_id("demo", clock)
    binary = find(
        setting=settings.codex,
        search_path=settings.search_path,
        user_home=settings.user_home,
        cache=private_folder(base) / "probes.json",
    )
    reports = list[FlightReport]()
    with ModelServer(port=port) as server:
        for name in benchmarks.seeds() if every else (FIRST,):
            flight = Flight(
                folder=base / name,
                seed=benchmarks.load(name),
                server=server,
                binary=binary,
                clock=clock,
                search_path=settings.search_path,
                workers=settings.workers,
            )
            progress = _Progress(name, quiet=as_json)
            try:
                report = fly(flight, progress.show)
            finally:
                progress.end()
                if not keep:
                    clear(flight)
            reports.append(report)
            if as_json:
                print_json(report)
    if not as_json:
        _say_reports(reports)
    return 0 if all(report.passed for report in reports) else 1


class _Progress:
    """One line that is written over on a terminal, a line a step elsewhere; all on standard error."""

    def __init__(self, seed: str, *, quiet: bool) -> None:
        self._seed = seed
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._step = ""

    def show(self, step: str, done: int, of: int) -> None:
        if self._quiet:
            return
        if self._terminal:
            line = f"{self._seed}: {step} {done}/{of}"
            click.echo("\r" + line.ljust(min(shutil.get_terminal_size().columns, 100) - 1), nl=False, err=True)
        elif step != self._step:
            say(f"{self._seed}: {step} …", err=True)
        self._step = step

    def end(self) -> None:
        if self._terminal and not self._quiet:
            click.echo("\r" + " " * (min(shutil.get_terminal_size().columns, 100) - 1) + "\r", nl=False, err=True)


def _say_reports(reports: list[FlightReport]) -> None:
    head = ("SKILL", "HELD-OUT", "E-VALUE", "PAIRS", "RUNS", "MODEL CALLS", "TOKENS", "SECONDS")
    rows = [
        (
            report.seed,
            f"{report.before:.2f} → {report.after:.2f}",
            f"{report.e_value:.1f}",
            str(report.pairs_used),
            str(report.runs),
            str(report.model_calls),
            f"{report.usage.total:,}",
            f"{report.seconds:.1f}",
        )
        for report in reports
    ]
    print_table(head, rows)
    for report in reports:
        say(f"\n{report.seed}: {report.reason}")
        say(f"  read back {report.sessions} sessions, {report.turns} turns, {report.commands} commands")
        say(f"  report  {report.report}\n  diff    {report.diff}")
