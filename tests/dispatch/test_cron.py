"""When something comes by the clock, over every change of the clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.clock import parse_rfc3339, rfc3339
from armarius.dispatch.cron import coming, last_due
from armarius.errors import ArmariusError

HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("cron", "zone", "after", "times"),
    [
        ("0 3 * * *", "UTC", "2026-11-20T02:59:59Z", ["2026-11-20T03:00", "2026-11-21T03:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", ["2026-03-28T01:30", "2026-03-29T01:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", ["2026-10-25T00:30", "2026-10-25T01:30"]),
        ("0 9 * * MON", "America/New_York", "2026-11-01T00:00:00Z", ["2026-11-02T14:00", "2026-11-09T14:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ],
    ids=["daily", "hour that is missing", "hour that comes twice", "hourly in it", "weekday", "leap day"],
)
def test_the_next_moments_are_those_of_the_zone(cron: str, zone: str, after: str, times: list[str]) -> None:
    assert [rfc3339(at)[:16] for at in coming(cron, zone, parse_rfc3339(after), len(times))] == times


@pytest.mark.parametrize(
    ("cron", "zone", "code", "exit_code"),
    [
        ("* * * *", "UTC", "cron", 2),
        ("@daily", "UTC", "cron", 2),
        ("* * * * * *", "UTC", "cron", 2),
        ("61 * * * *", "UTC", "cron", 2),
        ("0 0 31 2 *", "UTC", "cron", 2),
        ("\x1b]52 * * * *", "UTC", "cron", 2),
        (" ".join(["1" * 300, *"****"]), "UTC", "cron", 2),
        ("0 3 * * *", "Mars/Olympus", "zone-unknown", 3),
        ("0 3 * * *", "../../etc/passwd", "zone-unknown", 3),
        ("0 3 * * *", "", "zone-unknown", 3),
    ],
)
def test_what_can_never_come_is_refused_with_a_reason(cron: str, zone: str, code: str, exit_code: int) -> None:
    with pytest.raises(ArmariusError) as caught:
        coming(cron, zone, 0, 1)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)


@given(
    minute=st.sampled_from(["*/7", "0", "30", "15,45"]),
    hour=st.sampled_from(["*", "1", "2", "3", "*/2", "1-3"]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
    change=st.sampled_from(
        ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z", "2026-11-01T00:00:00Z", "2026-04-04T06:00:00Z"]
    ),
    start=st.integers(0, 10 * 3600),
    length=st.integers(0, 20 * 3600),
)
def test_of_all_that_was_missed_the_last_moment_is_made_up_for(
    *, minute: str, hour: str, zone: str, change: str, start: int, length: int
) -> None:
    cron = f"{minute} {hour} * * *"
    after_us = parse_rfc3339(change) + start * 1_000_000
    now_us = after_us + length * 1_000_000
    missed = [at for at in coming(cron, zone, after_us, 300) if at <= now_us]
    assert last_due(cron, zone, after_us, now_us) == (missed[-1] if missed else None)


def test_after_a_year_without_a_worker_one_moment_is_due_and_found_at_once() -> None:
    now_us = parse_rfc3339("2026-11-20T12:00:30Z")
    assert last_due("* * * * *", "UTC", now_us - 365 * 24 * HOUR_US, now_us) == parse_rfc3339("2026-11-20T12:00:00Z")
