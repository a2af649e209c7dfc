"""Who must not get through, and what must not be taken in (threats 12 to 20, 28, 29)."""

import asyncio
import contextlib
import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armarius.clock import SystemClock
from armarius.errors import ArmariusError, HostError, Refused, UsageError
from armarius.recorder.access import Gate, Listen, Route, forwarded_target, parse_listen, parse_upstream
from armarius.recorder.packing import LARGEST_PLAIN
from armarius.recorder.readers import Arriving, Limits, RequestReader, ResponseReader, Unacceptable, Unreadable
from armarius.recorder.server import Serving, serve
from support.codex_world import wait_for
from support.recorder_world import TOKEN, Client, Provider, Recorder, plain, stream

ASKED: dict[str, Any] = {"model": "m", "stream": True, "input": []}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("http://169.254.169.254/v1", "upstream-plain"),
        ("http://10.0.0.1/v1", "upstream-plain"),
        ("http://127.1/v1", "upstream-plain"),
        ("http://0x7f.1/v1", "upstream-plain"),
        ("http://[::ffff:10.0.0.1]/v1", "upstream-plain"),
        ("http://localhost.evil.com/v1", "upstream-plain"),
        ("ftp://api.openai.com", "upstream"),
        ("file:///etc/passwd", "upstream"),
        ("https://", "upstream"),
        ("https://user:pass@api.openai.com/v1", "upstream"),
        ("https://api.openai.com/v1?x=1", "upstream"),
        ("https://api.openai.com/v1#x", "upstream"),
        ("https://api.openai.com/a/../b", "upstream"),
        ("https://api.openai.com:99999/v1", "upstream"),
        ("https://[::1/v1", "upstream"),
        ("https://a\r\nX: 1/v1", "upstream"),
        ("", "upstream"),
    ],
)
def test_threat_12_an_upstream_is_a_provider_over_tls_or_on_this_machine(text: str, what: str) -> None:
    with pytest.raises((Refused, UsageError)) as refused:
        parse_upstream(text)
    assert refused.value.code == what


def test_threat_12_a_redirect_is_passed_on_and_not_followed(recorder: Recorder, provider: Provider) -> None:
    provider.answer = lambda _: plain(302, b"", "Location: http://169.254.169.254/")
    with Client(recorder.port) as client:
        status, headers, _ = client.ask(ASKED).answer()
    assert (status, headers["location"], len(provider.seen)) == (302, "http://169.254.169.254/", 1)


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.com:{port}", ""]
)
def test_threat_13_who_comes_by_another_name_is_sent_away(recorder: Recorder, provider: Provider, host: str) -> None:
    with Client(recorder.port) as client:
        assert client.ask(ASKED, host=host.format(port=recorder.port)).answer()[0] == 421
        assert client.is_closed()
    assert provider.seen == []


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_other_names_of_this_machine_are_its_names(recorder: Recorder, host: str) -> None:
    with Client(recorder.port) as client:
        assert client.ask(ASKED, host=host.format(port=recorder.port)).answer()[0] == 200


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"origin": "https://evil.com"}),
        ("POST", {"origin": "null"}),
        ("POST", {"origin": "http://127.0.0.1:3000"}),
        ("POST", {"sec_fetch_site": "cross-site"}),
        ("POST", {"sec_fetch_site": "same-origin", "content_type": "text/plain"}),
        ("OPTIONS", {"origin": "https://evil.com", "access_control_request_method": "POST"}),
        ("GET", {"origin": "https://evil.com", "upgrade": "websocket", "connection": "Upgrade"}),
    ],
)
def test_threats_14_15_17_a_web_page_gets_nothing_and_no_leave_to_read_it(
    recorder: Recorder, provider: Provider, method: str, headers: dict[str, str]
) -> None:
    with Client(recorder.port) as client:
        status, answer, _ = client.ask(ASKED if method == "POST" else None, method=method, **headers).answer()
    assert status == 403
    assert not [name for name in answer if name.startswith("access-control")]
    assert provider.seen == []


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
@pytest.mark.parametrize("path", ["/v1/responses", "/armarius/status"])
def test_threat_16_without_the_token_of_the_profile_nobody_spends_the_key(
    recorder: Recorder, provider: Provider, token: str, path: str
) -> None:
    method, body = ("POST", ASKED) if "v1" in path else ("GET", None)
    with Client(recorder.port) as client:
        status, _, text = client.ask(body, method=method, path=path, x_armarius_token=token).answer()
    assert (status, json.loads(text)["error"]["code"]) == (403, "token")
    assert provider.seen == []
    assert recorder.exchanges() == []


