"""One request of Codex, one answer: everything between the sockets and the model.

Owns whether a request is acceptable, which fault befalls it, what it costs, and the record of what
Codex really sent. Does not own sockets (`model_server.py`) or what the model says (`model.py`).
Invariant: a request is counted once and recorded once, before its answer leaves; the usage that is
recorded for a response id is the usage that the client was told.
"""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.identity import new_id
from armarius.testing.conversation import Conversation, read_request
from armarius.testing.events import (
    Event,
    broken_reply,
    completed_reply,
    failed_reply,
    incomplete_reply,
    output_text,
)
from armarius.testing.faults import Fault
from armarius.testing.reply import Reply
from armarius.thread import Usage

__all__ = ["Answer", "Exchanges", "Policy", "Record", "error_answer"]

Policy: TypeAlias = Callable[[Conversation], Reply]


class Answer(msgspec.Struct, frozen=True):
    """What to send: either one body, or a stream of events.

    `waits` come before the first byte and `pause` before every event. After the last event `then`
    says whether the stream is `ended` properly, the connection `cut`, or nothing more comes until
    the client goes (`held`). A `held` answer without events sends not even a status.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    events: tuple[bytes, ...] = ()
    then: str = "ended"
    pause: float = 0.0
    waits: tuple[float | str, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """A request as it came. `usage` is set when the client was told one."""

    ordinal: int
    headers: dict[str, str]
    body: bytes
    fault: str | None = None
    response_id: str | None = None
    usage: Usage | None = None

    def request(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Exchanges:
    """Answers requests, and remembers the newest of them.

    `faults` says which request, counted from 1, goes wrong; a prompt or a script may ask for more.
    """

    def __init__(self, policy: Policy, clock: Clock, faults: Mapping[int, Fault], keep: int) -> None:
        self._policy = policy
        self._clock = clock
        self._faults = dict(faults)
        self._lock = threading.Lock()  # connections have a thread each; these four are theirs together
        self._count = 0
        self._happened: Counter[tuple[str, str, str]] = Counter()
        self._records: deque[Record] = deque(maxlen=keep)
        self._usage: dict[str, Usage] = {}

    @property
    def count(self) -> int:
        """How many requests for a response came."""
        with self._lock:
            return self._count

    @property
    def records(self) -> list[Record]:
        """The newest requests, oldest first."""
        with self._lock:
            return list(self._records)

    @property
    def usage(self) -> dict[str, Usage]:
        """What each response id cost, by what the client was told."""
        with self._lock:
            return dict(self._usage)

    def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to `POST /v1/responses`."""
        with self._lock:
            self._count += 1
            ordinal = self._count
        try:
            conversation = read_request(body)
            reply = self._policy(conversation)
        except msgspec.MsgspecError as error:
            self._keep(Record(ordinal, headers, body, fault="400"))
            return error_answer(400, "invalid_request_error", "invalid_json", f"not a request: {error}")
        except DataError as error:
            self._keep(Record(ordinal, headers, body, fault="400"))
            return error_answer(400, "invalid_request_error", error.code, str(error))
        fault = self._faults.get(ordinal) or self._due(conversation, reply)
        response_id = new_id("resp", self._clock)
        usage = _cost(body, reply, conversation)
        told = usage if fault is None or fault.kind == "slow" else None
        kind = fault.kind if fault else None
        self._keep(Record(ordinal, headers, body, kind, response_id if told else None, told))
        return msgspec.structs.replace(
            self._rendered(reply, conversation, fault, response_id, usage), waits=reply.waits
        )

    def _keep(self, record: Record) -> None:
        with self._lock:
            self._records.append(record)
            if record.response_id and record.usage:
                self._usage[record.response_id] = record.usage

    def _due(self, conversation: Conversation, reply: Reply) -> Fault | None:
        """The reply's fault, unless it already happened as often as it was to."""
        fault = reply.fault
        if fault is None or fault.times is None:
            return fault
        where = (conversation.thread_id, reply.place, fault.kind)
        with self._lock:
            self._happened[where] += 1
            return fault if self._happened[where] <= fault.times else None

    def _rendered(
        self,
        reply: Reply,
        conversation: Conversation,
        fault: Fault | None,
        response_id: str,
        usage: Usage,
    ) -> Answer:
        now = self._clock.now_us() // 1_000_000
        whole = completed_reply(reply, conversation, response_id, now, usage)
        shown = _stream if conversation.streams else _plain
        if fault is None:
            return shown(whole)
        match fault.kind:
            case "slow":
                return msgspec.structs.replace(_stream(whole), pause=fault.seconds or _SLOW)
            case "cut":
                return _stream(broken_reply(reply, response_id, now), then="cut")
            case "stall":
                return _stream(broken_reply(reply, response_id, now), then="held")
            case "silence":
                return Answer(then="held")
            case "incomplete":
                return shown(incomplete_reply(reply, response_id, now))
            case "failed" | "context" | "quota":
                return shown(failed_reply(*_FAILURES[fault.kind], response_id, now))
            case _:
                return _refusal(fault, now)


