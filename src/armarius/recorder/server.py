"""The recorder's sockets: clients on one side, the provider on the other.

Owns every connection, its time limits and its end. Does not own what goes over it (flow.py).
Invariant: a client that goes takes its connection to the provider along at once; what one side sends faster
than the other one reads is not taken in.
"""

import asyncio
import contextlib
import errno
import signal
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from armarius.clock import Clock
from armarius.errors import HostError
from armarius.recorder.access import Gate, Listen, Refusal, Route, Upstream, forwarded_target
from armarius.recorder.asking import STATUS_PATH
from armarius.recorder.callback import CALLBACK_PATH, LARGEST_CALL
from armarius.recorder.descriptors import allow_descriptors
from armarius.recorder.flow import Flow, Shared, Ticket
from armarius.recorder.heap import give_back
from armarius.recorder.history import Pieces
from armarius.recorder.journal import Journal, Place, why_unwritable
from armarius.recorder.reach import reach
from armarius.recorder.readers import (
    Arriving,
    Limits,
    Request,
    RequestReader,
    ResponseReader,
    Unacceptable,
    Unreadable,
)
from armarius.recorder.spill import Spill
from armarius.recorder.state import ProxyState
from armarius.recorder.team import Team
from armarius.recorder.tls import trusting, why_not
from armarius.recorder.wire import own_answer, refusal_answer

__all__ = ["Serving", "run_proxy", "serve"]

_SWEEP_S = 1.0
_GRACE_S = 10.0
_MUCH = 4 << 20
_OWN_FILES = 256


class _Proxy:
    """The connections of one server."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop, team: Team) -> None:
        self.shared, self.loop, self.team = shared, loop, team
        self.arriving = Arriving()
        self.downs = set[_Down]()
        self.idle = dict[Upstream, list[_Up]]()
        self._tasks = set[asyncio.Task[None]]()
        self._tls: ssl.SSLContext | None = None

    def send(self, upstream: Upstream, flow: Flow, data: Pieces) -> None:
        """Send a request on a connection that is free, or on a new one."""
        idle = self.idle.get(upstream)
        while idle:
            up = idle.pop()
            if not up.transport.is_closing():
                up.carry(flow, data)
                return
        task = self.loop.create_task(self._connect(upstream, flow, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, upstream: Upstream, flow: Flow, data: Pieces) -> None:
        if upstream.scheme == "https" and self._tls is None:
            self._tls = trusting()
        tls = self._tls if upstream.scheme == "https" else None
        connecting = reach(lambda: _Up(self, upstream), upstream.host, upstream.port, tls)
        try:
            up = await asyncio.wait_for(connecting, self.shared.limits.connect)
        except (OSError, TimeoutError) as error:
            if not flow.is_over:
                flow.fail(Refusal(502, "upstream", f"cannot reach {upstream.url}: {why_not(error)}"))
            return
        if flow.is_over:
            up.transport.abort()
        else:
            up.carry(flow, data)

    def safe(self, tickets: list[Ticket], places: list[Place] | None) -> None:
        """From the journal's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.shared.settled, tickets, places)

    def sweep(self) -> None:
        """Look at the clock for all connections at once; a timer for each would cost more than they do."""
        now = self.loop.time()
        for down in list(self.downs):
            down.check(now)
        for flow in list(self.shared.flows):
            flow.check(now)
        for up in [up for idle in self.idle.values() for up in idle]:
            up.check(now)
        if self.shared.taken_in > _MUCH:
            self.shared.taken_in = 0
            give_back()
        self.loop.call_later(_SWEEP_S, self.sweep)

    async def drain(self) -> None:
        """Let answers end that are on their way, and end those that do not."""
        for down in list(self.downs):
            if down.flow is None:
                down.close()
        ended = asyncio.Event()
        self.shared.on_quiet = ended.set
        if self.shared.flows:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _GRACE_S)
        for flow in list(self.shared.flows):
            flow.broken("cancelled")
        for up in [up for idle in self.idle.values() for up in idle]:
            up.transport.abort()
        for down in list(self.downs):
            down.close()
        for _ in range(3):  # what was deferred still goes to the journal
            await asyncio.sleep(0)

    def status(self) -> ProxyState:
        state = self.shared.state
        state.active = len(self.shared.flows)
        state.connections = len(self.downs)
        state.journal = self.shared.journal.state if self.shared.journal else None
        self.team.describe(state)
        return state

    def refusal(self, method: bytes, target: bytes, headers: dict[bytes, bytes]) -> Refusal | None:
        """Why a request may not pass. A call of the service has a signature in place of the token."""
        is_call = target == CALLBACK_PATH and method == b"POST" and self.team.calls is not None
        if is_call and (b"transfer-encoding" in headers or int(headers.get(b"content-length", b"0")) > LARGEST_CALL):
            return Refusal(413, "size", f"a call says its length, and has at most {LARGEST_CALL:,} bytes")
        return self.shared.gate.refusal(method, target, headers, is_signed=is_call)

    def called(self, peer: str, request: Request) -> Refusal | None:
        """Take in a call of the service: there are new skills."""
        team = self.team
        if team.calls is None or team.pull is None:
            return Refusal(404, "path", "only what lies below /v1 is forwarded")
        refusal = team.calls.refusal(peer, request.named, request.body)
        if refusal is None:
            team.pull()
        return refusal


