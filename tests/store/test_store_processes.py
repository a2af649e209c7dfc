"""Several processes and one ledger: together, and when one of them is killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.errors import HostError
from armarius.store.database import Database
from armarius.store.ledger import events_after, open_ledger
from armarius.store.migrations import LEDGER, migrations_in
from armarius.store.queries import Query, load

DOMAIN = load(Path(__file__).parents[1] / "data" / "store" / "queries.sql")


class Other:
    """Another process, which says lines and is told to go on."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin
        assert process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    def hear(self) -> str:
        return self._out.readline().strip()

    def tell(self, line: str) -> None:
        self._in.write(f"{line}\n")
        self._in.flush()

    def hear_all(self) -> list[str]:
        self._in.close()
        return self._out.read().splitlines()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL


Start = Callable[..., Other]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `other_process.py ACTION [PLACE]`; what still runs at the end is killed."""
    with contextlib.ExitStack() as stack:

        def start_one(action: str, *place: str) -> Other:
            argv = [sys.executable, str(Path(__file__).with_name("other_process.py")), action, *place]
            environ = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
            stack.enter_context(process)
            stack.callback(process.kill)
            return Other(process)

        yield start_one


@pytest.fixture
def notes(ledger: Database) -> Database:
    ledger.script("CREATE TABLE note (n BIGINT)")
    return ledger


def numbers(database: Database) -> list[int]:
    return [row["n"] for row in database.fetch(DOMAIN.notes)]


def test_four_processes_may_open_a_new_ledger_at_once(new_place: Callable[[], str], start: Start) -> None:
    # Making a database on a server takes long; a file that is switched to WAL in place fails in
    # one round of five.
    rounds = 4 if "://" in new_place() else 100
    others = [start("open_each") for _ in range(4)]
    assert [other.hear() for other in others] == ["ready"] * 4
    for place in (new_place() for _ in range(rounds)):
        for other in others:
            other.tell(place)
        assert [other.hear() for other in others] == ["opened"] * 4
        with contextlib.closing(open_ledger(place, SystemClock())) as ledger:
            applied = ledger.fetch(Query("applied", "A test.", "SELECT number FROM migration ORDER BY number"))
            assert [row["number"] for row in applied] == [step.number for step in migrations_in(LEDGER)]


def test_two_processes_claim_each_run_once(ledger: Database, place: str, start: Start) -> None:
    runs = [f"run_{n:02}" for n in range(50)]
    for name in runs:
        ledger.execute(DOMAIN.add_run, id=name, paid_key=None, created_at_us=1)
    others = [start("claim", place) for _ in range(2)]
    assert [other.hear() for other in others] == ["ready"] * 2
    for other in others:
        other.tell("go")
    claimed = [other.hear_all() for other in others]
    assert sorted(claimed[0] + claimed[1]) == runs
    events = events_after(ledger, 0, most=100)
    assert [event.seq for event in events] == list(range(1, 51))
    assert sorted(event.subject for event in events) == runs


def test_two_processes_lose_no_update(notes: Database, place: str, start: Start) -> None:
    others = [start("count", place) for _ in range(2)]
    assert [other.hear() for other in others] == ["ready"] * 2
    for other in others:
        other.tell("go")
    assert [other.hear() for other in others] == ["done"] * 2
    assert numbers(notes) == list(range(1, 201))


def test_a_writer_waits_for_another_process_and_says_so_when_it_waits_too_long(
    notes: Database, place: str, start: Start
) -> None:
    holder = start("stop_inside", place)
    assert holder.hear() == "inside"
    with contextlib.closing(open_ledger(place, SystemClock(), patience_ms=20)) as hasty:
        with pytest.raises(HostError, match=r"was locked by another process for 0\.02 s") as caught:
            hasty.execute(DOMAIN.note, n=9)
        assert caught.value.code == "ledger-busy"
        with pytest.raises(HostError, match="was locked by another process"), hasty.transaction():
            pass
        assert numbers(hasty) == []
        holder.tell("go on")
        assert holder.process.wait() == 0
        hasty.execute(DOMAIN.note, n=3)
    assert numbers(notes) == [1, 2, 3]


def test_a_writer_killed_inside_a_transaction_leaves_nothing(notes: Database, place: str, start: Start) -> None:
    other = start("stop_inside", place)
    assert other.hear() == "inside"
    other.kill()
    with notes.transaction():
        assert numbers(notes) == []
        notes.execute(DOMAIN.note, n=7)
    assert numbers(notes) == [7]


def test_a_writer_killed_after_a_transaction_leaves_all_of_it(notes: Database, place: str, start: Start) -> None:
    other = start("stop_after", place)
    assert other.hear() == "after"
    other.kill()
    assert numbers(notes) == [1, 2]


def test_a_process_killed_in_its_first_migration_leaves_a_ledger_that_opens(
    new_place: Callable[[], str], start: Start
) -> None:
    """Wherever the kill falls: the file is linked whole, the tables come in one transaction."""
    for _ in range(4):
        place = new_place()
        other = start("open_each")
        assert other.hear() == "ready"
        other.tell(place)
        other.kill()
        open_ledger(place, SystemClock()).close()


def test_an_open_ledger_in_a_file_loads_nothing_that_only_postgresql_needs(tmp_path: Path, start: Start) -> None:
    assert start("imports", str(tmp_path / "ledger.db")).hear() == "apsw"


def test_without_psycopg_a_postgresql_address_says_what_to_install(start: Start) -> None:
    assert start("without_psycopg", "postgresql://nowhere/db").hear() == (
        "HostError 4 no-psycopg: a ledger on PostgreSQL needs the package psycopg; install 'armarius[postgres]'"
    )


def test_a_file_that_may_not_grow_is_trouble_with_the_disk(tmp_path: Path, start: Start) -> None:
    said = start("short_of_disk", str(tmp_path / "ledger.db")).hear()
    assert said.startswith("HostError 4 disk: the disk refused to read or write")
