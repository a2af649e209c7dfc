"""What goes in comes out: the recorder changes nothing, keeps nothing back, and gives up nobody."""

import gzip
import json
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import zstandard

from armarius.recorder.readers import Limits
from support.recorder_world import CUT, TOKEN, Client, Provider, Recorder, Seen, chunked, event, events, plain, stream

ASKED = {"model": "gpt-5.5", "stream": True, "input": [{"type": "message", "role": "user", "content": "hi"}]}


@pytest.mark.parametrize("record", [True, False])
def test_a_stream_comes_back_byte_for_byte_and_the_request_arrives_so(
    provider: Provider, tmp_path: Path, *, record: bool
) -> None:
    sent = json.dumps(ASKED | {"unknown": {"ünicode": [1.0, 1e400, None]}}, ensure_ascii=False).encode()
    sent = sent.replace(b"Infinity", b"1e400")
    with Recorder(provider.url, tmp_path, record=record) as recorder, Client(recorder.port) as client:
        status, headers, body = client.ask(sent).answer()
    assert (status, body) == (200, b"".join(events()))
    assert headers["content-type"] == "text/event-stream"
    assert provider.seen[0].body == sent


def test_headers_go_from_end_to_end_but_those_of_a_hop_and_the_token_do_not(
    recorder: Recorder, provider: Provider
) -> None:
    limits = ("X-RateLimit-Remaining-Requests: 3", "x-codex-primary-used-percent: 12", "Set-Cookie: a=1")
    provider.answer = lambda _: plain(200, b"{}", *limits, "Set-Cookie: b=2", "Connection: X-Hop", "X-Hop: 1")
    with Client(recorder.port) as client:
        client.ask(
            ASKED,
            authorization="Bearer sk-live",
            chatgpt_account_id="acc",
            session__id="one",
            connection="keep-alive, x-mine",
            x_mine="secret",
            te="trailers",
            proxy_authorization="Basic x",
        )
        status, headers = client.head()
    seen = provider.seen[0]
    assert seen.header("authorization") == "Bearer sk-live"
    assert (seen.header("chatgpt-account-id"), seen.header("session_id")) == ("acc", "one")
    assert seen.header("host") == provider.url.removeprefix("http://").removesuffix("/v1")
    for gone in ("x-armarius-token", "connection", "x-mine", "te", "proxy-authorization"):
        assert seen.header(gone) is None, gone
    assert TOKEN not in str(seen)
    assert status == 200
    assert [value for name, value in headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert {"x-ratelimit-remaining-requests", "x-codex-primary-used-percent"} <= dict(headers).keys()
    assert "x-hop" not in dict(headers)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
def test_a_refusal_of_the_provider_comes_as_it_is_and_is_asked_for_once(
    recorder: Recorder, provider: Provider, status: int
) -> None:
    body = json.dumps({"error": {"code": "no", "message": "not now"}}).encode()
    provider.answer = lambda _: plain(status, body, "Retry-After: 7", "x-request-id: req_1")
    with Client(recorder.port) as client:
        got, headers, text = client.ask(ASKED).answer()
    assert (got, text, headers["retry-after"], headers["x-request-id"]) == (status, body, "7", "req_1")
    assert len(provider.seen) == 1
    assert [(e.end, e.status, e.error["error"]["code"]) for e in recorder.exchanges(1)] == [("failed", status, "no")]


@pytest.mark.parametrize(
    ("method", "path", "upstream"),
    [
        ("GET", "/v1/models?client_version=1", "/v1/models?client_version=1"),
        ("POST", "/v1/responses/compact", "/v1/responses/compact"),
        ("POST", "/v1/responses?a=b%20c&d", "/v1/responses?a=b%20c&d"),
        ("DELETE", "/v1/responses/resp_1", "/v1/responses/resp_1"),
        ("PATCH", "/v1/anything/else", "/v1/anything/else"),
        ("OPTIONS", "/v1/responses", "/v1/responses"),
    ],
)
def test_every_path_below_v1_and_every_method_goes_on(
    recorder: Recorder, provider: Provider, method: str, path: str, upstream: str
) -> None:
    provider.answer = lambda _: plain(200, b'{"data":[]}')
    with Client(recorder.port) as client:
        status, _, body = client.ask(ASKED if method == "POST" else None, method=method, path=path).answer()
    assert (status, body) == (200, b'{"data":[]}')
    assert provider.seen[0].line == f"{method} {upstream} HTTP/1.1"


@pytest.mark.parametrize(("path", "wanted"), [("/v1", "/"), ("/v1?a=b", "/?a=b"), ("/v1/", "/"), ("/v1/x", "/x")])
def test_a_provider_without_a_path_of_its_own_is_asked_for_its_root(
    provider: Provider, tmp_path: Path, path: str, wanted: str
) -> None:
    provider.answer = lambda _: plain(200, b"{}")
    with Recorder(provider.url.removesuffix("/v1"), tmp_path) as recorder, Client(recorder.port) as client:
        assert client.ask(method="GET", path=path).answer()[0] == 200
    assert provider.seen[0].line == f"GET {wanted} HTTP/1.1"


def test_the_answer_to_head_has_no_body_and_204_has_none_either(recorder: Recorder, provider: Provider) -> None:
    provider.answer = lambda seen: (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"]
        if seen.line.startswith("HEAD")
        else [b"HTTP/1.1 204 No Content\r\n\r\n"]
    )
    with Client(recorder.port) as client:
        assert client.ask(method="HEAD", path="/v1/models").head()[0] == 200
        assert client.ask(method="GET", path="/v1/models").head()[0] == 204
        assert client.ask(method="GET", path="/v1/models").head()[0] == 204


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress), ("identity", bytes)],
)
def test_a_packed_request_is_forwarded_packed_and_recorded_plain(
    recorder: Recorder, provider: Provider, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(json.dumps(ASKED).encode())
    with Client(recorder.port) as client:
        assert client.ask(packed, content_encoding=encoding).answer()[0] == 200
    assert (provider.seen[0].body, provider.seen[0].header("content-encoding")) == (packed, encoding)
    [exchange] = recorder.exchanges(1)
    assert (exchange.model, len(exchange.input), exchange.unread) == ("gpt-5.5", 1, None)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not json", ""),
        (b"\xff\xfe", ""),
        (b"[1]", ""),
        (b"x", "gzip"),
        (b"x", "zstd"),
        (b"{}", "br"),
        (b"[" * 9999, ""),
    ],
)
def test_a_body_that_cannot_be_read_is_forwarded_all_the_same_and_said_to_be_unread(
    recorder: Recorder, provider: Provider, body: bytes, encoding: str
) -> None:
    with Client(recorder.port) as client:
        assert client.ask(body, content_encoding=encoding).answer()[0] == 200
    assert provider.seen[0].body == body
    [exchange] = recorder.exchanges(1)
    assert exchange.unread
    assert (exchange.response, exchange.end) == ("resp_1", "completed")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)])
