"""What the user has said for every run: the budgets of a day and of a lane, and other lanes for when one is full.

Owns building these from the settings. Does not own keeping to them (`meter.py`, `carrying.py`).
Invariant: a lane's budget counts every session file of the lane, whoever wrote it; a day's budget counts
every run of the ledger. Work moves only to a lane of the same kind.
"""

from pathlib import Path

import msgspec

from armarius.budget import Budget, Spent
from armarius.clock import Clock
from armarius.codex.binary import Binary
from armarius.codex.home import read_owner
from armarius.counts.scan import Scan
from armarius.errors import ArmariusError
from armarius.lanes.allowance import reroute
from armarius.lanes.billing import admit
from armarius.lanes.lanes import Lanes
from armarius.lanes.status import seats_of
from armarius.rollouts.discovery import find_rollouts
from armarius.runs.limits import Limit, Standing
from armarius.runs.records import spent_since
from armarius.runs.request import Problem, RunRequest
from armarius.settings import Settings
from armarius.store.database import Database

__all__ = ["standing_of"]

_DAY_US = 86_400_000_000


def standing_of(settings: Settings, ledger: Database, clock: Clock, binary: Binary) -> Standing:
    """The limits of every run of this user, and the way to another lane."""

    def limits(request: RunRequest) -> tuple[Limit, ...]:
        found = [_of_lane(settings, clock, Path(request.codex_home))]
        if settings.day_budget:
            found.append(Limit("day", settings.day_budget, lambda: spent_since(ledger, _midnight_us(clock), clock)))
        return tuple(filter(None, found))

    def move(request: RunRequest, problem: Problem) -> RunRequest | None:
        return _moved(settings, clock, binary, request, problem)

    return Standing(limits, move)


def _of_lane(settings: Settings, clock: Clock, home: Path) -> Limit | None:
    lanes = Lanes(settings)
    lane = next((lane for lane in lanes.all() if lanes.home(lane.name) == home), None)
    if lane is None or lane.tokens_per_day is None:
        return None
    return Limit(f"lane {lane.name}", Budget(tokens=lane.tokens_per_day), _Today(home, clock).spent)


def _midnight_us(clock: Clock) -> int:
    now_us = clock.now_us()
    return now_us - now_us % _DAY_US


class _Today:
    """The tokens of a CODEX_HOME since midnight (UTC), counted while its files grow."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._scans: dict[Path, Scan] = {}

    def spent(self) -> Spent:
        since_us = _midnight_us(self._clock)
        tokens = requests = 0
        for file in find_rollouts(self._home):
            if file.changed_us < since_us:
                break  # they come newest first
            scan = self._scans.setdefault(file.path, Scan(file.path))
            try:
                scan.advance()
            except OSError:
                continue
            today = [one for one in scan.summary().responses if (one.at_us or file.changed_us) >= since_us]
            tokens += sum(one.usage.total for one in today)
            requests += len(today)
        return Spent(tokens=tokens, requests=requests)


def _moved(
    settings: Settings, clock: Clock, binary: Binary, request: RunRequest, problem: Problem
) -> RunRequest | None:
    """The request for another lane with room; None when there is none, or it could not be used."""
    lanes = Lanes(settings)
    program = Path(binary.path)
    seats = seats_of(settings, clock, program)
    here = next((seat.name for seat in seats if str(lanes.home(seat.name)) == request.codex_home), None)
    if here is None:
        return None
    try:
        there = reroute(seats, clock.now_us(), here, problem.retry_at_us)
        home, lane = lanes.home(there), lanes.find(there)
        admit(settings, home, kind=lane.kind if lane else None, program=program, cwd=Path(request.cwd))
        owner = read_owner(home)
    except ArmariusError:
        return None
    keys = {name: settings.environ[name] for name in owner.key_variables if name in settings.environ}
    return msgspec.structs.replace(request, codex_home=str(home), environ=keys)
