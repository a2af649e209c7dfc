"""The server as a client sees it: transcripts over real sockets."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from armarius.errors import HostError
from armarius.testing.clock import FakeClock
from armarius.testing.faults import parse_fault
from armarius.testing.model_server import ModelServer

FUNCTION_TOOLS = [{"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"}]
CODE_TOOLS = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}],
}


def asked(prompt: str, *, code_mode: bool = False, tools: bool = True, thread: str = "t") -> bytes:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
    body: dict[str, Any] = {"model": "m", "stream": True, "prompt_cache_key": thread}
    body["input"] = [CODE_TOOLS, message] if code_mode else [message]
    return json.dumps(body | ({"tools": FUNCTION_TOOLS} if tools and not code_mode else {})).encode()


def port_of(server: ModelServer) -> int:
    return int(server.base_url.split(":")[2].partition("/")[0])


@contextlib.contextmanager
def connected(server: ModelServer) -> Generator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def send(
    server: ModelServer,
    body: bytes = b"",
    method: str = "POST",
    path: str = "/v1/responses",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with connected(server) as connection:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def events_of(stream: bytes) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def asked_events(server: ModelServer, body: bytes) -> list[dict[str, Any]]:
    status, headers, stream = send(server, body)
    assert (status, headers["Content-Type"]) == (200, "text/event-stream")
    return events_of(stream)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


# -------------------------------------------------------------------- streams


def test_a_message_is_streamed_in_the_order_of_the_responses_api(server: ModelServer) -> None:
    events = asked_events(server, asked('SCRIPT:[{"say": "hello"}]'))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(8))
    assert events[1]["item"]["content"] == []
    item = events[6]["item"]
    assert (item["role"], item["phase"], item["status"]) == ("assistant", "final_answer", "completed")
    assert item["content"] == [{"type": "output_text", "text": "hello", "annotations": []}]
    assert events[7]["response"]["output"] == [item]
    assert events[0]["response"]["id"] == events[7]["response"]["id"]


def test_a_long_text_arrives_in_pieces_that_make_it_up(server: ModelServer) -> None:
    text = "0123456789" * 100
    events = asked_events(server, asked(f'SCRIPT:[{{"say": "{text}"}}]'))
    pieces = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(pieces) > 1
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    ("step", "code_mode", "tools", "kind", "content"),
    [
        ('{"sh": "echo \\"hi\\""}', False, True, "function_call", ("exec_command", '{"cmd": "echo \\"hi\\""}')),
        (
            '{"sh": "echo hi"}',
            True,
            True,
            "custom_tool_call",
            ("exec", 'const result = await tools.exec_command({"cmd": "echo hi"}); text(result.output);'),
        ),
        ('{"patch": "P"}', False, True, "custom_tool_call", ("apply_patch", "P")),
        ('{"patch": "P"}', True, True, "custom_tool_call", ("exec", 'text(await tools.apply_patch("P"));')),
        (
            '{"patch": "P"}',
            False,
            False,
            "function_call",
            ("exec_command", json.dumps({"cmd": "apply_patch <<'PATCH'\nP\nPATCH"})),
        ),
    ],
)
def test_a_tool_call_takes_the_shape_that_the_request_offers(
    server: ModelServer, *, step: str, code_mode: bool, tools: bool, kind: str, content: tuple[str, str]
) -> None:
    events = asked_events(server, asked(f"SCRIPT:[{step}]", code_mode=code_mode, tools=tools))
    (item,) = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert item["type"] == kind
    assert (item["name"], item.get("arguments", item.get("input"))) == content
    assert item["call_id"].startswith("call_")


def test_reasoning_and_commentary_come_before_the_call_they_belong_to(server: ModelServer) -> None:
    script = 'SCRIPT:[{"reason": "hm"}, {"say": "looking", "phase": "commentary"}, {"sh": "ls"}]'
    events = asked_events(server, asked(script))
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == [0, 1, 2]
    assert [event["item"]["type"] for event in done] == ["reasoning", "message", "function_call"]
    assert done[0]["item"]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert events[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 0
    assert len({event["item"]["id"] for event in done}) == 3


# ---------------------------------------------------------------------- usage


def test_usage_follows_the_size_of_the_request_and_is_kept_by_response_id(server: ModelServer) -> None:
    for size in (10, 4_000):
        body = asked("x" * size)
        last = asked_events(server, body)[-1]["response"]
        told, kept = last["usage"], server.usage[last["id"]]
        assert told["input_tokens"] == kept.input == -(-len(body) // 4)
        assert told["output_tokens"] == kept.output > 0
        assert told["input_tokens_details"]["cached_tokens"] == kept.cached_input == 0
        assert told["total_tokens"] == kept.total
    assert len(server.usage) == 2


def test_a_conversation_that_goes_on_counts_as_partly_cached(server: ModelServer) -> None:
    body = json.loads(asked("hi"))
    body["input"].insert(0, {"type": "message", "role": "assistant", "content": []})
    usage = asked_events(server, json.dumps(body).encode())[-1]["response"]["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == usage["input_tokens"] // 2


def test_sixteen_clients_at_once_get_ids_of_their_own(server: ModelServer) -> None:
    ids: list[str] = []

    def ask(number: int) -> None:
        with connected(server) as connection:
            for turn in range(5):
                connection.request("POST", "/v1/responses", asked(f"{number} {turn}"))
                last = events_of(connection.getresponse().read())[-1]
                ids.append(last["response"]["id"])

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(ids) == len(set(ids)) == server.requests == 80
    assert set(server.usage) == set(ids)


def test_the_record_holds_what_was_sent_and_stays_bounded() -> None:
    with ModelServer(keep=2) as server:
        for prompt in ("one", "two", "three"):
            send(server, asked(prompt), session_id=prompt)
        assert server.requests == 3
        assert [record.ordinal for record in server.records] == [2, 3]
        newest = server.records[-1]
        assert newest.headers["session-id"] == "three"
        assert newest.request()["input"][0]["content"][0]["text"] == "three"
        assert newest.response_id in server.usage


# ------------------------------------------------------------ other requests


def test_models_are_left_to_codex(server: ModelServer) -> None:
    status, _, body = send(server, method="GET", path="/v1/models?client_version=0.169.0")
    assert (status, json.loads(body)) == (200, {"object": "list", "data": [], "models": []})


def test_a_websocket_is_answered_with_426(server: ModelServer) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    status, _, body = send(server, b"", "GET", **upgrade)
    assert (status, json.loads(body)["error"]["code"]) == (426, "upgrade_required")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("POST", "/v1/responses", {"Content_Encoding": "zstd"}, b"x", 415, "unsupported_encoding"),
        ("POST", "/v1/responses", {"Content_Encoding": "gzip"}, b"x", 415, "unsupported_encoding"),
        ("POST", "/v1/responses", {"Content_Length": "-1"}, b"", 411, "length_required"),
        ("POST", "/v1/responses", {"Content_Length": "99999999999"}, b"", 413, "too_large"),
        ("POST", "/v1/responses", {"Origin": "https://example.org"}, b"{}", 403, "foreign"),
        ("POST", "/v1/responses", {"Host": "rebound.example.org"}, b"{}", 403, "foreign"),
        ("GET", "/v1/models", {"Host": "rebound.example.org"}, b"", 403, "foreign"),
        ("POST", "/v1/responses", {}, b"no json", 400, "invalid_json"),
        ("POST", "/v1/responses", {}, b'{"input": 3}', 400, "invalid_json"),
        ("POST", "/v1/responses", {}, asked("[[fault:418]]"), 400, "unknown-fault"),
        ("POST", "/v1/responses", {}, asked("SCRIPT:[{}]"), 400, "bad-script"),
        ("POST", "/v1/responses/compact", {}, b"{}", 404, "not_found"),
        ("GET", "/", {}, b"", 404, "not_found"),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_reason(
    server: ModelServer,
    *,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
) -> None:
    got, _, answer = send(server, body, method, path, **headers)
    assert (got, json.loads(answer)["error"]["code"]) == (status, code)
    assert server.usage == {}


# --------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("400", 400, "invalid_request_error"),
        ("401", 401, "invalid_request_error"),
        ("403", 403, "invalid_request_error"),
        ("404", 404, "invalid_request_error"),
        ("429", 429, "rate_limit_error"),
        ("500", 500, "server_error"),
    ],
)
def test_a_status_is_served_on_demand(server: ModelServer, fault: str, status: int, kind: str) -> None:
    got, headers, body = send(server, asked(f"hi [[fault:{fault}]]"))
    assert (got, json.loads(body)["error"]["type"]) == (status, kind)
    assert "Retry-After" not in headers
    assert (server.records[0].fault, server.usage) == (fault, {})


def test_a_429_may_say_when_to_come_back(server: ModelServer) -> None:
    status, headers, _ = send(server, asked("hi [[fault:429=2]]"))
    assert (status, headers["Retry-After"]) == (429, "2")


def test_the_usage_limit_says_when_it_ends() -> None:
    clock = FakeClock(1_000_000_000)
    with ModelServer(clock=clock) as server:
        status, _, body = send(server, asked("hi [[fault:usage-limit]]"))
    error = json.loads(body)["error"]
    assert (status, error["type"], error["resets_at"]) == (429, "usage_limit_reached", 1_000 + 3_600)


@pytest.mark.parametrize(
    ("fault", "last", "detail"),
    [
        ("failed", "response.failed", {"code": "server_error"}),
        ("context", "response.failed", {"code": "context_length_exceeded"}),
        ("quota", "response.failed", {"code": "insufficient_quota"}),
        ("incomplete", "response.incomplete", {"reason": "max_output_tokens"}),
    ],
)
def test_a_stream_may_end_badly(server: ModelServer, fault: str, last: str, detail: dict[str, str]) -> None:
    events = asked_events(server, asked(f"hi [[fault:{fault}]]"))
    response = events[-1]["response"]
    assert events[-1]["type"] == last
    assert detail.items() <= (response.get("error") or response["incomplete_details"]).items()
    assert server.usage == {}


def test_a_cut_stream_breaks_off_after_part_of_the_text(server: ModelServer) -> None:
    with connected(server) as connection:
        connection.request("POST", "/v1/responses", asked('SCRIPT:[{"fault": "cut"}, {"say": "abcdef"}]'))
        with pytest.raises(http.client.IncompleteRead) as broken:
            connection.getresponse().read()
    events = events_of(broken.value.partial)
    assert events[-1]["type"] == "response.output_item.done"
    assert events[-1]["item"]["content"][0]["text"] == "abc"


def raw_request(server: ModelServer, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port_of(server)), timeout=30)
    head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Say that we go, and read what still comes."""
    connection.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_silence_is_not_a_byte_until_the_client_goes(server: ModelServer) -> None:
    with raw_request(server, asked("hi [[fault:silence]]")) as connection:
        assert rest_of(connection) == b""


