"""One request and its answer, on their way through the recorder.

Owns what goes on to whom, in which order, and what is recorded of it; and what all of them share. Does not own
a socket (server.py) or HTTP (readers.py, wire.py).
Invariant: nothing is sent to the provider twice; the last event of a recorded answer leaves after its record is
on the disk, or after it is known that it cannot be, and that is counted and said. A side that goes takes the
other one along.
"""

import os
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

import msgspec

from armarius.clock import Clock
from armarius.recorder.access import Gate, Refusal, Route, Upstream
from armarius.recorder.answer import End
from armarius.recorder.exchange import Exchange, Inject, Recording
from armarius.recorder.history import Histories, Known, Pieces
from armarius.recorder.identity import words_of_identity
from armarius.recorder.journal import Journal, Line, Place
from armarius.recorder.readers import Limits, Request, ResponseReader
from armarius.recorder.sides import Client, Provider
from armarius.recorder.spill import Aside, Spill
from armarius.recorder.state import ProxyState
from armarius.recorder.wire import END, chunk, refusal_answer, request_head, response_head

__all__ = ["Flow", "Shared", "Sink", "Ticket"]

_INJECTED = "/responses"
_RECORDED = (_INJECTED, "/responses/compact")
_PATIENCE_US = 60_000_000  # between two complaints about the same trouble

_Words = ParamSpec("_Words")
_Made = TypeVar("_Made")

Sink = Callable[[Exchange, Place], None]
"""Told of every exchange that is safe in the journal, without its input, and of its line there, which alone is
redacted.
"""


class Ticket(msgspec.Struct, frozen=True):
    """What is to be done when a record is safe."""

    flow: "Flow"
    exchange: Exchange
    aside: Aside | None
    known: tuple[str, Known] | None


