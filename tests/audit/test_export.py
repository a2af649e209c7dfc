"""Recorded runs handed on: as a table, as traces in a file and on the wire, always without secrets."""

import errno
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import msgspec
import pytest
from arro3.io import read_parquet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from armarius.audit.otlp import as_line, in_requests
from armarius.audit.otlp_post import Collector
from armarius.audit.parquet import COLUMNS, write_events
from armarius.audit.stream_events import AuditEvent, events_of
from armarius.audit.stream_report import report_of, select
from armarius.audit.streams import Labels, Streams, open_streams
from armarius.audit.traces import CLIENT, INTERNAL, Span, spans_of
from armarius.errors import HostError, Refused, UsageError
from armarius.sessions.export import redacted
from armarius.sessions.prices import load_prices
from armarius.testing.clock import FakeClock

SECRET = "sk-" + "a1b2c3d4" * 4
HEADER = "Bearer collectors-own-secret"


def line(**event: Any) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def item(number: int, kind: str, **fields: Any) -> bytes:
    return line(type="item.completed", item={"id": f"item_{number}", "type": kind} | fields)


def ran(number: int, command: str, code: int) -> bytes:
    state = "failed" if code else "completed"
    told = f"key {SECRET}"
    return item(number, "command_execution", command=command, aggregated_output=told, exit_code=code, status=state)


