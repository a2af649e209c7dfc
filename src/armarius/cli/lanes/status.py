"""`armarius lanes status`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.clock import SystemClock
from armarius.codex.binary import locate
from armarius.errors import HostError
from armarius.lanes.status import LaneReport, Window, report_lanes


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str | None, as_json: bool) -> int:
    """Show what each lane, or the lane NAME, may still do.

    The windows are what Codex was told with its last responses. The exit code is 4 or 5 when
    something speaks against a run in the lane NAME.
    """
    settings = configuration.load()
    try:
        program = locate(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home)[0]
    except HostError:
        program = None  # all else is known without it
    answer = report_lanes(settings, SystemClock(), program, name)
    if as_json:
        print_json(answer)
    else:
        print_table(
            ("", "LANE", "KIND", "LOGIN", "PRIMARY", "SECONDARY", "ROOM"), [_cells(row) for row in answer.lanes]
        )
        for report in answer.lanes:
            for found in report.objections:
                say(f"{report.lane.name}: {found.message}; {found.hint}")
    against = [found.exit_code for report in answer.lanes for found in report.objections]
    return against[0] if name is not None and against else 0


def _cells(report: LaneReport) -> tuple[str, ...]:
    row = report.lane
    closed = f"none until {report.opens_at}" if report.opens_at else "none"
    left = f"{report.room_percent:.0f}%" if report.room_percent > 0 else closed
    if report.tokens_today is not None:
        left += f" ({report.tokens_today:,} of {row.tokens_per_day:,} tokens today)"
    login = row.login.replace("_", " ") + (f" until {report.expires_at}" if report.expires_at else "")
    return (
        "*" if row.is_default else "",
        row.name,
        row.kind or "",
        login,
        _window(report.primary),
        _window(report.secondary),
        left,
    )


def _window(window: Window | None) -> str:
    if window is None:
        return "unknown"
    return f"{window.used_percent:.0f}% used" + (f", resets {window.resets_at}" if window.resets_at else "")
