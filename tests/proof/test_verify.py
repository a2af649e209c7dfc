"""Whatever is changed after a run was recorded is found, and said by name."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from armarius.audit.verify import Verification, verify
from armarius.identity import canonical_json, hash_bytes
from armarius.proof import chain
from armarius.proof.chain import Row, chain_of
from armarius.runs.queued import Place, cancel_waiting, hand_in
from armarius.runs.receipts import RECEIPT
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.ledger import append_event, open_ledger
from armarius.store.queries import Query
from armarius.testing.clock import FakeClock
from support.recorded import Recorded

ALL_ROWS = Query("all_rows", "The chain.", "SELECT * FROM receipt ORDER BY seq")


def change(ledger: Database, sql: str) -> None:
    assert ledger.execute(Query("change", "Somebody's change.", sql)) >= 1


def checked(recorded: Recorded, **asked: str) -> Verification:
    with recorded.world.ledger() as ledger:
        return verify(ledger, recorded.world.state, **asked)


def codes(done: Verification) -> set[str]:
    return {finding.code for finding in done.changes}


def receipt(recorded: Recorded, number: int) -> Path:
    return Path(recorded.runs[number].folder) / RECEIPT


def test_what_nobody_has_changed_is_intact(recorded: Recorded) -> None:
    done = checked(recorded)
    assert (done.is_intact, done.changes, done.notes) == (True, (), ())
    with recorded.world.ledger() as ledger:
        last = ledger.fetch(ALL_ROWS, Row)[-1]
    assert (done.receipts, done.files, done.seq, done.head, done.events) == (4, 4, 4, last.chain, last.last_event)
    assert checked(recorded, expected=done.head).is_intact
    one = checked(recorded, run_id=recorded.runs[0].id)
    assert (one.is_intact, one.files) == (True, 1)


def edit_receipt(recorded: Recorded, _ledger: Database) -> None:
    path = receipt(recorded, 2)
    path.write_bytes(path.read_bytes().replace(b'"state":"failed"', b'"state":"succeeded"'))


def remove_receipt(recorded: Recorded, _ledger: Database) -> None:
    receipt(recorded, 0).unlink()


def remove_folder(recorded: Recorded, _ledger: Database) -> None:
    shutil.rmtree(receipt(recorded, 0).parent)


def replay_old_receipt(recorded: Recorded, _ledger: Database) -> None:
    shutil.copyfile(receipt(recorded, 0), receipt(recorded, 2))


def link_receipt(recorded: Recorded, _ledger: Database) -> None:
    path, other = receipt(recorded, 0), recorded.world.state / "other"
    path.rename(other)
    path.symlink_to(other)


def expose_receipt(recorded: Recorded, _ledger: Database) -> None:
    receipt(recorded, 0).chmod(0o644)


def edit_decision(recorded: Recorded, _ledger: Database) -> None:
    path = Path(recorded.runs[1].folder).parent / "decision-1.json"
    path.write_bytes(path.read_bytes().replace(b"accepted", b"rejected"))


def edit_events(recorded: Recorded, _ledger: Database) -> None:
    with (Path(recorded.runs[0].folder) / "events.jsonl").open("ab") as file:
        file.write(b"{}\n")


def edit_prompt(recorded: Recorded, _ledger: Database) -> None:
    (Path(recorded.runs[0].folder) / "prompt").write_text("what was never asked")


def remove_stderr(recorded: Recorded, _ledger: Database) -> None:
    (Path(recorded.runs[0].folder) / "stderr.log").unlink()


def link_answer(recorded: Recorded, _ledger: Database) -> None:
    answer = Path(recorded.runs[0].folder) / "answer.txt"
    answer.rename(answer.with_name("kept"))
    answer.symlink_to("kept")


def pipe_answer(recorded: Recorded, _ledger: Database) -> None:
    answer = Path(recorded.runs[0].folder) / "answer.txt"
    answer.unlink()
    os.mkfifo(answer)


def edit_session(recorded: Recorded, _ledger: Database) -> None:
    path = Path(recorded.runs[0].rollout or "")
    path.write_bytes(path.read_bytes().replace(b"echo hello", b"echo other", 1))


def edit_run_row(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE run SET state = 'succeeded', error_code = NULL, error_message = NULL WHERE state = 'failed'")


def edit_result(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE run SET result = replace(result, 'made.txt', 'none.txt') WHERE result LIKE '%made.txt%'")


def edit_request(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE run SET request = replace(request, '\"role\"', '\"Role\"')")


def edit_column(column: str, value: str) -> Callable[[Recorded, Database], None]:
    """Another value in one column of every run that has something else there."""

    def edit(_recorded: Recorded, ledger: Database) -> None:
        change(ledger, f"UPDATE run SET {column} = {value} WHERE error_code IS NOT NULL")

    edit.__name__ = f"edit_{column}"
    return edit


COLUMNS = (
    *(("folder", "'/elsewhere'"), ("model", "'another'"), ("effort", "'another'"), ("paid_key", "'of another'")),
    *(("exit_status", "replace(exit_status, '1', '0')"), ("exit_status", "NULL"), ("exit_status", "'no JSON'")),
    *(("error_message", "'another'"), ("codex_version", "'0'"), ("thread_id", "NULL")),
    *(("created_at_us", "1"), ("started_at_us", "1"), ("ended_at_us", "ended_at_us + 1")),
)


def edit_usage(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE response_usage SET output = 0")


def edit_attempt(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE attempt SET host = 'elsewhere'")


def edit_event(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE event SET body = '{}' WHERE seq = 2")


def remove_event(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "DELETE FROM event WHERE seq = 5")


def slip_in_event(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE event SET seq = seq + 1000 WHERE seq = 3")


def give_decision_to_another(recorded: Recorded, ledger: Database) -> None:
    change(ledger, f"UPDATE receipt SET run_id = '{recorded.runs[0].id}' WHERE kind = 'decision'")


def give_receipt_to_another(recorded: Recorded, ledger: Database) -> None:
    change(ledger, f"UPDATE receipt SET number = 7 WHERE run_id = '{recorded.runs[0].id}'")


def edit_row(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE receipt SET at_us = at_us + 1 WHERE seq = 2")


def remove_middle_row(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "DELETE FROM receipt WHERE seq = 2")


def remove_last_row(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "DELETE FROM receipt WHERE seq = 4")


def remove_all_rows(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "DELETE FROM receipt")


def swap_rows(_recorded: Recorded, ledger: Database) -> None:
    change(ledger, "UPDATE receipt SET seq = 90 WHERE seq = 1")
    change(ledger, "UPDATE receipt SET seq = 1 WHERE seq = 2")
    change(ledger, "UPDATE receipt SET seq = 2 WHERE seq = 90")


def rewrite_chain(recorded: Recorded, ledger: Database) -> None:
    """Somebody who knows how: another receipt, its hash, and every row after it made to follow."""
    edit_receipt(recorded, ledger)
    follow(recorded, ledger)
    change(ledger, "UPDATE run SET state = 'succeeded', error_code = NULL, error_message = NULL WHERE state = 'failed'")


def rewrite_as_nonsense(recorded: Recorded, ledger: Database) -> None:
    receipt(recorded, 2).write_bytes(b'{"schema":"armarius.receipt.v1"}\n')
    follow(recorded, ledger)


def follow(recorded: Recorded, ledger: Database) -> None:
    """Rows that say what the third receipt is now."""
    data, before = receipt(recorded, 2).read_bytes(), chain.GENESIS
    for row in ledger.fetch(ALL_ROWS, Row):
        sha256 = hash_bytes(data) if row.path == str(receipt(recorded, 2)) else row.sha256
        made = msgspec.structs.replace(row, sha256=sha256, previous=before)
        before = chain_of(made)
        values = f"sha256 = '{sha256}', previous = '{made.previous}', chain = '{before}'"
        change(ledger, f"UPDATE receipt SET {values} WHERE seq = {row.seq}")


def remove_mark(recorded: Recorded, ledger: Database) -> None:
    chain.mark_of(ledger, recorded.world.state).unlink()


def break_mark(recorded: Recorded, ledger: Database) -> None:
    with chain.mark_of(ledger, recorded.world.state).open("ab") as file:
        file.write(b"no mark\n")


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (edit_receipt, {"receipt-edited"}),
        (remove_receipt, {"receipt-missing"}),
        (remove_folder, {"receipt-missing"}),
        (replay_old_receipt, {"receipt-edited"}),
        (link_receipt, {"receipt-missing"}),
        (expose_receipt, {"receipt-exposed"}),
        (edit_decision, {"receipt-edited"}),
        (edit_events, {"artefact-edited"}),
        (edit_prompt, {"artefact-edited"}),
        (remove_stderr, {"artefact-missing"}),
        (link_answer, {"artefact-missing"}),
        (pipe_answer, {"artefact-missing"}),
        (edit_session, {"artefact-edited"}),
        (edit_run_row, {"run-changed"}),
        (edit_result, {"run-changed"}),
        (edit_request, {"run-changed"}),
        *((edit_column(*column), {"run-changed"}) for column in COLUMNS),
        (edit_usage, {"usage-changed"}),
        (edit_attempt, {"attempts-changed"}),
        (edit_event, {"events-changed"}),
        (remove_event, {"events-changed"}),
        (slip_in_event, {"events-changed"}),
        (give_decision_to_another, {"row-edited", "receipt-other"}),
        (give_receipt_to_another, {"row-edited", "receipt-other"}),
        (edit_row, {"row-edited"}),
        (remove_middle_row, {"row-missing", "chain-broken", "events-changed", "run-unsealed", "mark-ahead"}),
        (remove_last_row, {"mark-ahead"}),
        (remove_all_rows, {"mark-ahead", "run-unsealed"}),
        (swap_rows, {"row-edited", "chain-broken", "events-changed", "mark-differs"}),
        (rewrite_chain, {"mark-differs", "run-changed"}),
        (rewrite_as_nonsense, {"mark-differs", "receipt-other"}),
        (remove_mark, {"mark-missing"}),
        (break_mark, {"mark-broken"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_is_found(recorded: Recorded, tamper: Callable[[Recorded, Database], None], found: set[str]) -> None:
    with recorded.world.ledger() as ledger:
        tamper(recorded, ledger)
    done = checked(recorded)
    assert (codes(done), done.is_intact) == (found, False)


def test_a_change_is_named_where_it_is(recorded: Recorded) -> None:
    with recorded.world.ledger() as ledger:
        sealed = [row.last_event for row in ledger.fetch(ALL_ROWS, Row)]
        edit_event(recorded, ledger)
        change(ledger, f"UPDATE event SET body = '{{}}' WHERE seq = {sealed[1]}")
        remove_middle_row(recorded, ledger)
    found = [(one.code, one.seq) for one in checked(recorded).changes if one.code in {"row-missing", "events-changed"}]
    assert found == [("events-changed", 1), ("row-missing", 3), ("events-changed", 3)]
    said = [one.what for one in checked(recorded).changes if one.code == "events-changed"]
    assert said[1].startswith(f"events {sealed[0] + 1} to {sealed[2]} ")


def test_runs_of_another_host_that_have_no_receipt_are_not_looked_for(recorded: Recorded) -> None:
    with recorded.world.ledger() as ledger:
        remove_all_rows(recorded, ledger)
        chain.mark_of(ledger, recorded.world.state).unlink()
    done = checked(recorded)
    assert (codes(done), done.seq, done.head, done.events) == ({"run-unsealed"}, 0, chain.GENESIS, 0)
    shutil.rmtree(recorded.world.state / "runs")
    assert checked(recorded).is_intact


def test_an_attempt_that_came_later_speaks_for_the_run(recorded: Recorded) -> None:
    with recorded.world.ledger() as ledger:
        asked = f"SELECT * FROM attempt WHERE run_id = '{recorded.runs[2].id}'"
        [attempt] = ledger.fetch(Query("one", "An attempt.", asked))
        values = attempt | {"number": 2}
        names = ", ".join(values)
        given = ", ".join(f":{name}" for name in values)
        ledger.execute(Query("more", "One more.", f"INSERT INTO attempt ({names}) VALUES ({given})"), **values)
        change(ledger, f"UPDATE run SET error_code = 'x' WHERE id = '{recorded.runs[2].id}'")
    assert checked(recorded).is_intact


def test_a_head_that_was_noted_elsewhere_shows_that_everything_was_rewritten(recorded: Recorded) -> None:
    noted = checked(recorded).head
    with recorded.world.ledger() as ledger:
        rewrite_chain(recorded, ledger)
        [last] = [row for row in ledger.fetch(ALL_ROWS, Row) if row.seq == 4]
        remove_mark(recorded, ledger)
        chain.mark(ledger, recorded.world.state, last)
    assert "mark-differs" not in codes(checked(recorded))
    assert "head-unknown" in codes(checked(recorded, expected=noted))


def test_a_session_file_may_grow_and_go_away_but_not_be_edited(recorded: Recorded) -> None:
    path = Path(recorded.runs[0].rollout or "")
    with path.open("ab") as file:
        file.write(b'{"type":"event_msg","payload":{}}\n')
    assert checked(recorded).is_intact
    path.unlink()
    done = checked(recorded)
    assert (done.is_intact, [note.code for note in done.notes]) == (True, ["put-away"])


def test_the_runs_of_another_host_are_said_not_to_be_seen(recorded: Recorded) -> None:
    gone = recorded.world.state / "runs"
    shutil.rmtree(gone)
    done = checked(recorded)
    assert {note.code for note in done.notes} == {"elsewhere"}
    assert done.is_intact


def test_a_run_that_goes_on_later_leaves_its_first_receipt_true(recorded: Recorded) -> None:
    with recorded.world.ledger() as ledger:
        row = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=recorded.runs[2].id)
        assert row is not None
        change(
            ledger,
            "UPDATE run SET state = 'claimed', ended_at_us = NULL, error_code = NULL, error_message = NULL,"
            f" result = NULL WHERE id = '{row.id}'",
        )
    assert checked(recorded).is_intact


def test_a_receipt_says_what_happened_and_nothing_that_is_secret(recorded: Recorded) -> None:
    value = json.loads(receipt(recorded, 1).read_bytes())
    assert receipt(recorded, 1).read_bytes() == canonical_json(value) + b"\n"
    assert receipt(recorded, 1).stat().st_mode & 0o777 == 0o600
    assert (value["state"], value["sandbox_seen"], value["model"]) == ("succeeded", "workspace-write", "gpt-5.5")
    assert value["files"]["changed"] == ["made.txt"]
    assert [command["exit_code"] for command in value["commands"]] == [0]
    kinds = {artefact["kind"] for artefact in value["artefacts"]}
    assert kinds >= {"prompt", "events", "stderr", "exit", "launch", "last-message", "before", "pins", "rollout"}
    assert [lease["resource"].split("@")[0] for lease in value["leases"]] == ["repo"]
    assert value["leases"][0]["token"] >= 1
    assert value["argv"][1] == "exec"
    assert "PATH" in value["environ"]
    failed = json.loads(receipt(recorded, 2).read_bytes())
    assert (failed["state"], failed["problem"]["code"]) == ("failed", "turn-failed")


def test_on_every_database_the_chain_is_the_same_and_a_change_of_it_is_found(ledger: Database, tmp_path: Path) -> None:
    clock, runs = FakeClock(), tmp_path / "state" / "runs"
    runs.mkdir(parents=True)
    request = RunRequest("worker", "x", str(tmp_path), "read-only", "/h", "/h/.codex", "/usr/bin")
    for _ in range(3):
        run_id = hand_in(ledger, clock, runs, request, Place(None, "own"))
        row = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=run_id)
        assert row is not None
        assert cancel_waiting(ledger, clock, row)
    done = verify(ledger, runs.parent)
    assert (done.is_intact, done.receipts, done.changes) == (True, 3, ())
    change(ledger, "UPDATE event SET kind = 'another' WHERE seq = 3")
    change(ledger, "DELETE FROM receipt WHERE seq = 3")
    assert codes(verify(ledger, runs.parent)) == {"events-changed", "mark-ahead", "run-unsealed"}


def test_events_are_sealed_however_many_there_are(tmp_path: Path) -> None:
    clock = FakeClock()
    with contextlib.closing(open_ledger(tmp_path / "ledger.sqlite", clock)) as ledger:
        with ledger.transaction():
            for number in range(4_100):
                append_event(ledger, at_us=number, subject="s", kind="k", body={})
        whole = chain.events_hash(ledger, 0, 4_100)
        assert chain.events_hash(ledger, 0, 4_099) != whole
        assert chain.events_hash(ledger, 0, 9_000) == whole, "what is not there is not waited for"
        change(ledger, "UPDATE event SET body = '[]' WHERE seq = 4050")
        assert chain.events_hash(ledger, 0, 4_100) != whole


def test_the_mark_is_not_written_through_a_link(recorded: Recorded, tmp_path: Path) -> None:
    with recorded.world.ledger() as ledger:
        [*_, last] = ledger.fetch(ALL_ROWS, Row)
        path = chain.mark_of(ledger, recorded.world.state)
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic links"):
            chain.mark(ledger, recorded.world.state, last)
    assert not (tmp_path / "elsewhere").exists()