def test_a_websocket_is_refused_with_426_so_that_codex_falls_back(recorder: Recorder, provider: Provider) -> None:
    with Client(recorder.port) as client:
        assert client.ask(method="GET", upgrade="websocket", connection="Upgrade").answer()[0] == 426
    assert provider.seen == []


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "192.168.1.1:80", "example.org:80", ":80"])
def test_threat_18_it_listens_on_loopback_and_nowhere_else(address: str) -> None:
    with pytest.raises(Refused):
        parse_listen(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:٣"]
)
def test_an_address_that_is_none_is_an_error_of_usage(address: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(address)


def test_threat_19_a_login_goes_to_its_own_provider_and_the_token_to_none(
    recorder: Recorder, provider: Provider
) -> None:
    """The target of a request is never its host, and no header changes where it goes."""
    with Client(recorder.port) as client:
        client.ask(ASKED, authorization="Bearer k", x_forwarded_host="evil.com", forwarded="host=evil.com").answer()
    with Client(recorder.port) as client:
        assert client.ask(ASKED, path="http://evil.com/v1/responses").answer()[0] == 400
    assert [seen.header("authorization") for seen in provider.seen] == ["Bearer k"]
    named = {b"chatgpt-account-id": b"acc"}
    assert Route().of(named).url == "https://chatgpt.com/backend-api/codex"
    assert Route().of({}).url == "https://api.openai.com/v1"
    assert Route(parse_upstream("https://own.example/v1")).of(named).url == "https://own.example/v1"
    assert forwarded_target(b"/v1/responses", Route().of(named)) == b"/backend-api/codex/responses"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "/v1/%252e%252e/x",
            "/v1/..%2fx",
            "/v1\\..\\x",
            "/v1/.",
            "/",
            "/v2/x",
            "/v1x",
        ),
        *("*", "//evil.com/v1", "http://evil.com/", "/internal/reload-skills"),
    ],
)
def test_no_path_leads_out_of_what_is_forwarded(recorder: Recorder, provider: Provider, path: str) -> None:
    with Client(recorder.port) as client:
        assert client.ask(ASKED, path=path).answer()[0] in (400, 404)
    assert provider.seen == []


HEAD = "POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Armarius-Token: {token}\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "Content-Length: 3, 3\r\n\r\nabc",
        "Content-Length: +3\r\n\r\nabc",
        "Content-Length: 0x3\r\n\r\nabc",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "X: a\r\n b\r\n\r\n",
        "X: a\rb\r\n\r\n",
        "X: a\0b\r\n\r\n",
        "X a\r\n\r\n",
        "Host: evil.com\r\n\r\n",
        "Host: 127.0.0.1:{port}\r\nContent-Length: 2\r\n\r\n[]",
        "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    ],
)
def test_threat_20_a_request_that_two_programs_could_read_differently_is_refused(
    recorder: Recorder, provider: Provider, rest: str
) -> None:
    with Client(recorder.port) as client:
        client.send((HEAD + rest).format(port=recorder.port, token=TOKEN).encode())
        assert client.answer()[0] in (400, 413, 421, 501)
        assert client.is_closed()
    assert provider.seen == []