def test_a_packed_answer_is_forwarded_packed_and_recorded_plain(
    recorder: Recorder, provider: Provider, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"".join(events("packed")))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {encoding}\r\nContent-Length: "
    provider.answer = lambda _: [f"{head}{len(packed)}\r\n\r\n".encode(), packed[:10], packed[10:]]
    with Client(recorder.port) as client:
        assert client.ask(ASKED, accept_encoding=encoding).answer()[2] == packed
    assert [(e.end, b"packed" in bytes(e.output[0])) for e in recorder.exchanges(1)] == [("completed", True)]


def test_a_chunked_request_body_goes_on_whole(recorder: Recorder, provider: Provider) -> None:
    body = json.dumps(ASKED).encode()
    with Client(recorder.port) as client:
        head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{recorder.port}\r\nX-Armarius-Token: {TOKEN}\r\n"
        client.send(head.encode() + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert client.head() == (100, [])
        for start in range(0, len(body), 7):
            piece = body[start : start + 7]
            client.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\nTrailer: x\r\n\r\n")
        assert client.answer()[0] == 200
    assert (provider.seen[0].body, provider.seen[0].header("content-length")) == (body, str(len(body)))


def test_a_connection_serves_many_requests_and_so_does_the_one_behind_it(
    recorder: Recorder, provider: Provider
) -> None:
    with Client(recorder.port) as client:
        for _ in range(5):
            assert client.ask(ASKED).answer()[0] == 200
        for _ in range(3):  # and several sent ahead
            client.ask(ASKED)
        assert [client.answer()[0] for _ in range(3)] == [200] * 3
    assert len(provider.seen) == 8
    assert recorder.state.requests == 8
    assert len({id(seen) for seen in provider.seen}) == 8


def test_pieces_are_forwarded_when_they_come_and_not_when_the_answer_is_whole(
    recorder: Recorder, provider: Provider
) -> None:
    go = threading.Event()
    pieces = events("ab")
    head, *chunks = chunked(pieces)
    provider.answer = lambda _: [head, chunks[0], go.wait, *chunks[1:]]
    with Client(recorder.port) as client:
        client.ask(ASKED).head()
        assert client.piece() == pieces[0]
        go.set()
        rest = b""
        while piece := client.piece():
            rest += piece
    assert rest == b"".join(pieces[1:])


def test_the_client_that_goes_takes_its_connection_to_the_provider_along(
    recorder: Recorder, provider: Provider
) -> None:
    """Fault 31: a stream nobody reads any more would go on costing tokens."""
    forever = threading.Event()
    head, first, *_ = stream()
    provider.answer = lambda _: chain([head, first], iter_until(forever, events("x")[2]))
    with Client(recorder.port) as client:
        client.ask(ASKED, thread_id="t", session_id="t").head()
        client.piece()
    assert provider.lost.acquire(timeout=30)
    forever.set()
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.response) == ("client_gone", "resp_1")
    assert recorder.state.active == 0


