"""A moment of a schedule becomes one run, whoever looks at the clock: on both databases."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius import settings as configuration
from armarius.clock import SystemClock, parse_rfc3339
from armarius.dispatch.schedules import Schedule, add, fire, fire_one, in_force, remove
from armarius.runs.queued import Place
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query
from armarius.testing.clock import FakeClock

SEAT = "here:/home"
RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY id")
TICKS = Query("ticks", "Every moment.", "SELECT * FROM schedule_tick ORDER BY tick_us")
START_US = parse_rfc3339("2026-11-20T12:00:30Z")
MINUTE_US = 60_000_000


class Fired(Exception):
    pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START_US)


@pytest.fixture
def settings(private_home: dict[str, str]) -> configuration.Settings:
    return configuration.load(None, private_home)


def request(tmp_path: Path) -> RunRequest:
    return RunRequest(
        "worker",
        "water the plants",
        str(tmp_path),
        "read-only",
        "/h",
        "/h/.codex",
        "/bin",
        environ={"KEY": "its value"},
    )


def scheduled(ledger: Database, clock: FakeClock, tmp_path: Path, seat: str | None = SEAT) -> Schedule:
    return add(ledger, clock, request(tmp_path), Place(seat, "own", ("KEY",)), cron="* * * * *", zone="UTC")


def test_a_moment_becomes_one_run_though_two_workers_look(
    ledger: Database, place: str, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    scheduled(ledger, clock, tmp_path)
    clock.advance(MINUTE_US)
    with contextlib.closing(open_ledger(place, SystemClock())) as other:
        assert [len(fire(which, clock, settings, SEAT)) for which in (ledger, other, ledger)] == [1, 0, 0]
    [run] = ledger.fetch(RUNS)
    assert (run["state"], "its value" in run["request"]) == ("queued", False)


def test_of_two_that_look_in_one_moment_the_slower_one_finds_it_done(
    ledger: Database, place: str, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    scheduled(ledger, clock, tmp_path)
    clock.advance(MINUTE_US)
    with contextlib.closing(open_ledger(place, SystemClock())) as other:
        [schedule] = in_force(ledger)
        assert len(fire(other, clock, settings, SEAT)) == 1
        assert fire_one(ledger, clock, settings, schedule) is None
    assert len(ledger.fetch(RUNS)) == 1


def test_what_was_missed_is_made_up_for_once(
    ledger: Database, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    """Asleep over many moments, or no worker: one run, and then the next moment again."""
    scheduled(ledger, clock, tmp_path)
    clock.advance(500 * MINUTE_US)
    assert len(fire(ledger, clock, settings, SEAT)) == 1
    clock.advance(MINUTE_US)
    assert len(fire(ledger, clock, settings, SEAT)) == 1
    assert [row["tick_us"] % MINUTE_US for row in ledger.fetch(TICKS)] == [0, 0]


def test_a_clock_that_jumps_back_fires_no_moment_again(
    ledger: Database, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    scheduled(ledger, clock, tmp_path)
    clock.advance(10 * MINUTE_US)
    assert len(fire(ledger, clock, settings, SEAT)) == 1
    clock.set_wall(clock.now_us() - 5 * MINUTE_US)
    assert fire(ledger, clock, settings, SEAT) == []
    clock.advance(6 * MINUTE_US)
    assert len(fire(ledger, clock, settings, SEAT)) == 1


def test_nothing_comes_before_its_time_from_another_seat_or_once_it_was_removed(
    ledger: Database, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    schedule = scheduled(ledger, clock, tmp_path)
    assert fire(ledger, clock, settings, SEAT) == []
    clock.advance(MINUTE_US)
    assert fire(ledger, clock, settings, "elsewhere:/home") == []
    remove(ledger, clock, schedule)
    assert fire(ledger, clock, settings, SEAT) == []
    assert in_force(ledger) == []


def test_of_a_firing_that_is_cut_short_nothing_is_left_and_the_next_one_does_it(
    ledger: Database, clock: FakeClock, settings: configuration.Settings, tmp_path: Path
) -> None:
    scheduled(ledger, clock, tmp_path)
    clock.advance(MINUTE_US)
    failing = failing_at(ledger, "insert_tick")
    with pytest.raises(Fired):
        fire(failing, clock, settings, SEAT)
    assert ledger.fetch(RUNS) == []
    assert len(fire(ledger, clock, settings, SEAT)) == 1


def failing_at(ledger: Database, name: str) -> Database:
    """The ledger, dying at a statement."""
    run: Callable[..., object] = ledger.run

    class Dying(type(ledger)):  # pyright: ignore[reportUntypedBaseClass]
        def __init__(self) -> None:
            self.__dict__ = ledger.__dict__

        def run(self, query: Query, values: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            if query.name == name:
                raise Fired
            return run(query, values)

    return Dying()  # pyright: ignore[reportAbstractUsage]
