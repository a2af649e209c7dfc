"""HTTP/1.1 out of bytes: requests of clients, answers of the provider.

Owns parsing (llhttp does the grammar, in its strict mode) and the limits on what is taken in. Does not own
connections (server.py).
Invariant: nothing here grows beyond the limits, whatever the other side sends and however it cuts it up.
"""

from collections.abc import Callable

import httptools
import msgspec

from armarius.recorder.access import Refusal
from armarius.recorder.wire import Headers

__all__ = ["Arriving", "Limits", "Request", "RequestReader", "ResponseReader", "Unacceptable", "Unreadable"]


class Limits(msgspec.Struct, frozen=True):
    """How much of anything. Times in seconds; `silence` is how long the provider may say nothing at all, `free` how
    long a connection to it is kept for the next request. `arriving` is for all bodies that are not whole yet.
    """

    head: int = 64 << 10
    headers: int = 128
    body: int = 64 << 20
    arriving: int = 256 << 20
    connections: int = 1024
    request: float = 60.0
    idle: float = 300.0
    connect: float = 15.0
    silence: float = 900.0
    free: float = 60.0
    commit: float = 5.0


class Unacceptable(Exception):
    """A request that is answered by us; its connection ends."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Unreadable(Exception):
    """The provider's answer is no HTTP."""


class Request:
    """A whole request. `headers` as they came, `named` by lower-case name (of several, the last)."""

    __slots__ = ("body", "has_body", "headers", "keep", "method", "named", "target", "version")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = "1.1"
        self.headers: Headers = []
        self.named = dict[bytes, bytes]()
        self.body = b""
        self.has_body = False
        self.keep = True


Check = Callable[[bytes, bytes, dict[bytes, bytes]], Refusal | None]


class Arriving:
    """How many bytes have come of bodies that are not whole yet, over all connections."""

    def __init__(self) -> None:
        self.size = 0


class RequestReader:
    """The requests of one connection; `check` looks at a head before its body is taken in."""

    def __init__(self, limits: Limits, check: Check, arriving: Arriving) -> None:
        self._limits = limits
        self._check = check
        self._arriving = arriving
        self._size = self._silent = 0
        self._parser = httptools.HttpRequestParser(self)
        self._done = list[Request]()
        self._refusal: Refusal | None = None
        self.is_within = False
        """Whether a request has begun and is not complete."""
        self.expects = False
        """Whether the client waits to be told that it may send its body."""
        self._reset()

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are complete with `data`; Unacceptable for one that will not be taken."""
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(Refusal(426, "upgrade", "no WebSocket and no tunnel here; send POST"))
        except httptools.HttpParserError as error:
            self._refuse(Refusal(400, "http", f"not HTTP/1.1: {error}"))
        if self._silent > self._limits.head:  # the parser itself keeps a line until it ends
            self._count(self._silent)
        if self._refusal is not None:
            raise Unacceptable(self._refusal)
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing more will come of what is not whole."""
        self._reset()

    def _refuse(self, refusal: Refusal) -> None:
        if self._refusal is None:
            self._refusal = refusal

    def _reset(self) -> None:
        self._request = Request()
        self._url = b""
        self._pieces = list[bytes]()
        self._arriving.size -= self._size
        self._size = 0
        self._head = 0
        self._in_body = False
        self.expects = False

    # ------------------------------------------------------ what the parser calls

    def on_message_begin(self) -> None:
        self._silent = 0
        self._reset()
        self.is_within = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._silent = 0
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent = 0
        self._count(len(name) + len(value) + 4)
        if self._in_body:
            return  # a trailer says nothing that we or the provider need
        headers = self._request.headers
        headers.append((name, value))
        if len(headers) > self._limits.headers:
            self._refuse(Refusal(431, "headers", f"more than {self._limits.headers} headers"))

    def on_headers_complete(self) -> None:
        request = self._request
        self._in_body = True
        request.method = self._parser.get_method()
        request.target = self._url
        request.version = self._parser.get_http_version()
        request.keep = self._parser.should_keep_alive()
        named = request.named = {name.lower(): value for name, value in request.headers}
        if self._refusal is None:
            refusal = self._framing(named) or self._check(request.method, request.target, named)
            if refusal is not None:
                self._refuse(refusal)
        self.expects = self._refusal is None and named.get(b"expect", b"").lower() == b"100-continue"

    def _framing(self, named: dict[bytes, bytes]) -> Refusal | None:
        hosts = sum(name.lower() == b"host" for name, _ in self._request.headers)
        if hosts > 1:
            return Refusal(400, "host", "two Host headers")
        if named.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            return Refusal(501, "framing", "bodies are plain or chunked")
        length = named.get(b"content-length", b"0")
        if len(length) > 18 or int(length) > self._limits.body:  # noqa: PLR2004  # more digits than any body has
            return Refusal(413, "size", f"a body has at most {self._limits.body:,} bytes")
        self._request.has_body = b"content-length" in named or b"transfer-encoding" in named
        return None

    def on_body(self, data: bytes) -> None:
        self._silent = 0
        self._size += len(data)
        self._arriving.size += len(data)
        if self._size > self._limits.body:
            self._refuse(Refusal(413, "size", f"a body has at most {self._limits.body:,} bytes"))
        elif self._arriving.size > self._limits.arriving:
            self._refuse(Refusal(503, "busy", "too much is arriving at the same time; try again"))
        elif self._refusal is None:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._silent = 0
        self.is_within = False
        if self._refusal is None:
            pieces = self._pieces
            self._request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._done.append(self._request)
            self._reset()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self._limits.head:
            self._refuse(Refusal(431, "head", f"a head has at most {self._limits.head:,} bytes"))