def iter_until(event: threading.Event, piece: bytes) -> Any:
    while not event.wait(0.01):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


def test_a_client_that_goes_while_nothing_comes_is_noticed_too(recorder: Recorder, provider: Provider) -> None:
    over = threading.Event()
    provider.answer = lambda _: [over.wait]
    with Client(recorder.port) as client:
        client.ask(ASKED)
        for _ in range(1000):
            if provider.seen:
                break
            over.wait(0.01)
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.status) == ("client_gone", None)
    over.set()


def test_a_stream_that_is_cut_reaches_the_client_cut_and_is_never_taken_for_whole(
    recorder: Recorder, provider: Provider
) -> None:
    """Fault 29."""
    provider.answer = lambda _: [*stream(events("half")[:4])[:-1], CUT]
    with Client(recorder.port) as client:
        client.ask(ASKED).head()
        assert client.until_cut() == b"".join(events("half")[:4])
    [exchange] = recorder.exchanges(1)
    assert exchange.end == "upstream_cut"
    assert json.loads(bytes(exchange.output[0]))["status"] == "incomplete"


def test_a_stream_that_ends_properly_without_its_last_event_is_recorded_as_cut(
    recorder: Recorder, provider: Provider
) -> None:
    provider.answer = lambda _: stream(events("half")[:-1])
    with Client(recorder.port) as client:
        assert client.ask(ASKED).answer()[0] == 200
    assert [exchange.end for exchange in recorder.exchanges(1)] == ["upstream_cut"]


@pytest.mark.parametrize(
    "answer",
    [
        [CUT],
        [b"HTTP/1.1 2", CUT],
        [b"not http at all\r\n\r\n", CUT],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", CUT],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nx"],
    ],
)
def test_a_provider_without_an_answer_is_a_502_that_says_so(
    recorder: Recorder, provider: Provider, answer: list[bytes | object]
) -> None:
    provider.answer = lambda _: answer
    with Client(recorder.port) as client:
        status, _, body = client.ask(ASKED).answer()
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream")
    assert [exchange.end for exchange in recorder.exchanges(1)] == ["upstream_cut"]
    assert len(provider.seen) == 1


def test_a_provider_that_is_not_there_is_a_502_that_names_it(tmp_path: Path) -> None:
    with Provider(lambda _: []) as gone:
        url = gone.url
    with Recorder(url, tmp_path) as recorder, Client(recorder.port) as client:
        status, _, body = client.ask(ASKED).answer()
    assert status == 502
    assert url in json.loads(body)["error"]["message"]


def test_a_provider_that_falls_silent_is_left_after_its_time_and_not_before(provider: Provider, tmp_path: Path) -> None:
    """Fault 30: silence has a limit of its own; how long an answer takes has none."""
    over = threading.Event()
    head, first, *_ = stream()
    provider.answer = lambda _: [head, first, over.wait]
    with Recorder(provider.url, tmp_path, limits=Limits(silence=0.5)) as recorder, Client(recorder.port) as client:
        client.ask(ASKED).head()
        client.piece()
        with pytest.raises(EOFError):
            client.piece()
        assert [exchange.end for exchange in recorder.exchanges(1)] == ["upstream_cut"]
        over.set()


def test_an_answer_without_a_length_ends_with_its_connection(recorder: Recorder, provider: Provider) -> None:
    body = b"".join(events("no framing"))
    provider.answer = lambda _: [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body, CUT]
    with Client(recorder.port) as client:
        assert client.ask(ASKED).answer()[2] == body
    assert [exchange.end for exchange in recorder.exchanges(1)] == ["completed"]