def test_a_stall_is_part_of_the_text_and_then_nothing(server: ModelServer) -> None:
    with raw_request(server, asked("hi [[fault:stall]]")) as connection:
        rest = rest_of(connection)
    assert b"response.output_item.done" in rest
    assert b"response.completed" not in rest
    assert not rest.endswith(b"0\r\n\r\n")


def test_closing_the_server_ends_what_was_held() -> None:
    before = set(threading.enumerate())
    with ModelServer() as server:
        held = [raw_request(server, asked(f"hi [[fault:{fault}]]")) for fault in ("silence", "stall", "silence")]
        waiting = raw_request(server, asked('SCRIPT:[{"wait": 1e6}, {"say": "late"}]'))
        for connection in held[1:2]:
            assert connection.recv(1)  # it has begun
    assert set(threading.enumerate()) <= before
    for connection in (*held, waiting):
        connection.close()


def test_a_slow_stream_pauses_before_every_event() -> None:
    pauses: list[float] = []
    with ModelServer(wait=pauses.append) as server:
        events = asked_events(server, asked("hi [[fault:slow=0.5]]"))
        assert events[-1]["type"] == "response.completed"
        assert pauses == [0.5] * (len(events) + 1)
        assert len(server.usage) == 1


def test_a_wait_comes_before_the_first_byte() -> None:
    pauses: list[float] = []
    with ModelServer(wait=pauses.append) as server:
        asked_events(server, asked('SCRIPT:[{"wait": 3}, {"wait": 0.25}, {"say": "x"}]'))
    assert pauses == [3, 0.25]


