"""The rules that the ledger's tables keep by themselves, and its event log."""

from pathlib import Path

import apsw
import psycopg
import pytest

from armarius.store.database import Database, Value
from armarius.store.ledger import Event, append_event, events_after, events_of
from armarius.store.queries import Query, load

DOMAIN = load(Path(__file__).parents[1] / "data" / "store" / "queries.sql")
CONSTRAINT_ERRORS = (apsw.ConstraintError, psycopg.IntegrityError)


def ask(sql: str) -> Query:
    return Query("ask", "A test.", sql)


def add_run(ledger: Database, name: str, *, paid_key: str | None = None) -> int:
    return ledger.execute(DOMAIN.add_run, id=name, paid_key=paid_key, created_at_us=1)


def test_a_paid_key_belongs_to_one_run(ledger: Database) -> None:
    assert add_run(ledger, "run_a", paid_key="key") == 1
    assert add_run(ledger, "run_b", paid_key="key") == 0
    assert add_run(ledger, "run_c") == 1
    assert add_run(ledger, "run_d") == 1
    assert [row["id"] for row in ledger.fetch(DOMAIN.run_ids)] == ["run_a", "run_c", "run_d"]


def attempt(ledger: Database, number: int) -> int:
    return ledger.execute(DOMAIN.add_attempt, run_id="run_a", number=number)


@pytest.mark.parametrize(
    ("outcome", "retried"),
    [
        (None, 0),
        ("succeeded", 0),
        ("failed", 1),
        ("interrupted", 1),
        ("cancelled", 1),
        ("crashed", 1),
        ("timed_out", 1),
    ],
)
def test_a_run_may_be_tried_again_unless_it_lives_or_has_succeeded(
    ledger: Database, outcome: str | None, retried: int
) -> None:
    add_run(ledger, "run_a")
    assert attempt(ledger, 1) == 1
    if outcome:
        ledger.execute(DOMAIN.end_attempt, run_id="run_a", number=1, outcome=outcome)
    assert attempt(ledger, 2) == retried


def test_a_second_attempt_cannot_succeed_beside_a_success(ledger: Database) -> None:
    add_run(ledger, "run_a")
    for number, outcome in ((1, "crashed"), (2, "succeeded")):
        attempt(ledger, number)
        ledger.execute(DOMAIN.end_attempt, run_id="run_a", number=number, outcome=outcome)
    with pytest.raises(CONSTRAINT_ERRORS):
        ledger.execute(DOMAIN.end_attempt, run_id="run_a", number=1, outcome="succeeded")


RUN = "INSERT INTO run (id, role, state, folder, cwd, sandbox, request, created_at_us, {}) VALUES ({}, {})"
NIGHT = """
    INSERT INTO night
        (id, experiment, number, project, target_path, base_hash, state, settings, created_at_us, ended_at_us)
    VALUES ({})
"""
EVIDENCE = """
    INSERT INTO evidence
        (experiment, ordinal, night, task, baseline, candidate, baseline_run, candidate_run, at_us)
    VALUES ({})
"""
PROPOSAL = """
    INSERT INTO proposal (id, night_id, target_path, base_hash, proposed_hash, folder, decision, e_value,
        state, created_at_us, adopted_at_us, rolled_back_at_us)
    VALUES ('p', 'night_1', 's', 'h', 'i', '/', 'adopt', {})
"""


@pytest.fixture
def night(ledger: Database) -> Database:
    """A ledger with two runs and one ended night."""
    add_run(ledger, "run_a")
    add_run(ledger, "run_b")
    ledger.execute(ask(NIGHT.format("'night_1', 'x', 1, 'p', 's', 'h', 'nothing', '{}', 1, 2")))
    return ledger


def run_row(state: str, column: str, value: str) -> str:
    values = f"'run_z', 'worker', '{state}', '/', '/', 'read-only', '{{}}', 1"
    return RUN.format(column, values, value)


@pytest.mark.parametrize(
    "sql",
    [
        run_row("queued", "model", "'m'"),
        run_row("running", "started_at_us", "1"),
        run_row("crashed", "ended_at_us", "2"),
        NIGHT.format("'night_2', 'x', 2, 'p', 's', 'h', 'open', '{}', 1, NULL"),
        EVIDENCE.format("'x', 1, 1, 't', 0.5, 1, 'run_a', 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', NULL, 1, 'run_a', 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', NULL, NULL, NULL, NULL, 1"),
        PROPOSAL.format("12.5, 'staged', 1, NULL, NULL"),
        PROPOSAL.format("12.5, 'adopted', 1, 2, NULL"),
        PROPOSAL.format("12.5, 'rolled_back', 1, 2, 3"),
        PROPOSAL.format("0, 'superseded', 1, NULL, NULL"),
        "INSERT INTO response_usage VALUES ('run_a', 'r', 't', 1, 1, 0, 1, 0, 'stream')",
    ],
)
def test_a_row_that_makes_sense_is_kept(night: Database, sql: str) -> None:
    assert night.execute(ask(sql)) == 1


