"""A recorder between raw sockets: a provider that says exactly what a test wants, and clients that do the same.

Owns starting the recorder in a thread of its own, the provider, and reading what was recorded. Does not own what
is right.
Invariant: everything is on loopback, and gone when the block is left.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import msgspec
import uvloop

from armarius.clock import SystemClock
from armarius.recorder.access import Route, parse_listen, parse_upstream
from armarius.recorder.asking import ask_state
from armarius.recorder.exchange import Exchange, Inject
from armarius.recorder.flow import Sink
from armarius.recorder.readers import Limits
from armarius.recorder.server import Serving, serve
from armarius.recorder.state import ProxyState
from armarius.recorder.team import Team
from armarius.recorder.turns import exchanges_in
from support.codex_world import wait_for

__all__ = ["CUT", "TOKEN", "Client", "Provider", "Recorder", "Seen", "chunked", "event", "events", "plain", "stream"]

TOKEN = "a-token-of-the-profile-0123456789abcdef"  # of no one
CUT = object()
"""In an answer: close the connection here."""


class Seen(msgspec.Struct, frozen=True):
    """A request as the provider got it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Provider:
    """Listens from `__enter__` to `__exit__`; `answer` says what each request gets: pieces to send one by one, CUT
    to close, anything callable to be called.
    """

    answer: Callable[[Seen], Iterable[object]]

    def __init__(self, answer: Callable[[Seen], Iterable[object]], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self._tls = tls
        self.seen = list[Seen]()
        self.lost = threading.Semaphore(0)
        """Released for every connection that its other side closed."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open = set[socket.socket]()
        self._threads = list[threading.Thread]()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                self._start(lambda connection=connection: self._serve(connection))

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), self._secured(connection) as open_one, open_one.makefile("rb") as file:
            while request := _request(file):
                self.seen.append(request)
                for piece in self.answer(request):
                    if piece is CUT:
                        return
                    if callable(piece):
                        piece()
                    elif isinstance(piece, bytes):
                        open_one.sendall(piece)
        self._open.discard(connection)
        self.lost.release()


def _request(file: Any) -> Seen | None:
    line = file.readline()
    if not line:
        return None
    headers = list[tuple[str, str]]()
    while (text := file.readline()) not in (b"\r\n", b""):
        name, _, value = text.decode("latin-1").rstrip("\r\n").partition(": ")
        headers.append((name, value))
    size = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Seen(line.decode("latin-1").strip(), headers, file.read(size))


class Recorder:
    """A recorder before `upstream`, whose journal is below `folder`."""

    def __init__(
        self,
        upstream: str,
        folder: Path,
        *,
        record: bool = True,
        limits: Limits | None = None,
        inject: Inject | None = None,
        sinks: tuple[Sink, ...] = (),
        team: Team | None = None,
    ) -> None:
        self.journal = folder / "journal"
        self.complaints = list[str]()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._listening: ProxyState | None = None
        self._serving = Serving(
            listen=parse_listen("127.0.0.1:0"),
            token=TOKEN,
            clock=SystemClock(),
            say=self.complaints.append,
            ready=self._heard,
            journal=self.journal if record else None,
            route=Route(parse_upstream(upstream)),
            limits=limits or Limits(),
            team=team or Team(inject, sinks),
        )
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self._serving, self._stop)

    def _heard(self, state: ProxyState) -> None:
        self._listening = state
        self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, as SIGTERM does."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def base_url(self) -> str:
        assert self._listening
        return self._listening.listen

    @property
    def port(self) -> int:
        return int(self.base_url.removesuffix("/v1").rpartition(":")[2])

    @property
    def state(self) -> ProxyState:
        state = ask_state(self.base_url, TOKEN)
        assert state
        return state

    def exchanges(self, count: int | None = None) -> list[Exchange]:
        """What is in the journal; with `count` once there is so much."""
        found = list[Exchange]()

        def read() -> bool:
            broken = list[str]()
            found[:] = exchanges_in(self.journal, broken)
            assert broken == []
            return count is None or len(found) >= count

        wait_for(read, f"journal of {count} exchanges")
        assert count is None or len(found) == count
        return found


class Client:
    """A connection to the recorder, byte by byte."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, body: Any = None, *, method: str = "POST", path: str = "/v1/responses", **headers: str) -> "Client":
        """Send a whole request, as the profile makes Codex do it; `_` stands for `-` in names of headers."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        every = {"host": f"127.0.0.1:{self.port}", "x-armarius-token": TOKEN, "content-type": "application/json"}
        every |= {"content-length": str(len(data))} if body is not None else {}
        every |= {name.replace("__", "\0").replace("_", "-").replace("\0", "_"): text for name, text in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in every.items() if value)
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        return self

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        """The status and the headers of an answer; 0 when the connection was closed instead."""
        line = self._file.readline().decode("latin-1").split(" ", 2)
        headers = list[tuple[str, str]]()
        while (text := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = text.decode("latin-1").rstrip("\r\n").partition(": ")
            headers.append((name.lower(), value))
        return int(line[1]) if len(line) > 1 else 0, headers

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """A whole answer; EOFError when its body has no end."""
        status, listed = self.head()
        headers = dict(listed)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := self.piece():
                body += piece
            return status, headers, body
        if "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
            if len(body) < int(headers["content-length"]):
                raise EOFError(body)
            return status, headers, body
        return status, headers, self._file.read()

    def piece(self) -> bytes:
        """The next chunk; EOFError when the connection ends instead."""
        size = self._file.readline()
        if not size.endswith(b"\r\n"):
            raise EOFError(size)
        data = self._file.read(int(size, 16) + 2)
        if len(data) < int(size, 16) + 2:
            raise EOFError(data)
        return data[:-2]

    def until_cut(self) -> bytes:
        """All chunks up to where the connection ends without the end of the body."""
        body = b""
        try:
            while piece := self.piece():
                body += piece
        except EOFError:
            return body
        raise AssertionError("the body has an end")

    def is_closed(self) -> bool:
        """Whether the other side closes it, with nothing more to read."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True


# -------------------------------------------------------------------- answers


def event(kind: str, **fields: Any) -> bytes:
    """One event, as OpenAI writes it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields, ensure_ascii=False)}\n\n".encode()


def events(text: str = "Hello, world", *, response: str = "resp_1", end: str = "completed", **last: Any) -> list[bytes]:
    """A response that says `text` in single characters' deltas."""
    item = {"id": "msg_1", "type": "message", "role": "assistant"}
    whole = item | {"content": [{"type": "output_text", "text": text}]}
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    final = {"id": response, "status": end, "model": "gpt-5.5", "output": [whole], "usage": usage} | last
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    done: list[Any] = last.get("output") or [whole]
    return [
        event("response.created", response={"id": response, "status": "in_progress", "output": [], "usage": None}),
        event("response.output_item.added", output_index=0, item=item | {"content": []}),
        *(event("response.output_text.delta", delta=letter, **at) for letter in text),
        *(event("response.output_item.done", output_index=place, item=one) for place, one in enumerate(done)),
        event(f"response.{end}", response=final),
    ]


def plain(status: int, body: bytes, *headers: str) -> list[bytes]:
    """An answer of known length."""
    lines = [f"HTTP/1.1 {status} Something", *headers, f"Content-Length: {len(body)}"]
    return ["\r\n".join(lines).encode() + b"\r\n\r\n" + body]


def chunked(pieces: Iterable[bytes], *, kind: str = "text/event-stream") -> list[bytes]:
    """An answer in chunks, each sent alone."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return [head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def stream(pieces: Iterable[bytes] | None = None) -> list[bytes]:
    """The answer of a provider to a request for a response."""
    return chunked(events() if pieces is None else pieces)
