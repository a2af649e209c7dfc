"""Is a night due?

Owns the answer for a night that comes every day at a local time, and whether this machine runs on its battery. Does
not own who asks.
Invariant: a day has one moment, whatever its clock does: of a time that comes twice it is the first, of one that is
skipped the moment to which the clock jumps. However many moments were slept through, one night makes up for them.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path

__all__ = ["is_due", "last_moment", "on_battery"]

_SUPPLIES = Path("/sys/class/power_supply")


def last_moment(now: datetime, hour: int, minute: int, zone: tzinfo) -> datetime:
    """The newest moment that is not after `now`, in UTC."""
    today = now.astimezone(zone).date()
    for days in range(4):  # one of them may be a day that the zone left out
        moment = _moment(today + timedelta(days=1 - days), hour, minute, zone)
        if moment <= now:
            return moment
    raise AssertionError("two days ago are over")


def is_due(now: datetime, last_begun: datetime | None, hour: int, minute: int, zone: tzinfo) -> bool:
    """Whether the newest moment has had no night yet; the first night of all waits for its time."""
    return last_begun is not None and last_begun < last_moment(now, hour, minute, zone)


def on_battery(supplies: Path = _SUPPLIES) -> bool:
    """Whether this machine runs on its battery; no, where nobody says so."""
    mains = list[bool]()
    try:
        for supply in sorted(supplies.iterdir()):
            kind = (supply / "type").read_text().strip()
            if kind in ("Mains", "USB") and (supply / "online").exists():
                mains.append((supply / "online").read_text().strip() == "1")
    except OSError:
        return False
    return bool(mains) and not any(mains)


def _moment(day: date, hour: int, minute: int, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(hour, minute, tzinfo=zone)).astimezone(UTC)