@pytest.mark.parametrize(
    "sql",
    [
        run_row("done", "model", "'m'"),
        run_row("queued", "ended_at_us", "2"),
        run_row("crashed", "model", "'m'"),
        run_row("running", "model", "'m'"),
        run_row("queued", "error_code", "'e'"),
        run_row("queued", "error_message", "'e'"),
        run_row("queued", "model", "'m'").replace("'read-only'", "'none'"),
        run_row("queued", "model", "'m'").replace("'worker'", "'boss'"),
        run_row("queued", "model", "'m'").replace("'run_z'", "NULL"),
        "INSERT INTO attempt VALUES ('run_none', 1, 'h', 'b', 1, 1, NULL, NULL, 1, NULL, NULL)",
        "INSERT INTO attempt VALUES ('run_a', 0, 'h', 'b', 1, 1, NULL, NULL, 1, NULL, NULL)",
        "INSERT INTO attempt VALUES ('run_a', 1, 'h', 'b', 1, 1, 7, NULL, 1, NULL, NULL)",
        "INSERT INTO attempt VALUES ('run_a', 1, 'h', 'b', 1, 1, NULL, NULL, 1, 2, NULL)",
        "INSERT INTO attempt VALUES ('run_a', 1, 'h', 'b', 1, 1, NULL, NULL, 1, NULL, 'crashed')",
        "INSERT INTO attempt VALUES ('run_a', 1, 'h', 'b', 1, 1, NULL, NULL, 1, 2, 'odd')",
        "INSERT INTO response_usage VALUES ('run_none', 'r', 't', 1, 1, 0, 1, 0, 'stream')",
        "INSERT INTO response_usage VALUES ('run_a', 'r', 't', 1, 1, 0, 1, 0, 'guess')",
        NIGHT.format("'night_2', 'x', 1, 'p', 's', 'h', 'nothing', '{}', 1, 2"),
        NIGHT.format("'night_2', 'x', 2, 'p', 's', 'h', 'nothing', '{}', 1, NULL"),
        NIGHT.format("'night_2', 'x', 2, 'p', 's', 'h', 'judged', '{}', 1, 2"),
        EVIDENCE.format("'x', 1, 2, 't', 0.5, 1, 'run_a', 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', 1.5, 1, 'run_a', 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', 0.5, -1, 'run_a', 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', 0.5, 1, NULL, 'run_b', 1"),
        EVIDENCE.format("'x', 1, 1, 't', 0.5, 1, 'run_a', NULL, 1"),
        EVIDENCE.format("'x', 1, 1, 't', 0.5, 1, 'run_a', 'run_none', 1"),
        EVIDENCE.format("'x', 1, 1, 't', 0, 1, 'run_a', 'run_b', 1), ('x', 2, 1, 't', 0, 1, 'run_a', 'run_b', 1"),
        PROPOSAL.format("-1, 'staged', 1, NULL, NULL"),
        PROPOSAL.format("1, 'adopted', 1, NULL, NULL"),
        PROPOSAL.format("1, 'rolled_back', 1, 2, NULL"),
        PROPOSAL.format("1, 'adopted', 1, 2, 3"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(night: Database, sql: str) -> None:
    with pytest.raises(CONSTRAINT_ERRORS):
        night.execute(ask(sql))


def test_an_experiment_has_one_open_night(night: Database) -> None:
    night.execute(ask(NIGHT.format("'night_2', 'x', 2, 'p', 's', 'h', 'open', '{}', 1, NULL")))
    with pytest.raises(CONSTRAINT_ERRORS):
        night.execute(ask(NIGHT.format("'night_3', 'x', 3, 'p', 's', 'h', 'open', '{}', 1, NULL")))
    night.execute(ask(NIGHT.format("'night_4', 'y', 1, 'p', 's', 'h', 'open', '{}', 1, NULL")))


def note(ledger: Database, subject: str, **body: Value) -> int:
    return append_event(ledger, at_us=7, subject=subject, kind="seen", body=body)


def test_events_are_numbered_in_order_and_read_from_where_one_stopped(ledger: Database) -> None:
    assert [note(ledger, f"run_{n}") for n in range(5)] == [1, 2, 3, 4, 5]
    assert [event.seq for event in events_after(ledger, 0, most=3)] == [1, 2, 3]
    assert [event.seq for event in events_after(ledger, 3, most=3)] == [4, 5]
    assert events_after(ledger, 5, most=3) == []


def test_an_event_keeps_its_body_as_canonical_json(ledger: Database) -> None:
    note(ledger, "run_b")
    note(ledger, "run_a", b="é", a=1)
    note(ledger, "run_b")
    assert events_of(ledger, "run_a") == [Event(2, 7, "run_a", "seen", '{"a":1,"b":"é"}')]
    assert [event.seq for event in events_of(ledger, "run_b")] == [1, 3]


def test_an_event_of_a_transaction_that_fails_never_happened_and_leaves_no_gap(ledger: Database) -> None:
    def fail() -> None:
        with ledger.transaction():
            assert note(ledger, "run_a") == 2
            raise LookupError

    note(ledger, "run_a")
    with pytest.raises(LookupError):
        fail()
    assert note(ledger, "run_b") == 2
    assert [event.subject for event in events_after(ledger, 0, most=9)] == ["run_a", "run_b"]
