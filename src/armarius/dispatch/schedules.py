"""Runs that come by the clock.

Owns schedules, their moments and making a run of each. Does not own what a cron expression means (`cron.py`)
nor doing a run.
Invariant: a moment becomes one run, whoever looks at the clock and however often they are killed: the run, its
place in the queue and the moment's own row are one commit. After a pause, however long, what was missed is
made up for by one run.
"""

import msgspec

from armarius.clock import Clock
from armarius.dispatch.cron import coming, last_due
from armarius.errors import DataError, UsageError
from armarius.identity import new_id
from armarius.runs.queued import QUERIES, Place, hand_in
from armarius.runs.request import RunRequest
from armarius.settings import Settings
from armarius.store.database import Database

__all__ = ["Schedule", "add", "find", "fire", "fire_one", "in_force", "remove"]


class Schedule(msgspec.Struct, frozen=True):
    """A row; `request` and `variables` are JSON, `last_us` is the last moment that became a run."""

    id: str
    cron: str
    zone: str
    request: str
    seat: str | None
    lane: str
    variables: str
    created_at_us: int
    last_us: int | None = None

    @property
    def asked(self) -> RunRequest:
        return msgspec.json.decode(self.request, type=RunRequest)

    @property
    def place(self) -> Place:
        return Place(self.seat, self.lane, tuple(msgspec.json.decode(self.variables, type=list[str])))

    def next_us(self, now_us: int, count: int = 1) -> list[int]:
        """Its next moments."""
        return coming(self.cron, self.zone, now_us, count)


def add(ledger: Database, clock: Clock, request: RunRequest, place: Place, *, cron: str, zone: str) -> Schedule:
    """Keep a request to be done by the clock; UsageError or DataError when it never could."""
    now_us = clock.now_us()
    if not coming(cron, zone, now_us, 1):
        raise UsageError("cron", f"{cron!r} never comes", "see `armarius schedule --help`")
    schedule = Schedule(
        id=new_id("schedule", clock),
        cron=cron,
        zone=zone,
        request=msgspec.json.encode(msgspec.structs.replace(request, environ={})).decode(),
        seat=place.seat,
        lane=place.lane,
        variables=msgspec.json.encode(place.variables).decode(),
        created_at_us=now_us,
    )
    ledger.execute(
        QUERIES.insert_schedule,
        id=schedule.id,
        cron=cron,
        zone=zone,
        request=schedule.request,
        seat=schedule.seat,
        lane=schedule.lane,
        variables=schedule.variables,
        now_us=now_us,
    )
    return schedule


def in_force(ledger: Database, seat: str | None = None) -> list[Schedule]:
    """Schedules that were not removed, oldest first; with `seat` those that it may fire."""
    rows = ledger.fetch(QUERIES.schedules, Schedule)
    return [row for row in rows if seat is None or row.seat in (None, seat)]


def find(ledger: Database, name: str) -> Schedule:
    """The schedule of that id, or of an id that begins so."""
    prefix = name if name.startswith("schedule_") else f"schedule_{name}"
    found = [row for row in in_force(ledger) if row.id.startswith(prefix)]
    if len(found) != 1:
        what = "more than one schedule begins with" if found else "there is no schedule"
        raise DataError("schedule-unknown", f"{what} {name!r}", "see `armarius schedule list`")
    return found[0]


def remove(ledger: Database, clock: Clock, schedule: Schedule) -> None:
    """End a schedule; what it started goes on."""
    ledger.execute(QUERIES.remove_schedule, id=schedule.id, now_us=clock.now_us())


def fire(ledger: Database, clock: Clock, settings: Settings, seat: str) -> list[str]:
    """Make runs of the moments that have come, for this seat; their ids."""
    made = (fire_one(ledger, clock, settings, schedule) for schedule in in_force(ledger, seat))
    return [run_id for run_id in made if run_id is not None]


def fire_one(ledger: Database, clock: Clock, settings: Settings, schedule: Schedule) -> str | None:
    """Make a run of the last moment of a schedule that has come; None when there is none, or somebody just did."""
    after_us = max(schedule.created_at_us, schedule.last_us or 0)
    due_us = last_due(schedule.cron, schedule.zone, after_us, clock.now_us())
    if due_us is None:
        return None
    with ledger.transaction():
        if ledger.fetch(QUERIES.tick, schedule_id=schedule.id, tick_us=due_us):
            return None
        if ledger.fetch_one(QUERIES.in_force, id=schedule.id) is None:
            return None
        run_id = hand_in(ledger, clock, settings.runs, schedule.asked, schedule.place)
        ledger.execute(QUERIES.insert_tick, schedule_id=schedule.id, tick_us=due_us, run_id=run_id)
    return run_id