def test_a_wait_may_be_for_somebody_who_opens_a_fifo(server: ModelServer, tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    answers: list[list[dict[str, Any]]] = []
    script = f'SCRIPT:[{{"wait": "{fifo}"}}, {{"say": "at last"}}]'
    client = threading.Thread(target=lambda: answers.append(asked_events(server, asked(script))))
    client.start()
    with fifo.open("wb"):  # returns when the server has opened its end
        assert answers == []
    client.join()
    assert answers[0][-1]["type"] == "response.completed"


def test_a_fault_may_befall_a_conversation_a_number_of_times(server: ModelServer) -> None:
    script = 'SCRIPT:[{"fault": "500*2"}, {"say": "x"}]'
    assert [send(server, asked(script))[0] for _ in range(4)] == [500, 500, 200, 200]
    assert send(server, asked(script, thread="another"))[0] == 500


def test_a_fault_may_befall_a_request_by_its_number() -> None:
    with ModelServer(faults={2: parse_fault("403")}) as server:
        assert [send(server, asked("hi"))[0] for _ in range(3)] == [200, 403, 200]


# -------------------------------------------------------------- its own process


def test_a_taken_port_is_said_with_the_way_out(server: ModelServer) -> None:
    with pytest.raises(HostError) as taken:
        ModelServer(port=port_of(server))
    assert taken.value.code == "port-taken"
    assert str(taken.value) == (
        f"port {port_of(server)} on 127.0.0.1 is taken; choose another with --port or leave it out"
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "armarius.testing.model_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_program_says_where_it_listens_and_ends_on_a_signal(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"faults": {"1": "404"}}')
    with start("--script", str(script)) as program:
        assert program.stdout
        line = json.loads(program.stdout.readline())
        assert line["schema"] == "armarius.model_server.v1"
        port = int(line["url"].removeprefix("http://127.0.0.1:").removesuffix("/v1"))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/v1/responses", asked("hi"))
            assert connection.getresponse().status == 404
        program.send_signal(number)
        assert program.communicate() == ("", "")
    assert program.returncode == code


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("{", "script.json: Input data was truncated"),
        ('{"fault": {}}', "unknown field `fault`"),
        ('{"faults": {"1": "418"}}', "no fault is spelt '418'"),
    ],
)
def test_a_bad_script_file_ends_the_program(tmp_path: Path, script: str, message: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(script)
    with start("--script", str(path)) as program:
        out, err = program.communicate()
    assert (program.returncode, out) == (3, "")
    assert message in err


def test_a_taken_port_ends_the_program(server: ModelServer) -> None:
    with start("--port", str(port_of(server))) as program:
        _, err = program.communicate()
    assert (program.returncode, "is taken" in err) == (4, True)
