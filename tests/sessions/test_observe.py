"""What is seen of a made-up CODEX_HOME, and that looking leaves it as it was."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from armarius.sessions.observe import HookLog, Lock, Observations, observe, read_locks
from armarius.sessions.seen import Hook, Past
from armarius.testing.clock import FakeClock

ONE, TWO, THREE = (f"0000000{n}-0000-7000-8000-000000000000" for n in "123")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "thread-writer-locks").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def held(home: Path) -> Iterator[None]:
    """Three locks: one that this process holds, one that nobody holds, and everything else that can lie there."""
    folder = home / "thread-writer-locks"
    for name in (ONE, TWO):
        (folder / f"{name}.lock").touch()
    (folder / ".coordination.lock").touch()
    (folder / f"{THREE}.lock").symlink_to(folder / f"{ONE}.lock")
    os.mkfifo(folder / "pipe.lock")
    (folder / "folder.lock").mkdir()
    (folder / "notes").touch()
    descriptor = os.open(folder / f"{ONE}.lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def database(home: Path, name: str, sql: str) -> None:
    connection: Any = apsw.Connection(str(home / name))
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    connection.execute(sql)
    connection.close()


DATABASES = {
    "thread_history_1.sqlite": f"""
        CREATE TABLE thread_turns (thread_id TEXT, turn_id TEXT, rollout_ordinal INTEGER, status TEXT,
            error_json TEXT, started_at INTEGER, completed_at INTEGER, PRIMARY KEY (thread_id, turn_id));
        INSERT INTO thread_turns VALUES ('{ONE}', 'b', 7, 'inProgress', NULL, 70, NULL);
        INSERT INTO thread_turns VALUES ('{ONE}', 'a', 1, 'completed', NULL, 10, 20)""",
    "queue_1.sqlite": f"""
        CREATE TABLE queued_items (thread_id TEXT);
        INSERT INTO queued_items VALUES ('{TWO}'), ('{TWO}')""",
    "goals_1.sqlite": f"""
        CREATE TABLE thread_goals (thread_id TEXT, objective TEXT, status TEXT, token_budget INTEGER,
            tokens_used INTEGER, updated_at_ms INTEGER);
        INSERT INTO thread_goals VALUES ('{ONE}', 'win', 'active', NULL, 5, 9)""",
    "state_5.sqlite": f"""
        CREATE TABLE threads (id TEXT, rollout_path TEXT, archived INTEGER);
        INSERT INTO threads VALUES ('{ONE}', 'x', 0), ('{TWO}', 'y', 1)""",
}


@pytest.fixture
def databases(home: Path) -> None:
    for name, sql in DATABASES.items():
        database(home, name, sql)


def look(home: Path, **options: Any) -> Observations:
    return observe(home, FakeClock(), **options)


def names(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


@pytest.mark.usefixtures("held", "databases")
def test_everything_that_is_known_of_a_thread_is_seen_and_nothing_is_changed(home: Path) -> None:
    before = names(home)
    observations = look(home)
    one = observations.of(ONE, str(home / "sessions" / "x.jsonl"))
    assert (one.presence, one.pid, one.past) == ("held", os.getpid(), Past("b", "inProgress", 70_000_000))
    assert one.since_us is not None
    assert (one.queued, one.is_archived, one.archived_row, one.changed_us) == (0, False, False, None)
    two = observations.of(TWO, str(home / "archived_sessions" / "y.jsonl"))
    assert (two.presence, two.queued, two.is_archived, two.archived_row) == ("free", 2, True, True)
    assert observations.of(THREE, "z").presence == "gone"
    assert (observations.goals[ONE].objective, observations.goals[ONE].status) == ("win", "active")
    assert observations.trouble == ()
    assert names(home) == before


@pytest.mark.usefixtures("held")
def test_a_lock_is_what_a_file_of_that_name_is_and_nothing_that_only_looks_like_one(home: Path) -> None:
    assert read_locks(home) == {ONE: Lock(is_held=True, pid=os.getpid()), TWO: Lock(is_held=False)}


@pytest.mark.usefixtures("held")
def test_looking_at_a_lock_leaves_it_to_whoever_wants_it(home: Path) -> None:
    read_locks(home)
    with (home / "thread-writer-locks" / f"{TWO}.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert read_locks(home)[TWO].is_held


def test_a_codex_without_locks_or_databases_is_looked_at_as_well(tmp_path: Path) -> None:
    observations = look(tmp_path / "missing")
    assert (observations.locks, observations.pasts, observations.trouble) == ({}, {}, ())


@pytest.mark.usefixtures("databases")
def test_databases_that_tomorrows_codex_changed_are_named_and_hide_no_others(home: Path) -> None:
    database(home, "thread_history_2.sqlite", "CREATE TABLE turns (thread TEXT)")
    (home / "queue_1.sqlite").write_bytes(b"garbage" * 1000)
    observations = look(home)
    assert [line.split(":")[0] for line in observations.trouble] == ["thread_history_2.sqlite", "queue_1.sqlite"]
    assert (observations.pasts, observations.queued, observations.archived) == ({}, {}, frozenset({TWO}))


@pytest.mark.usefixtures("databases")
def test_databases_may_lie_elsewhere(home: Path, tmp_path: Path) -> None:
    assert look(tmp_path, databases=home).archived == frozenset({TWO})
    assert look(tmp_path).archived == frozenset()


def event(name: str, at_us: int, **fields: Any) -> str:
    return json.dumps({"at_us": at_us, "event": name, "session_id": ONE, "turn_id": "t"} | fields) + "\n"


def test_the_last_event_of_each_thread_counts_however_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = HookLog(path)
    assert log.latest() == {}
    path.write_text(event("UserPromptSubmit", 1) + "broken\n" + event("Stop", 5) + event("UserPromptSubmit", 4))
    assert log.latest() == {ONE: Hook("Stop", 5, "t")}
    with path.open("a") as file:
        file.write(event("PermissionRequest", 9, agent_id=TWO) + event("Interrupt", 9)[:-9])
    assert log.latest() == {ONE: Hook("Stop", 5, "t"), TWO: Hook("PermissionRequest", 9, "t")}
    with path.open("a") as file:
        file.write(event("Interrupt", 9)[-9:])
    assert log.latest()[ONE] == Hook("Interrupt", 9, "t")


def test_of_a_long_file_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(event("Stop", 1, session_id=THREE) + event("Stop", 2) * 20_000 + event("Interrupt", 3))
    assert HookLog(path).latest() == {ONE: Hook("Interrupt", 3, "t")}


OTHERS: list[Callable[[Path], object]] = [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")]


@pytest.mark.parametrize("make", OTHERS)
def test_something_else_in_place_of_the_events_has_none(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "events.jsonl")
    assert HookLog(tmp_path / "events.jsonl").latest() == {}
