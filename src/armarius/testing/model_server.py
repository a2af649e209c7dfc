"""The scripted model behind a real HTTP server, for the real Codex CLI.

Owns the sockets: HTTP/1.1 on loopback, server-sent events, and connections that break on purpose.
Does not own what is answered (`exchange.py`).
Invariant: it listens on 127.0.0.1 alone, answers nobody who came by another name or from a web
page, and when it is closed none of its threads and sockets is left.

    POST /v1/responses   a response as server-sent events
    GET  /v1/models      a list without models, so that Codex keeps its own
    GET  /v1/responses   426: no WebSocket here; Codex falls back to POST

`python -m armarius.testing.model_server --port N [--script FILE]` prints one line,
{"schema": "armarius.model_server.v1", "url": …}, when it listens, and ends on SIGTERM.
FILE is {"seed": 0, "disobedience": 0.0, "faults": {"3": "500"}}; every key may be left out.
"""

import argparse
import contextlib
import errno
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Self, cast

import msgspec

from armarius.clock import Clock, SystemClock
from armarius.errors import ArmariusError, DataError, HostError
from armarius.testing.exchange import Answer, Exchanges, Policy, Record, error_answer
from armarius.testing.faults import Fault, parse_fault
from armarius.testing.model import ScriptedModel
from armarius.testing.policy import Worker
from armarius.thread import Usage

__all__ = ["ModelServer", "main"]

_HOST = "127.0.0.1"
_LARGEST = 64 << 20  # a request with a long history and images; more is not Codex


class ModelServer:
    """A model that listens from `__enter__` to `__exit__`; `policy` decides what it says."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        port: int = 0,
        faults: Mapping[int, Fault] | None = None,
        clock: Clock | None = None,
        wait: Callable[[float], object] | None = None,
        keep: int = 256,
    ) -> None:
        self._exchanges = Exchanges(policy or ScriptedModel(), clock or SystemClock(), faults or {}, keep)
        self._stopping = threading.Event()
        self._listener = _Listener(port, self._exchanges, wait or self._stopping.wait)
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        socket.create_connection(self._listener.address).close()  # wakes the accepting thread
        self._thread.join()
        self._listener.close_all()

    def _accept(self) -> None:
        """Not `serve_forever`: that wakes many times a second to see whether it is to end."""
        while not self._stopping.is_set():
            self._listener.handle_request()

    @property
    def base_url(self) -> str:
        """What Codex's `base_url` wants."""
        return f"http://{self._listener.name}/v1"

    @property
    def requests(self) -> int:
        """How many requests for a response came."""
        return self._exchanges.count

    @property
    def records(self) -> list[Record]:
        """What Codex sent: the newest requests, oldest first."""
        return self._exchanges.records

    @property
    def usage(self) -> dict[str, Usage]:
        """What each response id cost, to the token."""
        return self._exchanges.usage


