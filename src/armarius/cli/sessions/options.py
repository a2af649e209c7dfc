"""The flags that the commands of `armarius sessions` share, and what their values mean.

Owns the words that may be typed. Does not own what is done with them.
Invariant: a value that means nothing is refused with an example of one that does.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from armarius.clock import SystemClock
from armarius.sessions.listing import Wish
from armarius.thread import State

__all__ = ["AS_JSON", "FILTERS", "HOMES", "Since", "wish_of"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Since(click.ParamType[int]):
    """`3h`, `2d`, or a date or time, which is UTC unless it says otherwise; in microseconds."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        now_us = SystemClock().now_us()
        if ago := _AGO.fullmatch(value):
            return max(0, now_us - int(ago[1]) * _UNITS[ago[2]] * 1_000_000)
        try:
            moment = datetime.fromisoformat(value)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither like 3h or 2d nor a date like 2026-11-01", param, ctx)


HOMES = click.option(
    "--codex-home",
    "codex_homes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Look here and nowhere else; may be repeated. Default: your CODEX_HOME and Claude Code's folder.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

_FILTERS = (
    click.option("--since", type=Since(), help="Active since then: 3h, 2d, 1w, or a date (UTC)."),
    click.option(
        "--repo",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Begun in this folder, below it, or in another worktree of its repository.",
    ),
    click.option("--model", help="Of this model; * stands for anything."),
    click.option("--source", help="Begun by: exec, cli, vscode, subagent, …; or all of codex, or of claude."),
    click.option(
        "--state", "states", type=click.Choice([state.value for state in State]), multiple=True, help="In this state."
    ),
)


def FILTERS(command: _Command) -> _Command:  # noqa: N802  # stands among the other options
    """All flags that choose sessions; `wish_of` takes their values."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def wish_of(  # one for each flag
    *, since: int | None, repo: Path | None, model: str | None, source: str | None, states: tuple[str, ...]
) -> Wish:
    """The values of FILTERS."""
    return Wish(since_us=since, repo=repo, model=model, source=source, states=frozenset(map(State, states)))
