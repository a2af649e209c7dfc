"""Rows and marks, one after the other, of runs that cost no Codex; and the bytes of streams beside them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from armarius.audit.streams import Labels, open_streams
from armarius.audit.verify import NOTHING, Verification, verify, with_streams
from armarius.proof import chain
from armarius.proof.chain import Row
from armarius.runs.queued import Place, cancel_waiting, hand_in
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query
from armarius.testing.clock import FakeClock

ALL_ROWS = Query("all_rows", "The chain.", "SELECT * FROM receipt ORDER BY seq")


def codes(done: Verification) -> set[str]:
    return {finding.code for finding in done.changes}


class Small(NamedTuple):
    """A ledger in which runs are cancelled before they begin, which costs no Codex."""

    ledger: Database
    state: Path
    clock: FakeClock

    def end_one(self) -> None:
        request = RunRequest("worker", "x", str(self.state), "read-only", "/h", "/h/.codex", "/usr/bin")
        run_id = hand_in(self.ledger, self.clock, self.state / "runs", request, Place(None, "own"))
        row = self.ledger.fetch_one(QUERIES.run_by_id, RunRow, id=run_id)
        assert row is not None
        assert cancel_waiting(self.ledger, self.clock, row)

    def check(self) -> Verification:
        return verify(self.ledger, self.state)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    (tmp_path / "state" / "runs").mkdir(parents=True)
    clock = FakeClock()
    with contextlib.closing(open_ledger(tmp_path / "state" / "ledger.sqlite", clock)) as ledger:
        yield Small(ledger, tmp_path / "state", clock)


def test_each_row_follows_the_one_before_it_and_is_marked(small: Small) -> None:
    assert small.check() == NOTHING
    for _ in range(3):
        small.end_one()
    rows = small.ledger.fetch(ALL_ROWS, Row)
    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.previous for row in rows] == [chain.GENESIS, rows[0].chain, rows[1].chain]
    marks = chain.marks_in(chain.mark_of(small.ledger, small.state))
    assert marks == [chain.Mark(row.seq, row.chain) for row in rows]
    done = small.check()
    assert (done.is_intact, done.receipts, done.seq, done.head) == (True, 3, 3, rows[2].chain)


def test_a_row_that_is_gone_is_named_once_wherever_it_was(small: Small) -> None:
    for _ in range(5):
        small.end_one()
    for gone, found in ((1, [2]), (4, [2, 5])):
        small.ledger.execute(Query("gone", "Somebody's change.", f"DELETE FROM receipt WHERE seq = {gone}"))
        assert [one.seq for one in small.check().changes if one.code == "row-missing"] == found


def test_a_kill_before_the_first_mark_is_no_change(small: Small) -> None:
    for found in (set[str](), {"mark-missing"}):
        small.end_one()
        chain.mark_of(small.ledger, small.state).unlink(missing_ok=True)
        assert codes(small.check()) == found


def test_the_bytes_of_streams_are_looked_at_as_well(tmp_path: Path) -> None:
    with open_streams(tmp_path / "streams.sqlite", FakeClock()) as streams:
        kept = list[Path]()
        for number in range(4):
            (file := tmp_path / "stream").write_text(f'{{"type":"thread.started","thread_id":"t-{number}"}}\n')
            with file.open("rb") as source:
                kept.append(streams.place(streams.ingest(source.fileno(), "a file", Labels()).sha256))
            if number == 0:
                streams.prune(1 << 60, dry_run=False)
        whole = with_streams(NOTHING, streams)
        assert (whole.is_intact, whole.changes, whole.streams) == (True, (), 3)
        kept[1].write_bytes(kept[2].read_bytes())
        kept[2].unlink()
        done = with_streams(NOTHING, streams)
        found = {(one.code, one.path) for one in done.changes}
        assert found == {("stream-edited", str(kept[1])), ("stream-missing", str(kept[2]))}
        assert not done.is_intact
        assert not with_streams(msgspec.structs.replace(NOTHING, is_intact=False), streams).is_intact
        kept[1].write_text('{"type":"thread.started","thread_id":"t-1"}\n')
        kept[2].write_text('{"type":"thread.started","thread_id":"t-2"}\n')
        assert not with_streams(msgspec.structs.replace(NOTHING, is_intact=False), streams).is_intact
