"""Schedules as they are printed.

Owns the shapes of the answers. Does not own any command.
"""

import click
import msgspec

from armarius.cli.output import print_json, print_table
from armarius.clock import rfc3339
from armarius.dispatch.schedules import Schedule

__all__ = ["AS_JSON", "ScheduleLine", "ScheduleList", "ScheduleTimes", "print_schedules", "schedule_line"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_PROMPT = 60


class ScheduleLine(msgspec.Struct, frozen=True):
    """A schedule in short; `last` is its last moment that became a run."""

    id: str
    cron: str
    zone: str
    next: str | None
    last: str | None
    seat: str | None
    cwd: str
    sandbox: str
    prompt: str


class ScheduleList(msgspec.Struct, frozen=True):
    """Schedules in force, oldest first (`armarius.schedules.v1`)."""

    schedules: tuple[ScheduleLine, ...]
    schema: str = "armarius.schedules.v1"


class ScheduleTimes(msgspec.Struct, frozen=True):
    """When a schedule comes next (`armarius.schedule_times.v1`)."""

    id: str
    times: tuple[str, ...]
    schema: str = "armarius.schedule_times.v1"


def schedule_line(schedule: Schedule, now_us: int) -> ScheduleLine:
    """A schedule in short."""
    request = schedule.asked
    coming = schedule.next_us(now_us)
    return ScheduleLine(
        id=schedule.id,
        cron=schedule.cron,
        zone=schedule.zone,
        next=rfc3339(coming[0]) if coming else None,
        last=None if schedule.last_us is None else rfc3339(schedule.last_us),
        seat=schedule.seat,
        cwd=request.cwd,
        sandbox=request.sandbox,
        prompt=request.prompt,
    )


def print_schedules(schedules: list[Schedule], now_us: int, *, as_json: bool) -> None:
    """Schedules as a table or as `armarius.schedules.v1`."""
    lines = [schedule_line(schedule, now_us) for schedule in schedules]
    if as_json:
        print_json(ScheduleList(tuple(lines)))
        return
    rows = [(line.id, line.cron, line.zone, line.next or "never", line.prompt[:_PROMPT]) for line in lines]
    print_table(("SCHEDULE", "CRON", "ZONE", "NEXT", "PROMPT"), rows)
