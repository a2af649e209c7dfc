"""`armarius doctor sessions`."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.sessions.finding import Finding, Subject
from armarius.sessions.health import Home, examine

_SHOWN = 5
_ALWAYS_NAMED = ("largest", "databases")


@click.command()
@click.option(
    "--codex-home",
    "codex_homes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Look here; may be repeated. Default: your CODEX_HOME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, codex_homes: tuple[Path, ...], as_json: bool) -> int:
    """Say what the sessions take up and what was left behind; change nothing.

    It reads every session file. What it advises is yours to do.
    """
    settings = configuration.load()
    homes = tuple(home.absolute() for home in codex_homes) or (settings.codex_home,)
    health = examine(homes, SystemClock(), databases=None if codex_homes else settings.databases)
    if as_json:
        print_json(health)
    else:
        for home in health.homes:
            _say_home(home)
    return 0


def _say_home(home: Home) -> None:
    say(home.codex_home)
    for finding in home.findings:
        size = "" if finding.size is None else f" ({_size(finding.size)})"
        say(f"{finding.kind.replace('_', ' ')}: {finding.found}{size}")
        shown = finding.subjects[:_SHOWN] if finding.advice or finding.kind in _ALWAYS_NAMED else ()
        for subject in shown:
            say(f"    {_line(subject)}")
        if shown and finding.count > len(shown):
            say(f"    … and {finding.count - len(shown):,} more")
        if finding.advice:
            say(f"    → {finding.advice}{_saved(finding)}")


def _line(subject: Subject) -> str:
    parts = (subject.name, subject.detail, "" if subject.size is None else _size(subject.size))
    return "  ".join(part.replace("\n", " ") for part in parts if part)


def _saved(finding: Finding) -> str:
    return f" (frees about {_size(finding.saves)})" if finding.saves else ""


def _size(number: int) -> str:
    return f"{number / 1_000_000:,.1f} MB" if number >= 100_000 else f"{number:,} bytes"  # noqa: PLR2004
