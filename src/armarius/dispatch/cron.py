"""When something comes by the clock.

Owns cron expressions in a time zone. Does not own what is then done. Pure.
Invariant: a moment is named in UTC, so that it is the same one through every change of the clocks. Over the
hour that is missing in spring and the one that comes twice in autumn it goes as in Debian's cron: what names
an hour comes once, what names every hour or minute comes by the time that really passes.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from armarius.errors import DataError, UsageError

__all__ = ["coming", "last_due", "zone_of"]

_FIELDS = 5
_LONGEST = 256
_SECOND_US = 1_000_000
_MARGIN_US = 3 * 3600 * _SECOND_US
"""More than clocks are ever changed by."""


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; DataError when this machine knows none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DataError("zone-unknown", f"no time zone {name!r}", "name one like Europe/Berlin, or UTC") from error


def coming(cron: str, zone: str, after_us: int, count: int) -> list[int]:
    """The next `count` moments after one; UsageError for a bad expression, fewer when it never comes again."""
    moments = list[int]()
    times = _times(cron, zone, after_us)
    while len(moments) < count:
        try:
            moment = next(times)
        except StopIteration:
            break
        moments.append(_us(moment))
    return moments


def last_due(cron: str, zone: str, after_us: int, now_us: int) -> int | None:
    """The last moment after one and not after now; None when there is none. What lies between is made up for once."""
    # Backwards only to be near: at a change of the clocks it may see other moments than forwards.
    near = next(_times(cron, zone, now_us + _SECOND_US, reverse=True), None)
    if near is None:
        return None
    due = None
    for moment in _times(cron, zone, max(after_us, _us(near) - _MARGIN_US)):
        if _us(moment) > now_us:
            return due
        due = _us(moment)
    return due


def _times(cron: str, zone: str, from_us: int, *, reverse: bool = False) -> CronSim:
    if len(cron) > _LONGEST or len(cron.split()) != _FIELDS:
        raise UsageError("cron", f"{cron[:40]!r} has not five fields", "write minute hour day month weekday")
    try:
        return CronSim(cron.upper(), datetime.fromtimestamp(from_us / 1_000_000, zone_of(zone)), reverse=reverse)
    except CronSimError as error:
        raise UsageError("cron", f"{cron!r}: {error}".lower(), "write minute hour day month weekday") from error


def _us(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * _SECOND_US