_FAILURES = {
    "failed": ("server_error", "scripted failure"),
    "context": ("context_length_exceeded", "scripted: the input is longer than the context window"),
    "quota": ("insufficient_quota", "scripted: the quota is used up"),
}
_REFUSALS = {
    "400": ("invalid_request_error", "invalid_value", "scripted: bad request"),
    "401": ("invalid_request_error", "invalid_api_key", "scripted: incorrect API key"),
    "403": ("invalid_request_error", "forbidden", "scripted: not allowed"),
    "404": ("invalid_request_error", "model_not_found", "scripted: no such model"),
    "429": ("rate_limit_error", "rate_limit_exceeded", "scripted: too many requests"),
    "500": ("server_error", "server_error", "scripted: internal error"),
}
_LIMIT_SECONDS = 3_600
_SLOW = 0.05  # seconds between events: a response then takes about half a second


def error_answer(status: int, kind: str, code: str, message: str) -> Answer:
    """An error in the shape Codex reads."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Answer(status, json.dumps({"error": error}).encode())


def _refusal(fault: Fault, now: int) -> Answer:
    if fault.kind == "usage-limit":
        limit = {
            "type": "usage_limit_reached",
            "message": "scripted: the usage limit has been reached",
            "plan_type": "plus",
            "resets_at": now + _LIMIT_SECONDS,
            "resets_in_seconds": _LIMIT_SECONDS,
        }
        return Answer(429, json.dumps({"error": limit}).encode())
    refusal = error_answer(int(fault.kind), *_REFUSALS[fault.kind])
    if fault.seconds is None:
        return refusal
    return msgspec.structs.replace(refusal, headers=(("Retry-After", f"{fault.seconds:g}"),))


def _stream(events: list[Event], then: str = "ended") -> Answer:
    encode = msgspec.json.encode
    return Answer(
        events=tuple(f"event: {event['type']}\ndata: ".encode() + encode(event) + b"\n\n" for event in events),
        then=then,
    )


def _plain(events: list[Event]) -> Answer:
    """What a stream would have ended with, for a client that asked for no stream."""
    return Answer(body=msgspec.json.encode(events[-1]["response"]))


def _cost(body: bytes, reply: Reply, conversation: Conversation) -> Usage:
    """Tokens at four bytes each, so that every request costs something else.

    Half of a conversation that goes on counts as cached, as if its beginning had been seen before.
    """
    everything, reasoning = output_text(reply)
    tokens = -(-len(body) // 4)
    return Usage(
        input=tokens,
        cached_input=tokens // 2 if conversation.continued else 0,
        output=max(1, -(-len(everything.encode()) // 4)),
        reasoning=len(reasoning.encode()) // 4,
    )