class Shared:
    """What the exchanges of one server share. `seconds` is the time of its timers, `defer` calls a function after
    everything that was written until now is on its way.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        route: Route,
        limits: Limits,
        clock: Clock,
        seconds: Callable[[], float],
        defer: Callable[..., object],
        say: Callable[[str], None],
    ) -> None:
        self.gate, self.route, self.limits, self.clock, self.seconds = gate, route, limits, clock, seconds
        self._defer = defer
        self._due = list[tuple[Line, Ticket]]()
        self.state = ProxyState(os.getpid(), clock.now_us(), "", route.shown)
        self.flows = set[Flow]()
        self.journal: Journal | None = None
        self.spill: Spill | None = None
        self.histories = Histories()
        self.inject: Inject | None = None
        self.sinks: tuple[Sink, ...] = ()
        self.taken_in = 0
        """Bytes of bodies, since somebody set it to nothing."""
        self.on_quiet: Callable[[], None] | None = None
        self._say = say
        self._said = (0, "")

    def record(self, line: Line, ticket: Ticket) -> None:
        """Write `line` to the journal; `settled` follows.

        All lines of one round of the loop are handed over at once, because each time costs a change of threads; and
        after the bytes ahead of the last event have left, because the journal's thread would take their time.
        """
        self._due.append((line, ticket))
        if len(self._due) == 1:
            self._defer(self._hand_over)

    def _hand_over(self) -> None:
        assert self.journal is not None
        due, self._due = self._due, []
        self.journal.append(due)

    def settled(self, tickets: list[Ticket], places: list[Place] | None) -> None:
        """The journal has what belongs to `tickets` at `places`, or has not."""
        for number, ticket in enumerate(tickets):
            ticket.flow.release()
            if ticket.aside is not None:
                ticket.aside.drop()
            if places is None:
                self.state.unrecorded += 1
                continue
            self.state.recorded += 1
            if ticket.known is not None:
                self.histories.put(*ticket.known)
            for sink in self.sinks:
                sink(ticket.exchange, places[number])
        if places is None:
            self.complain("NOT RECORDED", str(self.journal.state.trouble if self.journal else ""))

    def complain(self, kind: str, trouble: str) -> None:
        """Say what is wrong, but the same kind of trouble not with every request."""
        trouble = f"{kind}: {trouble}"
        self.state.trouble = trouble
        now = self.clock.monotonic_us()
        if self._said[1] != kind or now - self._said[0] > _PATIENCE_US:
            self._said = (now, kind)
            self._say(f"{trouble} (not recorded so far: {self.state.unrecorded}; everything is forwarded)")


class Flow:
    """One request and its answer, on their way."""

    __slots__ = (
        *("_chunked", "_client", "_end", "_has_head", "_held", "_is_over", "_shared", "_recording"),
        *("_request", "_since", "_up"),
    )

    def __init__(self, shared: Shared, client: Client, request: Request) -> None:
        self._shared, self._client, self._request = shared, client, request
        self._since = 0.0
        self._up: Provider | None = None
        self._has_head = False
        self._chunked = True
        self._held: list[bytes] | None = None
        """What waits for the record to be safe."""
        self._end: bool | None = None
        """Whether the connection is kept, once the answer is complete."""
        self._is_over = False
        self._recording: Recording | None = None
        shared.flows.add(self)

    @property
    def is_over(self) -> bool:
        return self._is_over

    def begin(self, upstream: Upstream, target: bytes) -> Pieces:
        """What to send to the provider."""
        request = self._request
        body: Pieces = [request.body]
        self._shared.taken_in += len(request.body)
        path = target[len(upstream.path) :].partition(b"?")[0].decode("latin-1")
        is_open = self._shared.journal is not None or self._shared.inject is not None
        if is_open and request.method == b"POST" and path in _RECORDED:
            body = self._open(path, request.body) or body
        size = sum(map(len, body)) if request.has_body else None
        request.body = b""
        return [request_head(request.method, target, upstream.authority.encode(), request.headers, size), *body]

    def sent(self, up: Provider) -> None:
        """The request is on its way to the provider."""
        self._up = up

    def fail(self, refusal: Refusal) -> None:
        """There will be no answer of the provider's."""
        if self._recording is not None:
            self._commit("upstream_cut")
        self._shared.state.refused += 1
        self._client.write(refusal_answer(refusal))
        self._request.keep = False
        self._over(keep=False)

    # ---------------------------------------------------------------- the answer

    def answered(self, reader: ResponseReader) -> None:
        """Bytes of the provider came, and were parsed; pass on what they brought."""
        pieces = reader.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        out = b""
        if reader.announced and self._request.version != "1.0":
            out = b"".join(response_head(*announced, b"", keep=True) for announced in reader.announced)
        if reader.has_head and not self._has_head:
            out += self._head(reader)
        complete = reader.is_complete
        if self._recording is not None:
            split = self._take_in(data, complete=complete)
            if split is not None:
                self._client.write(out + self._framed(data[:split]))
                self._held = [self._framed(data[split:])]
                if not self._commit():
                    self.release()
                if complete:
                    self._complete(keep=reader.keep)
                elif self._up is not None:
                    self._up.pause()
                return
        if self._held is not None:
            self._held.append(self._framed(data))
        elif complete and self._chunked and self._has_head:
            self._client.write(out + self._framed(data) + END)
            self._over(keep=reader.keep)
            return
        elif out or data:
            self._client.write(out + self._framed(data))
        if complete:
            self._complete(keep=reader.keep)

    def upstream_closed(self) -> None:
        """The provider closed its connection: for an answer without a length that is its end."""
        up = self._up
        if up is not None and up.reader.ends_with_connection:
            up.reader.is_complete, up.reader.pieces = True, []
            self.answered(up.reader)
        else:
            self.broken("upstream_cut")

    def broken(self, end: End, why: str = "the provider closed the connection without an answer") -> None:
        """One of the two sides went; the other one learns it as it would have without us between, and `why` where
        there was no answer yet.
        """
        if self._is_over:
            return
        if self._recording is not None:
            self._commit(end)
        if self._held is not None and end != "client_gone":
            self._end = False  # it was all there but the end of the framing
            return
        if end == "client_gone":
            self._over(keep=False)
        elif not self._has_head:
            self.fail(Refusal(502, "upstream", why))
        else:
            self._over(keep=False)
            self._client.close()

    def _head(self, reader: ResponseReader) -> bytes:
        self._has_head = True
        request, length = self._request, reader.length
        no_body = reader.status in (204, 304) or request.method == b"HEAD"
        self._chunked = length is None and not no_body and request.version != "1.0"
        request.keep = request.keep and (self._chunked or length is not None or no_body)
        if request.method == b"HEAD":
            reader.is_complete, reader.keep = True, False  # the parser would wait for a body
        if self._recording is not None:
            self._or_lose("NOT RECORDED", self._recording.begin, reader.status, reader.named)
        framing = b"Transfer-Encoding: chunked\r\n" if self._chunked else b""
        if length is not None:
            framing = b"Content-Length: %b\r\n" % length
        return response_head(reader.status, reader.reason, reader.headers, framing, keep=request.keep)

    def _framed(self, data: bytes) -> bytes:
        return chunk(data) if self._chunked else data

    def _complete(self, *, keep: bool) -> None:
        """Nothing more will come; what is held goes out first."""
        if self._held is None:
            self._over(keep=keep)
            return
        if self._chunked:
            self._held.append(END)
        self._end = True
        up, self._up = self._up, None
        if up is not None:
            up.give_back(keep=keep)

    def _over(self, *, keep: bool) -> None:
        """Leave both connections: the provider's for others when `keep`, else closed at once."""
        self._is_over = True
        self._held = None
        self._shared.flows.discard(self)
        if self._shared.on_quiet is not None and not self._shared.flows:
            self._shared.on_quiet()
        if self._up is not None:
            up, self._up = self._up, None
            up.give_back(keep=keep)
        self._client.finished(keep=self._request.keep)

    # ---------------------------------------------------------------- the record

    def _open(self, path: str, body: bytes) -> Pieces | None:
        """Begin the record; the body to send, None: as it came."""
        shared, headers = self._shared, words_of_identity(self._request.named)
        recording = self._or_lose("NOT RECORDED", Recording, path, headers, body, shared.histories, shared.clock)
        if recording is None:
            return None
        sent = None
        if path == _INJECTED and shared.inject is not None:
            encoding = headers.get("content-encoding", "")
            sent = self._or_lose("NOT INJECTED", recording.with_skills, shared.inject, encoding)
        if shared.journal is not None:
            self._recording = recording
            self._or_lose("NOT RECORDED", recording.seal, shared.histories, shared.spill)
        return sent

    def _or_lose(
        self,
        what: Literal["NOT RECORDED", "NOT INJECTED"],
        step: Callable[_Words, _Made],
        *words: _Words.args,
        **named: _Words.kwargs,
    ) -> _Made | None:
        """What a step beside the way of the request makes; None after a fault of ours in it, which is said. A request
        that loses its record by it is counted.
        """
        try:
            return step(*words, **named)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with us, the request goes on
            if what == "NOT RECORDED":
                if self._recording is not None and self._recording.aside is not None:
                    self._recording.aside.drop()
                self._recording = None
                self._shared.state.unrecorded += 1
            self._shared.complain(what, f"{type(error).__name__}: {error}")
            return None

    def _take_in(self, data: bytes, *, complete: bool) -> int | None:
        """Record a piece of the answer; from where on it waits until the record is safe."""
        recording = self._recording
        assert recording is not None
        split = self._or_lose("NOT RECORDED", recording.feed, data) if data else None
        if split is None and complete and self._recording is not None:
            if not recording.is_stream:
                return 0
            self._commit("upstream_cut")  # it ended without its last event
        return split

    def _commit(self, end: End | None = None) -> bool:
        """Write the record; `release` follows. False: there is none."""
        recording, self._recording = self._recording, None
        assert recording is not None
        self._since = self._shared.seconds()
        made = self._or_lose("NOT RECORDED", recording.closed, end)
        if made is None:
            if recording.aside is not None:
                recording.aside.drop()
            return False
        exchange, line, known = made
        self._shared.record(line, Ticket(self, exchange, recording.aside, known))
        return True

    def release(self) -> None:
        """The record is safe, or it is known that it will not be."""
        held, self._held = self._held, None
        if held is None or self._is_over:
            return
        self._client.write(b"".join(held))
        if self._end is None:
            if self._up is not None:
                self._up.resume()
            return
        if not self._end:
            self._request.keep = False
        self._over(keep=True)

    # ---------------------------------------------------------------- time and pressure

    def pause(self) -> None:
        if self._up is not None:
            self._up.pause()

    def resume(self) -> None:
        if self._up is not None and self._held is None:
            self._up.resume()

    def check(self, now: float) -> None:
        limits = self._shared.limits
        if self._held is not None and now - self._since > limits.commit:
            self._shared.complain("NOT RECORDED IN TIME", f"the journal takes more than {limits.commit:g} s")
            self.release()
        elif self._held is None and self._up is not None and now - self._up.heard > limits.silence:
            self.broken("upstream_cut", f"the provider said nothing for {limits.silence:g} s")