def _why(error: Exception) -> str:
    """Why an answer cannot be read: what we said, when it was one of our callbacks."""
    if isinstance(error, httptools.HttpParserUpgrade):
        return "it changes to another protocol"
    return str(error.__context__ if isinstance(error.__context__, Unreadable) else error)


_BETWEEN_NEIGHBOURS = (100, 101)
"""Announcements that are for us, and said anew or not at all to the client."""


class ResponseReader:
    """The answers of one connection to the provider, one after the other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self.announced = list[tuple[int, bytes, Headers]]()
        self._silent = 0
        self.expect()

    def expect(self) -> None:
        """The next bytes belong to a new answer."""
        self.status = 0
        self.reason = b""
        self.headers: Headers = []
        self.named = dict[bytes, bytes]()
        self.has_head = False
        self.is_complete = False
        self.keep = False
        self.pieces = list[bytes]()
        self._head = 0

    def feed(self, data: bytes) -> None:
        """Take in bytes; the attributes say what is known now, `pieces` the body that they brought, `announced` the
        heads of status 1xx before the answer.
        """
        self.pieces, self.announced = [], []
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep = False
            if not self.is_complete:  # what comes after an answer is nobody's
                raise Unreadable(_why(error)) from error
        if self._silent > self._limits.head and not self.is_complete:  # the parser itself keeps a line until it ends
            self._count(self._silent)

    @property
    def length(self) -> bytes | None:
        """The line that frames a body of known length."""
        size = self.named.get(b"content-length")
        return None if size is None or b"transfer-encoding" in self.named else size

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body has no other end than that of the connection."""
        return self.has_head and b"content-length" not in self.named and b"transfer-encoding" not in self.named

    # ------------------------------------------------------ what the parser calls

    def on_message_begin(self) -> None:
        self._silent = 0
        if self.is_complete:
            self.keep = False  # it says more than it was asked for; nobody will read it

    def on_status(self, reason: bytes) -> None:
        self._silent = 0
        if not self.is_complete:
            self.reason += reason
            self._count(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent = 0
        if not self.has_head:
            self.headers.append((name, value))
            self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if self.is_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status >= 200:  # noqa: PLR2004  # below are announcements that more is to come
            self.has_head = True
            self.named = {name.lower(): value for name, value in self.headers}
            if self.named.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
                self.has_head = False
                raise Unreadable("a body is plain or chunked")

    def on_body(self, data: bytes) -> None:
        self._silent = 0
        if not self.is_complete:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        self._silent = 0
        if self.is_complete:
            return
        if self.has_head:
            self.is_complete = True
            self.keep = self._parser.should_keep_alive()
        else:
            if self.status not in _BETWEEN_NEIGHBOURS:
                self.announced.append((self.status, self.reason, self.headers))
            self.expect()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self._limits.head:
            raise Unreadable("the head of the answer has no end")