def stream(spent: int, *, failed: bool = False) -> bytes:
    usage = {"input_tokens": spent, "cached_input_tokens": spent // 2, "output_tokens": spent // 10}
    end = line(type="turn.failed", error={"message": f"no more {SECRET}"}) if failed else b""
    return b"".join((
        line(type="thread.started", thread_id="t-1"),
        line(type="turn.started"),
        ran(0, f"curl -H {SECRET}", 2),
        item(1, "file_change", changes=[{"path": "a.py", "kind": "update"}], status="completed"),
        item(2, "mcp_tool_call", server="docs", tool="find", arguments={"q": SECRET}, status="completed"),
        item(3, "agent_message", text=f"done with {SECRET}"),
        end or line(type="turn.completed", usage=usage),
    ))  # fmt: skip


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    with open_streams(tmp_path / "streams.sqlite", FakeClock()) as opened:
        yield opened


def take_in(streams: Streams, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "stream").write_bytes(data)
    with (tmp_path / "stream").open("rb") as file:
        streams.ingest(file.fileno(), "a file", Labels("nightly", "r", None, f"with {SECRET}"))


def traced(streams: Streams, *, content: bool = False) -> list[Span]:
    prices = load_prices(Path("/nowhere/prices.toml"))
    found = list[Span]()
    for stream, row in select(streams, run=None, since_us=0):
        thread = streams.thread(stream, row)
        assert thread is not None
        report = report_of(streams, stream, row, prices, "gpt-5.5")
        found += spans_of(stream, report, redacted(thread), content=content)
    return found


def rows_of(data: bytes) -> list[dict[str, Any]]:
    table = read_parquet(io.BytesIO(data)).read_all()
    columns: dict[str, list[Any]] = {name: cast("Any", table[name]).to_pylist() for name in table.schema.names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def written(events: Iterator[AuditEvent]) -> bytes:
    file = io.BytesIO()
    write_events(events, file)
    return file.getvalue()


def test_a_table_has_every_event_with_what_it_says_in_columns(streams: Streams, tmp_path: Path) -> None:
    take_in(streams, tmp_path, stream(1_000) + b"not json\n")
    data = written(events_of(streams, select(streams, run=None, since_us=0)))
    rows = rows_of(data)
    assert [row["line"] for row in rows] == list(range(1, 9))
    assert all(list(row) == list(COLUMNS) and row["label"] == "nightly" for row in rows)
    assert [row["type"] for row in rows[:3]] == ["thread.started", "turn.started", "item.completed"]
    assert (rows[2]["item_type"], rows[2]["exit_code"], rows[3]["exit_code"]) == ("command_execution", 2, None)
    assert (rows[6]["input_tokens"], rows[6]["output_tokens"], rows[5]["input_tokens"]) == (1_000, 100, None)
    assert json.loads(rows[5]["event"])["item"]["text"] == "done with [redacted:openai-key]"
    assert not any(SECRET in str(row) for row in rows)
    assert written(events_of(streams, select(streams, run=None, since_us=0))) == data


HOSTILE: tuple[Any, ...] = (None, True, 1.5, "x", [1], {"a": {}}, 1 << 70, -(1 << 63))


@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_an_event_may_say_anything_anywhere(value: object) -> None:
    number = value if value == -(1 << 63) else None
    fields = {"id": value, "type": value, "exit_code": value, "command": value}
    events = [{"type": value, "item": value, "usage": value}, {"item": fields, "usage": {"input_tokens": value}}]
    told = (AuditEvent("s", "h", 1, "t", number, Labels(), event) for number, event in enumerate(events, start=1))
    rows = rows_of(written(told))
    assert [json.loads(row["event"]) for row in rows] == events
    assert [rows[0]["input_tokens"], rows[1]["exit_code"], rows[1]["input_tokens"]] == [None, number, number]
    assert rows[1]["command"] == (value if isinstance(value, str) else None)


def test_many_events_go_out_in_batches_and_none_is_a_table_without_rows() -> None:
    told = (AuditEvent("s", "h", 1, "t", number, Labels(), {"type": "x"}) for number in range(12_345))
    assert [row["line"] for row in rows_of(written(told))] == list(range(12_345))
    assert rows_of(written(iter(()))) == []


class Full(io.BytesIO):
    """A disk with no room any more."""

    def write(self, data: Any) -> int:
        del data
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_goes_wrong_while_a_table_is_written_is_told_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[AuditEvent]:
        yield AuditEvent("s", "h", 1, "t", 1, Labels(), {})
        raise HostError("disk", "gone", "come back")

    with pytest.raises(HostError, match="gone"):
        written(broken())
    many = (AuditEvent("s", "h", 1, "t", number, Labels(), {"type": str(number)}) for number in range(9_999))
    with Full() as full, pytest.raises(OSError, match="No space left"):
        write_events(many, full)
    assert capfd.readouterr().err == "", "the library panics aloud"


def test_a_trace_has_the_agent_the_model_and_the_tools(streams: Streams, tmp_path: Path) -> None:
    take_in(streams, tmp_path, stream(1_000))
    agent, chat, *tools = traced(streams)
    assert (agent.name, agent.kind, agent.parent_id) == ("invoke_agent codex", INTERNAL, "")
    about = agent.attributes
    assert (about["gen_ai.operation.name"], about["gen_ai.provider.name"]) == ("invoke_agent", "openai")
    assert (about["gen_ai.conversation.id"], about["gen_ai.request.model"]) == ("t-1", "gpt-5.5")
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (1_000, 100)
    assert about["gen_ai.usage.cache_read.input_tokens"] == 500
    assert (chat.name, chat.kind, chat.parent_id) == ("chat gpt-5.5", CLIENT, agent.span_id)
    assert chat.attributes["gen_ai.usage.input_tokens"] == 1_000
    assert [tool.name for tool in tools] == ["execute_tool shell", "execute_tool apply_patch", "execute_tool find"]
    assert (tools[0].attributes["process.exit.code"], tools[0].error, tools[1].error) == (2, "exit code 2", None)
    assert tools[0].attributes["gen_ai.tool.call.id"] == "item_0"
    assert {span.trace_id for span in (chat, *tools)} == {agent.trace_id}
    assert {span.parent_id for span in tools} == {agent.span_id}
    assert len({span.span_id for span in (agent, chat, *tools)}) == 5
    starts = [span.start_us for span in (agent, chat, *tools)]
    assert starts == sorted(starts)
    assert all(agent.start_us <= span.start_us <= span.end_us <= agent.end_us for span in (chat, *tools))


def test_a_resumed_thread_and_a_failed_run_are_told_as_the_report_tells_them(streams: Streams, tmp_path: Path) -> None:
    take_in(streams, tmp_path, stream(1_000))
    take_in(streams, tmp_path, stream(3_000))
    take_in(streams, tmp_path, stream(0, failed=True))
    by_name = sorted((span.name, span.attributes.get("gen_ai.usage.input_tokens", 0)) for span in traced(streams))
    assert [spent for name, spent in by_name if name == "invoke_agent codex"] == [0, 1_000, 2_000]
    assert [spent for name, spent in by_name if name == "chat gpt-5.5"] == [1_000, 2_000]
    [failed] = [span for span in traced(streams) if span.parent_id == "" and span.error]
    assert (failed.error, failed.attributes["error.type"]) == ("no more [redacted:openai-key]", "failed")
    assert len({span.trace_id for span in traced(streams)}) == 3


@pytest.mark.parametrize("content", [False, True])
def test_what_was_said_is_in_no_trace_unless_asked_for_and_a_secret_in_none(
    streams: Streams,
    tmp_path: Path,
    content: bool,  # noqa: FBT001
) -> None:
    take_in(streams, tmp_path, stream(1_000))
    text = b"".join(map(as_line, in_requests(traced(streams, content=content)))).decode()
    assert SECRET not in text
    assert ("done with" in text, "curl" in text, "redacted:openai-key" in text) == (content, content, True)


def test_a_second_export_says_the_same(streams: Streams, tmp_path: Path) -> None:
    take_in(streams, tmp_path, stream(1_000))
    first = [*map(as_line, in_requests(traced(streams)))]
    assert first == [*map(as_line, in_requests(traced(streams)))]
    with open_streams(tmp_path / "elsewhere.sqlite", FakeClock()) as other:
        take_in(other, tmp_path, stream(1_000))
        assert [span.span_id for span in traced(other)] == [span.span_id for span in traced(streams)]


class Receiver(http.server.BaseHTTPRequestHandler):
    """A collector that answers as it is told and keeps what it took."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    got: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        status, answer = self.answers.pop(0) if self.answers else (200, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Retry-After", "7")
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """It is asked, and says nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.answers, Receiver.got = [], []
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_collector_gets_the_same_spans_as_protobuf(streams: Streams, tmp_path: Path, receiver: str) -> None:
    take_in(streams, tmp_path, stream(1_000))
    spans = traced(streams)
    Collector(receiver, {"Authorization": HEADER}).send(spans)
    [(path, headers, body)] = Receiver.got
    assert (path, headers["Content-Type"], headers["Authorization"]) == ("/v1/traces", "application/x-protobuf", HEADER)
    [whole] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {each.key: each.value.string_value for each in whole.resource.attributes}["service.name"] == "armarius"
    got = whole.scope_spans[0].spans
    assert [(one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex(), one.name) for one in got] == [
        (span.trace_id, span.span_id, span.parent_id, span.name) for span in spans
    ]
    told = json.loads(as_line(spans))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for one, span in zip(got, told, strict=True):
        assert (str(one.start_time_unix_nano), str(one.end_time_unix_nano), one.kind, one.status.code) == (
            span["startTimeUnixNano"],
            span["endTimeUnixNano"],
            span["kind"],
            span.get("status", {}).get("code", 0),
        )
        values = {each.key: each.value.string_value or str(each.value.int_value) for each in one.attributes}
        assert values == {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def test_a_number_that_the_protocol_cannot_hold_is_told_in_words(
    streams: Streams, tmp_path: Path, receiver: str
) -> None:
    take_in(streams, tmp_path, stream(1_000))
    numbers = {"most": (1 << 63) - 1, "more": 1 << 63, "least": -(1 << 63), "less": -(1 << 70)}
    span = msgspec.structs.replace(traced(streams)[0], attributes=dict(numbers))
    Collector(receiver, {}).send([span])
    [whole] = ExportTraceServiceRequest.FromString(Receiver.got[0][2]).resource_spans
    got = {one.key: one.value.string_value or one.value.int_value for one in whole.scope_spans[0].spans[0].attributes}
    assert got == numbers | {"more": str(1 << 63), "less": str(-(1 << 70))}
    [told] = json.loads(as_line([span]))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [list(one["value"]) for one in told["attributes"]] == [["intValue"], ["stringValue"]] * 2


def test_a_busy_collector_is_asked_again_and_others_are_errors(receiver: str) -> None:
    span = Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id="", name="x", kind=1, start_us=1, end_us=2, attributes={}
    )
    refused = ExportTraceServiceResponse()
    refused.partial_success.rejected_spans = 3
    refused.partial_success.error_message = f"because of {SECRET}"
    waits = list[float]()
    collector = Collector(receiver + "/", {"Authorization": HEADER}, wait=waits.append)
    Receiver.answers = [(503, b""), (429, b""), (200, b"")]
    collector.send([span])
    assert (waits, len(Receiver.got)) == ([7.0, 7.0], 3)
    for answer, kind, words in [
        ((400, b"bad"), HostError, "answered 400"),
        ((302, b""), Refused, "elsewhere"),
        ((200, b"<html>"), HostError, "something else"),
        ((200, refused.SerializeToString()), HostError, r"refused 3 spans: because of \[redacted"),
    ]:
        Receiver.answers = [answer]
        with pytest.raises(kind, match=words) as error:
            collector.send([span])
        assert HEADER not in str(error.value)


def test_an_address_that_cannot_be_meant_is_refused_before_anything_is_sent() -> None:
    for url, headers, kind in [
        ("ftp://x", {}, UsageError),
        ("http://u:p@127.0.0.1", {}, UsageError),
        ("http://127.0.0.1:99999", {}, UsageError),
        ("collector", {}, UsageError),
        ("http://collector.example", {"Authorization": HEADER}, Refused),
    ]:
        with pytest.raises(kind):
            Collector(url, headers)
    Collector("https://collector.example", {"Authorization": HEADER})
    with pytest.raises(HostError, match="no answer"):
        Collector("http://127.0.0.1:9", {}).send([])