class _Down(asyncio.Protocol):
    """A client's connection: its requests one after the other."""

    __slots__ = ("_proxy", "_reader", "_since", "_waiting", "flow", "transport")

    transport: asyncio.Transport

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self._reader = RequestReader(proxy.shared.limits, proxy.refusal, proxy.arriving)
        self._waiting = list[Request]()
        self._since = proxy.loop.time()
        self.flow: Flow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's, as of every server
        self._proxy.downs.add(self)
        if len(self._proxy.downs) > self._proxy.shared.limits.connections:
            self._refuse(Refusal(503, "busy", "too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._proxy.downs.discard(self)
        self._waiting.clear()
        self._reader.close()
        if self.flow is not None:
            self.flow.broken("client_gone")

    def data_received(self, data: bytes) -> None:
        if not self._reader.is_within:
            self._since = self._proxy.loop.time()
        try:
            self._waiting += self._reader.feed(data)
        except Unacceptable as error:
            self._refuse(error.refusal)
            return
        if self._reader.expects:
            self._reader.expects = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.flow is None:
            self._next()
        elif self._waiting:
            self.transport.pause_reading()  # it sends ahead; its turn comes

    def _refuse(self, refusal: Refusal) -> None:
        self._proxy.shared.state.refused += 1
        if self.flow is None:
            self.transport.write(refusal_answer(refusal))
            self.transport.close()
        else:  # in the middle of an answer there is no place for another
            self.transport.abort()

    def _next(self) -> None:
        while self._waiting and self.flow is None and not self.transport.is_closing():
            request = self._waiting.pop(0)
            if request.target == STATUS_PATH and request.method == b"GET":
                self.transport.write(own_answer(200, msgspec.json.encode(self._proxy.status()), keep=True))
                continue
            if request.target == CALLBACK_PATH and request.method == b"POST":
                refusal = self._proxy.called(str(self.transport.get_extra_info("peername")[0]), request)
                if refusal is not None:
                    self._refuse(refusal)
                    return
                self.transport.write(own_answer(202, b'{"reload":"accepted"}', keep=True))
                continue
            upstream = self._proxy.shared.route.of(request.named)
            target = forwarded_target(request.target, upstream)
            if target is None:
                self._refuse(Refusal(404, "path", "only what lies below /v1 is forwarded"))
                return
            self._proxy.shared.state.requests += 1
            self.flow = Flow(self._proxy.shared, self, request)
            self._proxy.send(upstream, self.flow, self.flow.begin(upstream, target))

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def finished(self, *, keep: bool) -> None:
        """The answer is complete."""
        self.flow = None
        self._since = self._proxy.loop.time()
        if not keep:
            self.transport.close()
            return
        if self._waiting:
            self._next()
        if not self._waiting:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        if self.flow is not None:
            self.flow.resume()

    def check(self, now: float) -> None:
        limits = self._proxy.shared.limits
        if self.flow is None and now - self._since > (limits.request if self._reader.is_within else limits.idle):
            self.transport.abort()


class _Up(asyncio.Protocol):
    """A connection to the provider, which carries one exchange after the other."""

    __slots__ = ("_proxy", "_upstream", "flow", "heard", "reader", "transport")

    transport: asyncio.Transport

    def __init__(self, proxy: _Proxy, upstream: Upstream) -> None:
        self._proxy = proxy
        self._upstream = upstream
        self.reader = ResponseReader(proxy.shared.limits)
        self.flow: Flow | None = None
        self.heard = proxy.loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        idle = self._proxy.idle.get(self._upstream, [])
        if self in idle:
            idle.remove(self)
        if self.flow is not None:
            self.flow.upstream_closed()

    def data_received(self, data: bytes) -> None:
        self.heard = self._proxy.loop.time()
        if self.flow is None:
            self.transport.abort()  # nobody asked
            return
        try:
            self.reader.feed(data)
        except Unreadable as error:
            flow = self.flow
            flow.answered(self.reader)  # what came before it is as good as ever
            flow.broken("upstream_cut", f"the provider's answer cannot be read: {error}")
            return
        self.flow.answered(self.reader)

    def carry(self, flow: Flow, data: Pieces) -> None:
        """Send a request, whose answer is for `flow`."""
        self.flow = flow
        self.heard = self._proxy.loop.time()
        self.reader.expect()
        flow.sent(self)
        self.transport.writelines(data)

    def check(self, now: float) -> None:
        """Leave a connection that nobody has needed for long: what lies between may have forgotten it already."""
        if now - self.heard > self._proxy.shared.limits.free:
            self.transport.abort()

    def pause(self) -> None:
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    def give_back(self, *, keep: bool) -> None:
        """The exchange is over; the connection serves the next one if both sides want that."""
        self.flow = None
        if keep and not self.transport.is_closing():
            self._proxy.idle.setdefault(self._upstream, []).append(self)
        else:
            self.transport.abort()


class Serving(msgspec.Struct, frozen=True):
    """What to serve. `journal` None: nothing is recorded. `say` gets lines for people, `ready` the first state."""

    listen: Listen
    token: str
    clock: Clock
    say: Callable[[str], None]
    ready: Callable[[ProxyState], None]
    journal: Path | None = None
    route: Route = Route()
    limits: Limits = Limits()
    team: Team = msgspec.field(default_factory=Team)


async def serve(serving: Serving, stop: "asyncio.Event") -> None:
    """Serve until `stop`; then answers that are on their way get some seconds to end."""
    listen = serving.listen
    loop = asyncio.get_running_loop()
    proxy: _Proxy | None = None
    try:
        server = await loop.create_server(lambda: _Down(_there(proxy)), listen.host, listen.port, backlog=1024)
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise HostError("port", f"{listen.host}:{listen.port} {reason}", "choose another with --listen") from error
    listen = msgspec.structs.replace(listen, port=server.sockets[0].getsockname()[1])
    shared = Shared(
        gate=Gate.of(listen, serving.token),
        route=serving.route,
        limits=serving.limits,
        clock=serving.clock,
        seconds=loop.time,
        # The loop sends what was written after what was called soon; hence twice.
        defer=partial(loop.call_soon, loop.call_soon),
        say=serving.say,
    )
    shared.state.listen = listen.url
    shared.inject, shared.sinks = serving.team.inject, serving.team.sinks
    proxy = _Proxy(shared, loop, serving.team)
    with contextlib.ExitStack() as stack:
        if serving.journal is not None:
            shared.spill = stack.enter_context(Spill(serving.journal))
            shared.journal = stack.enter_context(Journal(serving.journal, serving.clock, proxy.safe))
            if (trouble := why_unwritable(serving.journal)) is not None:
                shared.complain("NOT RECORDING", trouble)
        proxy.sweep()
        serving.ready(proxy.status())
        await stop.wait()
        server.close()
        await proxy.drain()


def _there(proxy: _Proxy | None) -> _Proxy:
    assert proxy is not None  # connections are taken in by the loop, which is busy until there is one
    return proxy


def run_proxy(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT."""

    async def until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(serving, stop)

    allow_descriptors(2 * serving.limits.connections + _OWN_FILES)
    uvloop.run(until_signal())
