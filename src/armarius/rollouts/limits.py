"""Why a turn failed, and when the provider will listen again.

Owns Codex's words for a failure and the three places where a time may stand: the limits that come with
a token count, and, where those are silent, the one sentence that Codex itself writes about a usage
limit. Does not own the turn.
Invariant: the words of a model are never read for this, only Codex's own; a time that cannot be told
is None.
"""

import re
from datetime import datetime, timedelta
from math import isfinite

import msgspec
from msgspec import Raw, Struct

__all__ = ["UsageWindow", "UsageWindows", "failure_kind", "retry_at_us", "usage_windows"]

_USAGE_LIMIT = "usage_limit_exceeded"
_TOO_MANY = "too_many_requests"
_SECOND = 1_000_000
_FULL = 100
_CENTURY_S = 4_000_000_000

# How the sentences of all versions begin and what stands in them; the apostrophe was once a plain one.
_LIMIT_SENTENCE = re.compile(r"You[’']ve hit your (?:\w+ )?(?:usage )?limit\b")  # noqa: RUF001
_STATUS_429 = re.compile(r"\blast status: 429\b")
_AT = re.compile(
    r"\btry again at (?:(?P<date>[A-Z][a-z]{2} \d{1,2})(?:st|nd|rd|th), (?P<year>\d{4}) )?(?P<time>\d{1,2}:\d\d [AP]M)",
    re.ASCII,
)
_IN = re.compile(r"\btry again in (?P<parts>(?:\d{1,4} (?:day|hour|minute|second)s?,? ?)+)", re.ASCII)
_PART = re.compile(r"(\d+) (day|hour|minute|second)", re.ASCII)


class UsageWindow(Struct, frozen=True):
    """How much of one allowance is used up, and when it is whole again."""

    used_percent: float
    window_minutes: int | None = None
    resets_at_us: int | None = None


class UsageWindows(Struct, frozen=True):
    """The allowances of a plan as they were at `said_at_us`; Codex calls the short one `primary`."""

    primary: UsageWindow | None = None
    secondary: UsageWindow | None = None
    said_at_us: int | None = None


class _Window(Struct):
    """One limit. `resets_at` counts seconds since 1970; early versions said how many were left."""

    used_percent: float = 0
    window_minutes: int | None = None
    resets_at: int | None = None
    resets_in_seconds: int | None = None

    def ends_us(self, said_us: int | None) -> int | None:
        if self.resets_at is not None and 0 < self.resets_at < _CENTURY_S:
            return self.resets_at * _SECOND
        if said_us is not None and self.resets_in_seconds is not None and 0 <= self.resets_in_seconds < _CENTURY_S:
            return said_us + self.resets_in_seconds * _SECOND
        return None

    def shown(self, said_us: int | None) -> UsageWindow:
        used = self.used_percent if isfinite(self.used_percent) else float(_FULL)
        return UsageWindow(max(0.0, used), self.window_minutes, self.ends_us(said_us))


class _Limits(Struct):
    """`rate_limits` of a token count."""

    primary: _Window | None = None
    secondary: _Window | None = None

    def reset_us(self, said_us: int | None) -> int | None:
        """When the last of the windows that are used up opens again."""
        full = [window for window in (self.primary, self.secondary) if window and window.used_percent >= _FULL]
        ends = [end for window in full if (end := window.ends_us(said_us)) is not None]
        return max(ends, default=None)


class _Http(Struct):
    http_status_code: int | None = None


_LIMITS = msgspec.json.Decoder(_Limits | None)
_INFO: msgspec.json.Decoder[str | dict[str, _Http] | None] = msgspec.json.Decoder(str | dict[str, _Http] | None)
_STATUS_TOO_MANY = 429


def failure_kind(info: Raw, message: str) -> str | None:
    """Codex's word for a failure: `usage_limit_exceeded`, `other`, …; `too_many_requests` for any 429.

    Versions and streams that give no word have fixed sentences for the two that matter.
    """
    name, status = _told(info)
    if status == _STATUS_TOO_MANY:
        return _TOO_MANY
    if name is not None and name != "other":
        return name
    if _LIMIT_SENTENCE.match(message):
        return _USAGE_LIMIT
    return _TOO_MANY if _STATUS_429.search(message) else name


def usage_windows(limits: Raw, said_us: int | None) -> UsageWindows | None:
    """What a token count says of the plan's allowances; None where it says nothing."""
    try:
        told = _LIMITS.decode(limits) if bytes(limits) else None
    except (ValueError, RecursionError):
        return None
    if told is None or (told.primary is None and told.secondary is None):
        return None
    return UsageWindows(
        primary=told.primary.shown(said_us) if told.primary else None,
        secondary=told.secondary.shown(said_us) if told.secondary else None,
        said_at_us=said_us,
    )


def retry_at_us(limits: Raw, message: str, said_us: int | None) -> int | None:
    """When to try again after a turn that failed at `said_us`; a time of day is that of this machine."""
    try:
        told = _LIMITS.decode(limits) if bytes(limits) else None
    except (ValueError, RecursionError):
        told = None
    reset = told.reset_us(said_us) if told else None
    return reset if reset is not None else _sentence_us(message, said_us)


def _sentence_us(message: str, said_us: int | None) -> int | None:
    if not _LIMIT_SENTENCE.match(message):
        return None
    if (span := _IN.search(message)) and said_us is not None:
        parts = {f"{unit}s": int(count) for count, unit in _PART.findall(span["parts"])}
        return said_us + timedelta(**parts) // timedelta(microseconds=1)
    point = _AT.search(message)
    return _point_us(point, said_us) if point else None


def _point_us(point: re.Match[str], said_us: int | None) -> int | None:
    """Codex writes the time on the wall of the machine it runs on, to the minute, and leaves out today's date."""
    try:
        if point["date"]:
            text = f"{point['date']} {point['year']} {point['time']}"
            local = datetime.strptime(text, "%b %d %Y %I:%M %p")  # noqa: DTZ007 (local on purpose)
        elif said_us is not None:
            time = datetime.strptime(point["time"], "%I:%M %p").time()  # noqa: DTZ007 (local on purpose)
            local = datetime.combine(datetime.fromtimestamp(said_us // _SECOND).date(), time)  # noqa: DTZ006
        else:
            return None
        return int(local.timestamp()) * _SECOND
    except (ValueError, OverflowError, OSError):
        return None


def _told(info: Raw) -> tuple[str | None, int | None]:
    """The word for a failure, and the status of HTTP that some of the words come with."""
    try:
        told = _INFO.decode(info) if bytes(info) else None
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(told, dict):
        return told, None
    name = next(iter(told), None)
    return name, told[name].http_status_code if name else None
