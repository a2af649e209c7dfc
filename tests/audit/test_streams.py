"""Streams in the record: once by their content, never changed, and told of as they were."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from armarius.audit.stream_report import AuditReport, RunReport, as_html, as_markdown, as_text, report_of, select
from armarius.audit.streams import Ingested, Labels, Streams, open_streams
from armarius.errors import DataError
from armarius.sessions.prices import load_prices
from armarius.testing.clock import FakeClock

CORPUS = Path(__file__).parents[1] / "data" / "corpus" / "rollouts"
SECRET = "sk-" + "a1b2c3d4" * 4
HOSTILE = "</pre><script>alert(1)</script>\n```\n# not a heading\n\x1b]52;c;eA==\x07"


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    with open_streams(tmp_path / "streams.sqlite", FakeClock()) as opened:
        yield opened


def events(*parts: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(part) + b"\n" for part in parts)


def item(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": f"item_{number}", "type": kind} | fields}


def ran(number: int, command: str, code: int, output: str = "") -> dict[str, Any]:
    state = "failed" if code else "completed"
    return item(number, "command_execution", command=command, aggregated_output=output, exit_code=code, status=state)


def stream(*parts: dict[str, Any], thread: str = "t-1", spent: int = 1_000) -> bytes:
    usage = {"input_tokens": spent, "cached_input_tokens": spent // 2, "output_tokens": spent // 10}
    begun = {"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}
    return events(*begun, *parts, {"type": "turn.completed", "usage": usage})


def take_in(streams: Streams, data: bytes, **labels: str) -> Ingested:
    reader, writer = os.pipe()
    if os.fork() == 0:  # a pipe holds little
        os.close(reader)
        while data:
            data = data[os.write(writer, data) :]
        os._exit(0)
    os.close(writer)
    try:
        return streams.ingest(reader, "a pipe", Labels(**labels))
    finally:
        os.close(reader)
        os.wait()


def told(streams: Streams, name: str | None = None, model: str | None = None) -> list[RunReport]:
    prices = load_prices(Path("/nowhere/prices.toml"))
    chosen = select(streams, run=name, since_us=None)
    return [report_of(streams, stream, row, prices, model) for stream, row in chosen]


def test_a_stream_is_kept_once_and_as_it_was(streams: Streams) -> None:
    data = stream(item(0, "agent_message", text="done")) + b"junk\n"
    first, again = take_in(streams, data, label="a"), take_in(streams, data, label="a")
    assert (first.known, again.known, first.id, first.bad_lines) == (False, True, again.id, 1)
    assert streams.place(first.sha256).read_bytes() == data
    assert streams.place(first.sha256).stat().st_mode & 0o777 == 0o600
    assert len(streams.since(0)) == 1
    assert take_in(streams, data, label="b").known
    assert streams.labels(first.id) == Labels("b")
    take_in(streams, data)
    assert streams.labels(first.id) == Labels("b"), "to say nothing takes nothing back"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"hello\n", b'{"type":"session_meta","payload":{}}\n', b"\0" * 100])
def test_what_is_no_stream_leaves_nothing_behind(streams: Streams, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError):
        take_in(streams, data)
    assert streams.since(0) == []
    assert list((tmp_path / "streams.sqlite.streams").iterdir()) == []


def test_no_row_can_be_changed_or_taken_away(streams: Streams, tmp_path: Path) -> None:
    take_in(streams, stream(), label="a")
    connection: Any = apsw.Connection(str(tmp_path / "streams.sqlite"))
    for table in ("stream", "stream_run", "stream_label"):
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET rowid = rowid + 1"):
            with pytest.raises(apsw.ConstraintError):
                connection.execute(change)
    connection.close()


def test_bytes_that_changed_are_found(streams: Streams) -> None:
    one, two = take_in(streams, stream(thread="t-1")), take_in(streams, stream(thread="t-2"))
    assert list(streams.verify()) == []
    streams.place(one.sha256).write_bytes(stream(thread="t-3"))
    streams.place(two.sha256).unlink()
    found = {broken.id: broken.problem for broken in streams.verify()}
    assert found.keys() == {one.id, two.id}
    assert ("have the hash sha256:" in found[one.id], found[two.id]) == (True, "its bytes are gone")


def test_pruned_bytes_are_gone_and_what_they_were_stays(streams: Streams) -> None:
    data = stream(item(0, "agent_message", text="done"))
    done = take_in(streams, data)
    far = 1 << 60
    assert streams.prune(0, dry_run=False).streams == ()
    assert [row.id for row in streams.prune(far, dry_run=True).streams] == [done.id]
    assert streams.place(done.sha256).exists()
    assert streams.prune(far, dry_run=False).bytes == len(data)
    assert not streams.place(done.sha256).exists()
    (run,) = told(streams)
    assert (run.pruned, run.status, run.usage.input, run.timeline) == (True, "completed", 1_000, ())
    assert (streams.prune(far, dry_run=False).streams, list(streams.verify())) == ((), [])
    assert take_in(streams, data).known
    assert not told(streams)[0].pruned


def test_a_run_is_told_with_all_that_happened(streams: Streams) -> None:
    work = (
        item(0, "reasoning", text="hm"),
        ran(1, "make test", 2, f"key {SECRET}"),
        item(2, "file_change", changes=[{"path": "a.py", "kind": "update"}], status="completed"),
        item(3, "file_change", changes=[{"path": "a.py", "kind": "update"}], status="completed"),
        ran(4, "make test", 0),
        item(5, "agent_message", text=f"done with {SECRET}"),
    )
    done = take_in(streams, stream(*work), label="nightly", repo="r", branch="b", purpose="p")
    (run,) = told(streams, "nightly", "gpt-5.5")
    assert run == told(streams, "t-1", "gpt-5.5")[0] == told(streams, done.id[:20], "gpt-5.5")[0]
    assert (run.status, run.turns, run.failed_commands, run.labels.purpose) == ("completed", 1, 1, "p")
    assert [(each.line, each.command, each.exit_code) for each in run.commands] == [
        (4, "make test", 2),
        (7, "make test", 0),
    ]
    assert [(file.path, file.changes) for file in run.files] == [("a.py", 2)]
    assert (run.usage.input, run.cost_micro_usd is not None) == (1_000, True)
    assert told(streams, "nightly")[0].cost_micro_usd is None, "a price is never guessed"
    assert run.last_message == "done with [redacted:openai-key]"
    assert SECRET.encode() not in msgspec.json.encode(run)
    assert [step.line for step in run.timeline] == sorted(step.line for step in run.timeline)


def test_lines_have_their_numbers_in_whichever_order_runs_are_asked_for(streams: Streams) -> None:
    done = take_in(streams, stream(thread="t-1") + stream(thread="t-2") + stream(thread="t-3"))
    whole = streams.stream(done.id)
    runs = streams.runs(whole)
    for order in ((0, 1, 2), (2, 0, 1), (1, 1, 0)):
        firsts = [next(streams.lines(whole, runs[number])).number for number in order]
        assert firsts == [1 + 3 * number for number in order]


def test_a_resumed_thread_counts_only_what_it_grew_by(streams: Streams) -> None:
    for spent in (6_000, 1_000, 3_000):  # in whichever order they come
        take_in(streams, stream(spent=spent))
    assert sorted(run.usage.input for run in told(streams, "t-1")) == [1_000, 2_000, 3_000]


VERDICT = """VERDICT: PASS

