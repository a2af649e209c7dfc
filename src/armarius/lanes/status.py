"""What is known of each lane, for whoever looks or chooses.

Owns bringing together the record, the login, what speaks against a run, and the allowance. Does not
own any of them.
Invariant: a lane whose files cannot be read is a row that says so, and hides no other lane.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock, rfc3339
from armarius.codex.billing import Kind, Objection
from armarius.codex.home import read_login
from armarius.errors import ArmariusError
from armarius.lanes.allowance import Allowance, Seat, opens_at_us, read_allowance, room, tokens_since
from armarius.lanes.billing import billing_of
from armarius.lanes.lanes import OWN, Lane, Lanes
from armarius.rollouts.limits import UsageWindow
from armarius.settings import Settings

__all__ = ["LaneList", "LaneReport", "LaneReports", "LaneRow", "list_lanes", "report_lanes", "row_of", "seats_of"]

_DAY_US = 86_400_000_000


class LaneRow(msgspec.Struct, frozen=True):
    """One lane. `own`, the caller's own CODEX_HOME, has no kind. `login` may be `broken`."""

    name: str
    kind: Kind | None
    home: str
    is_default: bool
    login: str
    tokens_per_day: int | None = None
    schema: str = "armarius.lane.v1"


class LaneList(msgspec.Struct, frozen=True):
    """All lanes (`armarius.lanes.v1`)."""

    lanes: tuple[LaneRow, ...]
    schema: str = "armarius.lanes.v1"


class Window(msgspec.Struct, frozen=True):
    """One allowance of a plan. `used_percent` is what was said last; it is over when `resets_at` is past."""

    used_percent: float
    window_minutes: int | None
    resets_at: str | None


class LaneReport(msgspec.Struct, frozen=True):
    """A lane with its allowance. `room_percent` is 0 while there is none; `opens_at` says until when."""

    lane: LaneRow
    expires_at: str | None
    objections: tuple[Objection, ...]
    primary: Window | None
    secondary: Window | None
    said_at: str | None
    blocked_until: str | None
    room_percent: float
    opens_at: str | None
    tokens_today: int | None


class LaneReports(msgspec.Struct, frozen=True):
    """What `lanes status` answers (`armarius.lane_status.v1`)."""

    lanes: tuple[LaneReport, ...]
    schema: str = "armarius.lane_status.v1"


class _Known(msgspec.Struct, frozen=True):
    """A lane, its seat, and what is said of it besides."""

    row: LaneRow
    seat: Seat
    expires_at_us: int | None
    objections: tuple[Objection, ...]


def list_lanes(lanes: Lanes) -> LaneList:
    """Every lane, `own` first."""
    return LaneList(tuple(row_of(lanes, name) for name in _names(lanes)))


def row_of(lanes: Lanes, name: str) -> LaneRow:
    """One lane; UsageError when there is none of that name."""
    lane, home = lanes.find(name), lanes.home(name)
    try:
        login: str = read_login(home).mode
    except ArmariusError:
        login = "broken"
    return LaneRow(
        name=name,
        kind=lane.kind if lane else None,
        home=str(home),
        is_default=lanes.default() == name,
        login=login,
        tokens_per_day=lane.tokens_per_day if lane else None,
    )


def report_lanes(settings: Settings, clock: Clock, program: Path | None, name: str | None = None) -> LaneReports:
    """One lane, or all, with what they may still do."""
    lanes, now_us = Lanes(settings), clock.now_us()
    names = _names(lanes) if name is None else (name,)
    return LaneReports(tuple(_report(_look(settings, lanes, each, program, now_us), now_us) for each in names))


def seats_of(settings: Settings, clock: Clock, program: Path | None) -> Sequence[Seat]:
    """What `route` chooses from: the default lane first, so that it wins between equals."""
    lanes = Lanes(settings)
    default = lanes.default()
    names = (default, *(name for name in _names(lanes) if name != default))
    return tuple(_look(settings, lanes, name, program, clock.now_us()).seat for name in names)


def _names(lanes: Lanes) -> tuple[str, ...]:
    return (OWN, *(lane.name for lane in lanes.all()))


def _look(settings: Settings, lanes: Lanes, name: str, program: Path | None, now_us: int) -> _Known:
    lane, home = lanes.find(name), lanes.home(name)
    kind: Kind = lane.kind if lane else "chatgpt"
    expires_at_us: int | None = None
    is_able = False
    try:
        billing = billing_of(settings, home, kind=lane.kind if lane else None, program=program)
        kind, objections = billing.kind, billing.objections
        # A plan or a key of OpenAI: work could move to another lane without another provider doing it.
        is_able = billing.plan == kind
        expires_at_us = read_login(home).expires_at_us
    except ArmariusError as error:
        objections = (Objection(error.code, error.message, error.hint, 4),)
    allowance = read_allowance(home)
    left = _tokens_left(lane, home, now_us)
    return _Known(
        row=row_of(lanes, name),
        seat=Seat(name, kind, is_able and not objections, allowance, left),
        expires_at_us=expires_at_us,
        objections=objections,
    )


def _tokens_left(lane: Lane | None, home: Path, now_us: int) -> int | None:
    if lane is None or lane.tokens_per_day is None:
        return None
    return lane.tokens_per_day - tokens_since(home, now_us - now_us % _DAY_US)


def _report(known: _Known, now_us: int) -> LaneReport:
    seat = known.seat
    windows = seat.allowance.windows
    budget = known.row.tokens_per_day
    return LaneReport(
        lane=known.row,
        expires_at=_time(known.expires_at_us),
        objections=known.objections,
        primary=_window(windows.primary if windows else None),
        secondary=_window(windows.secondary if windows else None),
        said_at=_time(windows.said_at_us if windows else None),
        blocked_until=_time(_after(seat.allowance, now_us)),
        room_percent=room(seat, now_us) if seat.is_ready else 0.0,
        opens_at=_time(opens_at_us(seat, now_us)),
        tokens_today=None if budget is None or seat.tokens_left is None else budget - seat.tokens_left,
    )


def _after(allowance: Allowance, now_us: int) -> int | None:
    until = allowance.blocked_until_us
    return until if until is not None and until > now_us else None


def _window(window: UsageWindow | None) -> Window | None:
    if window is None:
        return None
    return Window(window.used_percent, window.window_minutes, _time(window.resets_at_us))


def _time(at_us: int | None) -> str | None:
    """As people read it; None also for an expiry that no calendar has."""
    if at_us is None:
        return None
    try:
        return rfc3339(at_us)
    except (ValueError, OverflowError, OSError):
        return None