def test_an_announcement_before_the_answer_is_not_the_answer(recorder: Recorder, provider: Provider) -> None:
    provider.answer = lambda _: [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", *stream()]
    with Client(recorder.port) as client:
        client.ask(ASKED)
        assert client.head() == (103, [("link", "x")])
        assert client.answer()[0] == 200


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "Missing expected CR"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"v" * 600_000, "the head of the answer has no end"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "another protocol"),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_502_that_says_why(
    recorder: Recorder, provider: Provider, answer: bytes, why: str
) -> None:
    provider.answer = lambda _: [answer]
    with Client(recorder.port) as client:
        status, _, body = client.ask(ASKED).answer()
    assert status == 502
    assert why in json.loads(body)["error"]["message"]


def test_a_connection_that_nobody_needs_is_not_kept_until_it_is_forgotten_on_the_way(
    provider: Provider, tmp_path: Path
) -> None:
    with Recorder(provider.url, tmp_path, limits=Limits(free=0.0)) as recorder, Client(recorder.port) as client:
        assert client.ask(ASKED).answer()[0] == 200
        assert provider.lost.acquire(timeout=20), "it is kept"
        assert client.ask(ASKED).answer()[0] == 200


def test_what_a_provider_says_beyond_its_answer_reaches_nobody(recorder: Recorder, provider: Provider) -> None:
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
    provider.answer = lambda _: [plain(200, b"{}")[0] + extra]
    with Client(recorder.port) as client:
        assert client.ask(method="GET", path="/v1/models").answer()[2] == b"{}"
        assert client.ask(method="GET", path="/v1/models").answer()[2] == b"{}"
    assert len(provider.seen) == 2


@pytest.mark.parametrize("beyond", [b"and more", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"])
def test_an_answer_that_is_whole_stays_so_whatever_comes_with_it(
    recorder: Recorder, provider: Provider, beyond: bytes
) -> None:
    provider.answer = lambda _: [b"".join(plain(200, b'{"id": "resp_1"}')) + beyond]
    with Client(recorder.port) as client:
        for _ in range(2):
            assert client.ask(ASKED).answer()[::2] == (200, b'{"id": "resp_1"}')
    assert [one.response for one in recorder.exchanges(2)] == ["resp_1", "resp_1"]


def test_what_came_before_a_stream_breaks_is_passed_on_though_both_came_at_once(
    recorder: Recorder, provider: Provider
) -> None:
    pieces = events("half")[:4]
    provider.answer = lambda _: [b"".join(stream(pieces)[:-1]) + b"no size of a chunk\r\n", CUT]
    with Client(recorder.port) as client:
        client.ask(ASKED).head()
        assert client.until_cut() == b"".join(pieces)
    assert [one.end for one in recorder.exchanges(1)] == ["upstream_cut"]


def test_a_slow_reader_stops_the_provider_and_not_the_memory(recorder: Recorder, provider: Provider) -> None:
    piece = event("response.output_text.delta", delta="x" * 65_000, output_index=0)
    sent = 0

    def endless(_: Seen) -> Any:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        while sent < 4000:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
            sent += 1

    provider.answer = endless
    with Client(recorder.port) as client:
        client.ask(ASKED).head()
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            threading.Event().wait(0.3)
    assert sent < 400
    assert [exchange.end for exchange in recorder.exchanges(1)] == ["client_gone"]


def test_an_old_client_gets_its_answer_unchunked(recorder: Recorder) -> None:
    with Client(recorder.port) as client:
        body = json.dumps(ASKED).encode()
        head = f"POST /v1/responses HTTP/1.0\r\nHost: 127.0.0.1:{recorder.port}\r\nX-Armarius-Token: {TOKEN}\r\n"
        client.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.answer()[2] == b"".join(events())


def test_what_is_on_its_way_may_end_before_the_recorder_does(provider: Provider, tmp_path: Path) -> None:
    go = threading.Event()
    head, first, *rest = stream()
    provider.answer = lambda _: [head, first, go.wait, *rest]
    with Recorder(provider.url, tmp_path) as recorder, Client(recorder.port) as client:
        client.ask(ASKED).head()
        client.piece()
        stopping = threading.Thread(target=recorder.stop)
        stopping.start()
        go.set()
        while client.piece():
            pass
        stopping.join()
    assert [exchange.end for exchange in recorder.exchanges()] == ["completed"]
