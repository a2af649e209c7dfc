"""HTTP/1.1 as bytes: heads that go on, and answers of our own.

Owns which headers go from end to end, and how a body is framed. Does not own connections (server.py).
Invariant: what was parsed is written anew, so that two programs never see two different requests in the same
bytes; the client's token stays here.
"""

from http import HTTPStatus

import msgspec

from armarius.recorder.access import TOKEN_HEADER, Refusal

__all__ = ["END", "Headers", "chunk", "own_answer", "refusal_answer", "request_head", "response_head"]

Headers = list[tuple[bytes, bytes]]

END = b"0\r\n\r\n"
_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length"),
    }
)
_REQUEST_HOP = _HOP | {b"host", b"expect", TOKEN_HEADER.encode()}


def request_head(method: bytes, target: bytes, authority: bytes, headers: Headers, size: int | None) -> bytes:
    """The head of a request as it goes on; `size` None: it came without a body."""
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, authority)]
    named = _named_by_connection(headers)
    for name, value in headers:
        lower = name.lower()
        if lower not in _REQUEST_HOP and lower not in named:
            lines.append(b"%b: %b\r\n" % (name, value))
    if size is not None:
        lines.append(b"Content-Length: %d\r\n" % size)
    lines.append(b"\r\n")
    return b"".join(lines)


def response_head(status: int, reason: bytes, headers: Headers, framing: bytes, *, keep: bool) -> bytes:
    """The head of an answer as it goes back. `framing` is the header line that says how the body is framed."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    named = _named_by_connection(headers)
    for name, value in headers:
        lower = name.lower()
        if lower not in _HOP and lower not in named:
            lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(framing)
    lines.append(b"\r\n" if keep else b"Connection: close\r\n\r\n")
    return b"".join(lines)


def chunk(data: bytes) -> bytes:
    """A piece of a body of unknown length; an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def own_answer(status: int, body: bytes, *, keep: bool) -> bytes:
    reason = HTTPStatus(status).phrase.encode()
    framing = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return response_head(status, reason, [], framing, keep=keep) + body


def refusal_answer(refusal: Refusal) -> bytes:
    """A refusal in the shape that Codex reads errors in; the connection ends with it."""
    error = {"message": f"armarius: {refusal.message}", "type": "armarius", "param": None, "code": refusal.code}
    return own_answer(refusal.status, msgspec.json.encode({"error": error}), keep=False)


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """The headers that `Connection` names: they too are for this hop alone."""
    return frozenset(
        word.strip().lower()
        for name, value in headers
        if len(name) == _CONNECTION and name.lower() == b"connection"
        for word in value.split(b",")
    )


_CONNECTION = len("connection")
