"""How much a lane may still do, and which lane has room.

Owns the reading of a lane's newest session files for it, and the choice. Does not own the records
themselves (`armarius.rollouts.limits`) nor what a lane is (lanes.py).
Invariant: the choice is a pure function of seats and time. It never crosses from a plan to a key or
back: that changes who is billed. A window whose time is over is empty, one nobody has heard of is too.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.clock import parse_rfc3339
from armarius.codex.billing import Kind
from armarius.errors import NoAnswer
from armarius.rollouts.discovery import RolloutFile, find_rollouts
from armarius.rollouts.limits import UsageWindow, UsageWindows, usage_windows
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.reader import RolloutReader, end_lines, read_rollout

__all__ = ["Allowance", "Seat", "opens_at_us", "read_allowance", "reroute", "room", "route", "tokens_since"]

_TAIL = 1 << 20
_MOST_FILES = 8
_FULL = 100.0
_MARK = b'"rate_limits":'


class Allowance(msgspec.Struct, frozen=True):
    """What the session files say: the windows of the plan, and until when the provider will not listen."""

    windows: UsageWindows | None = None
    blocked_until_us: int | None = None


class Seat(msgspec.Struct, frozen=True):
    """A lane as the choice sees it. `is_ready` says that a run could start in it but for its allowance.

    `tokens_left` is what a budget leaves, None without one.
    """

    name: str
    kind: Kind
    is_ready: bool
    allowance: Allowance = Allowance()
    tokens_left: int | None = None


def route(seats: Sequence[Seat], now_us: int, kind: Kind, *, without: frozenset[str] = frozenset()) -> str:
    """The lane of `kind` with the most room; NoAnswer that says when one opens, if none has any.

    Of two with the same room the first one counts, so a caller's order is an order of preference.
    """
    able = [seat for seat in seats if seat.kind == kind and seat.is_ready and seat.name not in without]
    best = max(able, key=lambda seat: room(seat, now_us), default=None)
    if best is not None and room(best, now_us) > 0:
        return best.name
    if best is None:
        raise NoAnswer("lane-none", f"no other lane of kind {kind} has a login", "run `armarius lanes list`")
    opens = min((at for seat in able if (at := opens_at_us(seat, now_us)) is not None), default=None)
    when = "" if opens is None else f"; the first one opens in {max(1, (opens - now_us) // 60_000_000)} min"
    raise NoAnswer("lane-full", f"no lane of kind {kind} has room{when}", "run `armarius lanes status`")


def reroute(seats: Sequence[Seat], now_us: int, limited: str, retry_at_us: int | None) -> str:
    """Another lane for work that `limited` could not do because of its limits; NoAnswer when there is none.

    `limited` is left out even when nobody said for how long: who asked knows better than an older file.
    """
    left = next(seat for seat in seats if seat.name == limited)
    blocked = [
        msgspec.structs.replace(seat, allowance=Allowance(seat.allowance.windows, retry_at_us))
        if seat.name == limited and retry_at_us is not None
        else seat
        for seat in seats
    ]
    return route(blocked, now_us, left.kind, without=frozenset({limited}))


def room(seat: Seat, now_us: int) -> float:
    """How many per cent of the fuller window are left; 0 while the provider will not listen."""
    blocked = seat.allowance.blocked_until_us
    if (blocked is not None and blocked > now_us) or (seat.tokens_left is not None and seat.tokens_left <= 0):
        return 0.0
    return min((max(0.0, _FULL - window.used_percent) for window in _open_windows(seat, now_us)), default=_FULL)


def opens_at_us(seat: Seat, now_us: int) -> int | None:
    """When a lane without room has some again, as far as anybody said."""
    full = [window.resets_at_us for window in _open_windows(seat, now_us) if window.used_percent >= _FULL]
    times = [at for at in (*full, seat.allowance.blocked_until_us) if at is not None and at > now_us]
    return max(times, default=None)


def _open_windows(seat: Seat, now_us: int) -> list[UsageWindow]:
    windows = seat.allowance.windows
    said = () if windows is None else (windows.primary, windows.secondary)
    return [
        window
        for window in said
        if window is not None and (window.resets_at_us is None or window.resets_at_us > now_us)
    ]


# ---------------------------------------------------------------- reading


class _Payload(msgspec.Struct):
    type: str = ""
    rate_limits: msgspec.Raw = msgspec.Raw()


class _Record(msgspec.Struct):
    payload: _Payload
    timestamp: str = ""


_decode = msgspec.json.Decoder(_Record).decode


def read_allowance(codex_home: Path) -> Allowance:
    """What the newest session files of a home say; a file that cannot be read says nothing."""
    windows: UsageWindows | None = None
    limited: tuple[int, int | None] = (0, None)
    for file in find_rollouts(codex_home)[:_MOST_FILES]:
        try:
            said = _last_windows(file)
            ended = _last_end(file)
        except OSError:
            continue
        if said is not None and (windows is None or (said.said_at_us or 0) > (windows.said_at_us or 0)):
            windows = said
        limited = max(limited, ended, key=lambda end: end[0])
    return Allowance(windows, limited[1])


def _last_windows(file: RolloutFile) -> UsageWindows | None:
    found: UsageWindows | None = None
    with open_rollout(file.path) as stream:
        for line in end_lines(stream, _TAIL):
            if _MARK in line.data:
                found = _windows_in(line.data) or found
    return found


def _windows_in(line: bytes) -> UsageWindows | None:
    try:
        record = _decode(line)
        return usage_windows(record.payload.rate_limits, parse_rfc3339(record.timestamp))
    except (ValueError, RecursionError, OverflowError):
        return None


def _last_end(file: RolloutFile) -> tuple[int, int | None]:
    """When the newest turn of a file ended, and until when the provider will not listen after it."""
    turns = RolloutReader.at_end(file.path, _TAIL).thread().turns
    last = turns[-1] if turns else None
    if last is None or last.ended_at_us is None:
        return 0, None
    return last.ended_at_us, last.retry_at_us if last.is_rate_limited else None


def tokens_since(codex_home: Path, since_us: int) -> int:
    """The tokens of all responses since then, those from a cache included."""
    total = 0
    for file in find_rollouts(codex_home):
        if file.changed_us < since_us:
            break  # they come newest first
        try:
            responses = read_rollout(file.path).responses
        except OSError:
            continue
        total += sum(spent.usage.total for spent in responses if (spent.at_us or file.changed_us) >= since_us)
    return total