COMMANDS RUN:
judge_source: codex-gpt-5.5
$ make test
7 passed
REASONS:
- `make test` passes as the acceptance asks
"""


@pytest.mark.parametrize(
    ("text", "command", "outcome"),
    [
        (VERDICT, "make test", "PASS"),
        (VERDICT.replace("PASS", "FAIL"), "make test", "FAIL"),
        (VERDICT, "make lint", "NO_VERDICT"),
        (VERDICT.replace("REASONS:", "BECAUSE:"), "make test", "NO_VERDICT"),
        ("I looked at it. VERDICT: PASS", "make test", None),
    ],
)
def test_a_verdict_counts_only_with_the_commands_that_it_claims(
    streams: Streams, text: str, command: str, outcome: str | None
) -> None:
    take_in(streams, stream(ran(0, command, 0, "7 passed\n"), item(1, "agent_message", text=text)))
    (run,) = told(streams)
    assert (run.verdict.outcome if run.verdict else None) == outcome


def test_what_was_said_is_text_in_every_form(streams: Streams) -> None:
    take_in(streams, stream(ran(0, HOSTILE, 1, HOSTILE), item(1, "agent_message", text=HOSTILE)), label=HOSTILE)
    report = AuditReport(tuple(told(streams)))
    page = as_html(report)
    assert "<script" not in page
    assert "default-src &#x27;none&#x27;" in page
    markdown = as_markdown(report)
    assert not any(row.startswith(("```", "# not", "<")) for row in markdown.splitlines())
    assert "\\<script\\>" in markdown
    assert list(as_text(report))


@pytest.mark.parametrize(
    "version", ["0.20.0", "0.36.0", "0.42.0", "0.58.0", "0.118.0", "0.144.4", "0.150.0", "0.169.0"]
)
def test_streams_of_real_codex_are_taken_in_whole(streams: Streams, version: str) -> None:
    files = sorted((CORPUS / version).rglob("*.jsonl"))
    files = [file for file in files if file.parent.name == "exec_streams" or file.name == "exec_stream.jsonl"]
    assert files
    for file in files:
        done = take_in(streams, file.read_bytes(), label=file.name)
        assert (done.bad_lines, done.known) == (0, False)
        found = told(streams, done.id)
        assert len(found) == done.runs
        assert all(run.unknown == {} and run.bad_lines == 0 for run in found)
        assert any(run.last_message or run.error or run.status in {"open", "unknown"} for run in found)