@pytest.mark.parametrize(
    "head", ["GET /v1/models\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01", "GET  / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_answered_once_and_closed(recorder: Recorder, head: str) -> None:
    with Client(recorder.port) as client:
        client.send(head.encode())
        assert client.head()[0] in (400, 421, 426)


def test_threat_29_a_head_and_a_body_have_a_size(provider: Provider, tmp_path: Path) -> None:
    with Recorder(provider.url, tmp_path, limits=Limits(head=4096, headers=20, body=10_000)) as recorder:
        for headers, status in (({"x_long": "a" * 5000}, 431), ({f"x_{n}": "a" for n in range(20)}, 431)):
            with Client(recorder.port) as client:
                assert client.ask(ASKED, **headers).answer()[0] == status
        with Client(recorder.port) as client:
            assert client.ask(ASKED, path="/v1/" + "a" * 5000).answer()[0] == 431
        with Client(recorder.port) as client:
            client.send((HEAD.format(port=recorder.port, token=TOKEN) + "Content-Length: 10001\r\n\r\n").encode())
            assert client.answer()[0] == 413
        with Client(recorder.port) as client:
            chunk = "1000\r\n" + "x" * 4096 + "\r\n"
            client.send((HEAD.format(port=recorder.port, token=TOKEN) + "Transfer-Encoding: chunked\r\n\r\n").encode())
            client.send((chunk * 3).encode())
            assert client.answer()[0] == 413
        assert provider.seen == []


def test_threat_29_who_sends_too_slowly_or_nothing_is_left(provider: Provider, tmp_path: Path) -> None:
    with Recorder(provider.url, tmp_path, limits=Limits(request=0.2, idle=0.2)) as recorder:
        with Client(recorder.port) as silent, Client(recorder.port) as slow:
            slow.send(b"POST /v1/resp")
            assert silent.is_closed()
            assert slow.is_closed()
        with Client(recorder.port) as client:
            assert client.ask(ASKED).answer()[0] == 200


def test_threat_29_connections_have_a_number(provider: Provider, tmp_path: Path) -> None:
    with Recorder(provider.url, tmp_path, limits=Limits(connections=2)) as recorder:
        one, two, three = (Client(recorder.port) for _ in range(3))
        with one, two, three:
            assert three.answer()[0] == 503
            assert one.ask(ASKED).answer()[0] == two.ask(ASKED).answer()[0] == 200


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)])
def test_threat_29_a_bomb_is_forwarded_and_never_unpacked_whole(
    recorder: Recorder, provider: Provider, encoding: str, pack: Any
) -> None:
    bomb = pack(b" " * (LARGEST_PLAIN + (16 << 20)))
    with Client(recorder.port) as client:
        assert client.ask(bomb, content_encoding=encoding).answer()[0] == 200
    assert provider.seen[0].body == bomb
    [exchange] = recorder.exchanges(1)
    assert "too large" in str(exchange.unread)


def test_threat_28_what_it_answers_itself_is_json_and_nothing_a_browser_would_run(recorder: Recorder) -> None:
    with Client(recorder.port) as client:
        _, headers, body = client.ask(ASKED, path="/v9/<img%20onerror=alert(1)>").answer()
    assert headers["content-type"] == "application/json"
    assert b"onerror" not in body


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    async def start(port: int) -> None:
        listen = parse_listen(f"127.0.0.1:{port}")
        await serve(Serving(listen, TOKEN, SystemClock(), print, print, tmp_path), asyncio.Event())

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HostError, match="is taken"):
        asyncio.run(start(taken.getsockname()[1]))


# -------------------------------------------------------------------- anything at all

PIECE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(
                b"POST /v1/responses HTTP/1.1\r\n",
                b"GET /v1/models HTTP/1.1\r\n",
                b"Host: x\r\n",
                b"\r\n",
                b"0\r\n\r\n",
            ),
            *(
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"hello",
                b"5\r\nhello\r\n",
                b"Upgrade: x\r\n",
            ),
            *(
                b"Connection: close\r\n",
                b"Connection: upgrade\r\n",
                b"Expect: 100-continue\r\n",
                b"X: " + b"a" * 300 + b"\r\n",
            ),
            *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 204 x\r\n", b"HTTP/1.1 101 x\r\n"),
        ]
    ),
)


def anybody(_method: bytes, _target: bytes, _headers: dict[bytes, bytes]) -> None:
    """A gate that everybody passes."""


@given(st.lists(PIECE, max_size=30))
def test_no_bytes_of_a_client_raise_anything_or_grow_beyond_the_limits(pieces: list[bytes]) -> None:
    limits = Limits(head=400, headers=8, body=64)
    arriving = Arriving()
    reader = RequestReader(limits, anybody, arriving)
    for piece in pieces:
        try:
            for request in reader.feed(piece):
                assert len(request.body) <= limits.body
                assert len(request.headers) <= limits.headers
                assert sum(len(name) + len(value) for name, value in request.headers) <= limits.head
        except Unacceptable as error:
            assert 400 <= error.refusal.status < 600  # noqa: PT017
            break
    reader.close()
    assert arriving.size == 0