class _Listener(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for every connection
    request_queue_size = 128

    def __init__(self, port: int, exchanges: Exchanges, wait: Callable[[float], object]) -> None:
        self.exchanges = exchanges
        self.wait = wait
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()  # connections open and close in their own threads
        try:
            super().__init__((_HOST, port), _Connection)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise HostError(
                "port-taken" if taken else "port-refused",
                f"port {port} on {_HOST} {'is taken' if taken else f'cannot be used: {error.strerror}'}",
                "choose another with --port or leave it out",
            ) from error

    def server_bind(self) -> None:
        """Without the base class's look-up of the host's full name, which may ask a DNS server."""
        TCPServer.server_bind(self)

    @property
    def address(self) -> tuple[str, int]:
        return _HOST, self.server_address[1]

    @property
    def name(self) -> str:
        """What a client that came on purpose puts into `Host`."""
        return f"{_HOST}:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_all(self) -> None:
        """Wake every connection with the end of its stream and wait for its thread."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that leaves is no error
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "armarius"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one write; the base class flushes after each request

    @property
    def listener(self) -> _Listener:
        return cast("_Listener", self.server)

    def do_GET(self) -> None:
        if refusal := self._refusal():
            self._send(refusal)
        elif self.path.startswith("/v1/models"):
            self._send(Answer(body=b'{"object": "list", "data": [], "models": []}'))
        elif self.path.startswith("/v1/responses"):
            message = "no WebSocket here; send POST /v1/responses"
            self._send(error_answer(426, "invalid_request_error", "upgrade_required", message))
        else:
            self._send(_not_found(self.path))

    def do_POST(self) -> None:
        refusal = self._refusal() or self._unreadable()
        if refusal:
            self.close_connection = True  # its body stays unread
            self._send(refusal)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.partition("?")[0] != "/v1/responses":
            self._send(_not_found(self.path))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.listener.exchanges.answer(headers, body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class named it)
        """Nothing: what came is in the record."""

    def _refusal(self) -> Answer | None:
        """Refuse whoever reached loopback through a browser (a page's Origin, a rebound name)."""
        if "Origin" not in self.headers and self.headers.get("Host") == self.listener.name:
            return None
        return error_answer(403, "invalid_request_error", "foreign", "only for programs on this machine")

    def _unreadable(self) -> Answer | None:
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            message = f"request bodies in {encoding} are not read; turn request compression off"
            return error_answer(415, "invalid_request_error", "unsupported_encoding", message)
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            return error_answer(411, "invalid_request_error", "length_required", "Content-Length is missing")
        if int(size) > _LARGEST:
            return error_answer(413, "invalid_request_error", "too_large", f"more than {_LARGEST} bytes")
        return None

    def _send(self, answer: Answer) -> None:
        for wait in answer.waits:
            if isinstance(wait, str):
                self._await_writer(wait)
            else:
                self.listener.wait(wait)
        if answer.events or answer.then == "held":
            self._send_stream(answer)
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _send_stream(self, answer: Answer) -> None:
        """Each event is a chunk; all go in one write unless there is a pause between them."""
        if answer.events:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-cache")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in answer.events]
        if answer.then == "ended":
            chunks.append(b"0\r\n\r\n")
        for chunk in chunks if answer.pause else [b"".join(chunks)]:
            if answer.pause:
                self.listener.wait(answer.pause)
            self.wfile.write(chunk)
            self.wfile.flush()
        if answer.then == "held":
            self._await_end()
        self.close_connection = answer.then != "ended"

    def _await_end(self) -> None:
        """Until the client closes its side, or the server ours."""
        select.select([self.connection], [], [])

    def _await_writer(self, fifo: str) -> None:
        """Until somebody wrote to the FIFO or opened and closed it; or the client goes."""
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            select.select([descriptor, self.connection], [], [])
        finally:
            os.close(descriptor)


def _not_found(path: str) -> Answer:
    return error_answer(404, "invalid_request_error", "not_found", f"nothing at {path}")


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    seed: int = 0
    disobedience: float = 0.0
    faults: dict[int, str] = {}


def _read_script(path: Path | None) -> _Script:
    if path is None:
        return _Script()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Script)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError("bad-script", f"{path}: {error}", "see armarius.testing.model_server") from error


def _serve(port: int, script: _Script) -> int:
    """Serve until a signal; its number."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the threads, which inherit it
    model = ScriptedModel(Worker(script.seed, script.disobedience))
    faults = {ordinal: parse_fault(text) for ordinal, text in script.faults.items()}
    with ModelServer(model, port=port, faults=faults) as server:
        line = {"schema": "armarius.model_server.v1", "url": server.base_url}
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
        return signal.sigwait(signals)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser("python -m armarius.testing.model_server", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    options = parser.parse_args(arguments)
    try:
        ended_by = _serve(options.port, _read_script(options.script))
    except ArmariusError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0 if ended_by == signal.SIGTERM else 130


if __name__ == "__main__":
    sys.exit(main())
