"""The frames of an app-server's conversation, and which answer belongs to which request.

Owns JSON-RPC as Codex speaks it: without the `jsonrpc` field, one message a line. Does not own a
transport, nor what is said (`protocol.py`).
Invariant: pure. Nothing a server says raises or is lost: what is unknown keeps its parameters as they
came, what is no message becomes `Garbage`. A request of the server is handed on, never answered here.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from armarius.codex.protocol import NOTIFICATIONS, SERVER_REQUESTS, Wire

__all__ = ["Answer", "Connection", "Garbage", "Incoming", "Notification", "RpcError", "ServerRequest"]

LONGEST_LINE = 64 << 20
"""A tool's whole output may stand in one message; more than this is no message of Codex's."""

_SHOWN = 200
_DECLINED = -32000  # of the range that JSON-RPC leaves to whoever answers


class RpcError(msgspec.Struct, frozen=True):
    """Why a request was not done."""

    code: int
    message: str
    data: Any = None


class Notification(msgspec.Struct, frozen=True):
    """`body` is None for a method that is not in the table, or whose shape is another one today."""

    method: str
    params: Any
    body: Wire | None
    emitted_at_ms: int | None = None


class ServerRequest(msgspec.Struct, frozen=True):
    """The server waits for an answer, which only a caller may give."""

    id: int | str
    method: str
    params: Any
    body: Wire | None


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request of ours; exactly one of the two is there, a null result apart."""

    id: int
    result: Any = None
    error: RpcError | None = None


class Garbage(msgspec.Struct, frozen=True):
    """What was no message, shortened, and why."""

    shown: str
    reason: str


Incoming: TypeAlias = Notification | ServerRequest | Answer | Garbage


class _Frame(msgspec.Struct):
    """Any message; which fields it has says what it is."""

    id: int | str | None = None
    method: str | None = None
    params: Any = None
    result: Any = msgspec.UNSET
    error: RpcError | None = None
    emitted_at_ms: int | None = msgspec.field(default=None, name="emittedAtMs")


class Connection:
    """Both directions of one conversation: bytes to send are returned, bytes received are given in."""

    def __init__(self, *, longest_line: int = LONGEST_LINE) -> None:
        self._longest = longest_line
        self._last_id = 0
        self._open = set[int]()
        self._pieces = bytearray()
        self._searched = 0
        self._skipping = False
        self._decoder = msgspec.json.Decoder(_Frame)

    def request(self, method: str, params: Any) -> tuple[int, bytes]:
        """A request of ours, and the id that its answer will carry."""
        self._last_id += 1
        self._open.add(self._last_id)
        return self._last_id, _line({"id": self._last_id, "method": method, "params": params})

    def notify(self, method: str) -> bytes:
        return _line({"method": method})

    def answer(self, request: ServerRequest, result: Any) -> bytes:
        return _line({"id": request.id, "result": result})

    def decline(self, request: ServerRequest, message: str) -> bytes:
        return _line({"id": request.id, "error": {"code": _DECLINED, "message": message}})

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more; should it come, it is garbage."""
        self._open.discard(number)

    def feed(self, data: bytes) -> Iterator[Incoming]:
        """The messages that `data` completes; half a last one is kept for the next call."""
        self._pieces += data
        while (end := self._pieces.find(b"\n", self._searched)) >= 0:
            line = bytes(memoryview(self._pieces)[:end])
            del self._pieces[: end + 1]
            self._searched = 0
            if self._skipping:
                self._skipping = False  # this is the tail of a line that was already reported
            elif len(line) > self._longest:
                yield self._too_long(line)
            elif line.strip():
                yield self.take(line)
        self._searched = len(self._pieces)
        if len(self._pieces) > self._longest or self._skipping:
            if not self._skipping:
                yield self._too_long(self._pieces)
            self._skipping = True
            self._pieces.clear()
            self._searched = 0

    def take(self, message: bytes) -> Incoming:
        """One whole message, as a transport with frames of its own delivers it."""
        try:
            frame = self._decoder.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Garbage(_show(message), str(error))
        match frame:
            case _Frame(method=str(method), id=int() | str() as number):
                return ServerRequest(number, method, frame.params, _body(SERVER_REQUESTS, method, frame.params))
            case _Frame(method=str(method)):
                return Notification(
                    method, frame.params, _body(NOTIFICATIONS, method, frame.params), frame.emitted_at_ms
                )
            case _Frame(id=int(number)) if number in self._open:
                if frame.error is None and frame.result is msgspec.UNSET:
                    return Garbage(_show(message), "neither a result nor an error")
                self._open.discard(number)
                return Answer(number, None if frame.error else frame.result, frame.error)
            case _:
                return Garbage(_show(message), "nobody asked for this answer")

    def _too_long(self, start: bytes | bytearray) -> Garbage:
        return Garbage(_show(start), f"a line of more than {self._longest:,} bytes")


def _body(table: dict[str, type[Wire]], method: str, params: Any) -> Wire | None:
    kind = table.get(method)
    if kind is None:
        return None
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError:
        return None  # another version's shape: the caller still has what was said


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def _show(message: bytes | bytearray) -> str:
    return bytes(message[:_SHOWN]).decode(errors="backslashreplace")