def test_threat_29_bodies_that_arrive_at_the_same_time_have_a_size_together() -> None:
    limits, arriving, head = Limits(arriving=1000), Arriving(), b"POST /v1/x HTTP/1.1\r\nContent-Length: 900\r\n\r\n"
    one, other, third = (RequestReader(limits, anybody, arriving) for _ in range(3))
    assert one.feed(head + b"a" * 800) == []
    with pytest.raises(Unacceptable, match="at the same time"):
        other.feed(head + b"b" * 201)
    other.close()
    assert third.feed(head + b"c" * 100) == []
    assert len(one.feed(b"a" * 100)) == 1
    assert len(third.feed(b"c" * 800)) == 1, "what is whole does not arrive any more"


ENDLESS = [
    b"X: ",
    b"X",
    b"Content-Length: 1",
    b"Transfer-Encoding: chunked\r\n\r\n1;",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
]


@pytest.mark.parametrize("begun", ENDLESS)
def test_threat_29_a_line_without_end_is_given_up_on_both_sides(begun: bytes) -> None:
    request, response = RequestReader(Limits(), anybody, Arriving()), ResponseReader(Limits())
    request.feed(b"POST /v1/x HTTP/1.1\r\n" + begun)
    response.feed(b"HTTP/1.1 200 OK\r\n" + begun)
    fill = b"v" * 4096
    for reader, wrong in ((request, Unacceptable), (response, Unreadable)):
        with pytest.raises(wrong):
            list(map(reader.feed, [fill] * 20))


@given(st.lists(PIECE, max_size=30))
def test_no_bytes_of_a_provider_raise_anything_else_than_being_unreadable(pieces: list[bytes]) -> None:
    reader = ResponseReader(Limits(head=400))
    for piece in pieces:
        try:
            reader.feed(piece)
        except Unreadable:
            return
        assert sum(map(len, reader.pieces)) <= len(piece)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.lists(st.integers(0, 2000), max_size=8))
def test_a_request_is_the_same_however_it_is_cut(bodies: list[bytes], places: list[int]) -> None:
    data = b"".join(b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(b), b) for b in bodies)
    points = sorted({place % (len(data) + 1) for place in places})
    reader = RequestReader(Limits(), anybody, Arriving())
    cut = [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]
    assert [request.body for piece in cut for request in reader.feed(piece)] == bodies


@given(st.text(max_size=60))
def test_no_address_raises_anything_but_what_the_command_line_shows(text: str) -> None:
    for parse in (parse_listen, parse_upstream):
        try:
            parse(text)
        except ArmariusError as error:
            assert error.message  # noqa: PT017


@given(
    st.binary(max_size=40),
    st.dictionaries(st.sampled_from([b"host", b"origin", b"x-armarius-token"]), st.binary(max_size=20)),
)
def test_nobody_passes_the_gate_by_chance(target: bytes, headers: dict[bytes, bytes]) -> None:
    assert Gate.of(Listen("127.0.0.1", 1), TOKEN).refusal(b"POST", target, headers) is not None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECE, min_size=1, max_size=12))
def test_the_recorder_lives_on_whatever_a_client_sends(recorder: Recorder, pieces: list[bytes]) -> None:
    with Client(recorder.port) as client:
        try:
            for piece in pieces:
                client.send(piece)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(4096):
                pass
        except OSError:
            pass
    with Client(recorder.port) as client:
        assert client.ask(ASKED).answer()[0] == 200


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECE, min_size=1, max_size=12))
def test_the_recorder_lives_on_whatever_a_provider_sends(
    recorder: Recorder, provider: Provider, pieces: list[bytes]
) -> None:
    def broken(_: Any) -> Any:
        yield from pieces
        raise OSError("closed")

    provider.answer = broken
    with Client(recorder.port) as client, contextlib.suppress(EOFError, OSError, ValueError, IndexError):
        client.ask(ASKED).answer()
    provider.answer = lambda _: stream()
    with Client(recorder.port) as client:
        assert client.ask(ASKED).answer()[0] == 200


def test_nothing_is_left_open_when_all_have_gone(recorder: Recorder) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with Client(recorder.port) as client:
            client.ask(ASKED).answer()
    wait_for(lambda: recorder.state.connections <= 1, "end of the connections")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
