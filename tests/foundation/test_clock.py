"""Times: read from the machine, stored as integers, written as RFC 3339."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.clock import SystemClock, parse_rfc3339, rfc3339

FIRST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000 + 999_999


@given(st.integers(FIRST, LAST))
def test_a_stored_time_survives_being_written_and_read(at_us: int) -> None:
    assert parse_rfc3339(rfc3339(at_us)) == at_us


@given(st.integers(FIRST, LAST), st.integers(FIRST, LAST))
def test_written_times_sort_as_stored_ones_do(one: int, other: int) -> None:
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@pytest.mark.parametrize(
    ("at_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_176_576_687_000, "2026-11-20T12:09:36.687000Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_a_time_is_written_in_one_way(at_us: int, text: str) -> None:
    assert rfc3339(at_us) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T12:09:36.687Z",
        "2026-11-20T12:09:36.687000+00:00",
        "2026-11-20T14:09:36.687+02:00",
        "2026-11-20 06:39:36.687000-05:30",
    ],
)
def test_every_spelling_of_a_moment_is_that_moment(text: str) -> None:
    assert parse_rfc3339(text) == 1_795_176_576_687_000


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-20T12:09:36", "2026-11-20", "2026-02-30T00:00:00Z", "2026-11-20T25:00:00Z", "1795176576"],
)
def test_what_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


def test_the_machines_clocks_count_microseconds_and_the_steady_one_never_goes_back() -> None:
    clock = SystemClock()
    before = int(datetime.now(UTC).timestamp() * 1_000_000)
    now = clock.now_us()
    after = int(datetime.now(UTC).timestamp() * 1_000_000)
    assert before <= now <= after
    steady = [clock.monotonic_us() for _ in range(1_000)]
    assert steady == sorted(steady)


@pytest.mark.parametrize("size", [0, 1, 10, 64])
def test_entropy_is_of_the_size_asked_for(size: int) -> None:
    assert len(SystemClock().entropy(size)) == size


def test_entropy_does_not_repeat() -> None:
    assert len({SystemClock().entropy(8) for _ in range(100)}) == 100
