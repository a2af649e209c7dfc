"""Spans sent to a collector: OTLP over HTTP, as protobuf.

Owns the connection and what an answer means. Does not own the spans.
Invariant: they go to the one address that was named, and no redirect is followed; what the caller's headers hold is
in no error, and goes nowhere unencrypted but to this machine. What the collector did not take is an error.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from armarius import __version__
from armarius.audit.otlp import RESOURCE, SCOPE, is_whole
from armarius.audit.traces import CLIENT, INTERNAL, Span, Value
from armarius.errors import HostError, Refused, UsageError
from armarius.redact import redact

__all__ = ["Collector"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN: Final = frozenset({429, 502, 503, 504})
_TRIES: Final = 3
_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_LARGEST: Final = 1 << 20
_KINDS: Final = {INTERNAL: Message.SPAN_KIND_INTERNAL, CLIENT: Message.SPAN_KIND_CLIENT}


class Collector:
    """An address that takes traces; `/v1/traces` is added where it names no path."""

    def __init__(self, url: str, headers: Mapping[str, str], *, wait: Callable[[float], object] = time.sleep) -> None:
        self._url = _checked(url, headers)
        self._headers = dict(headers)
        self._wait = wait

    @property
    def address(self) -> str:
        """As reports and errors have it."""
        return redact(self._url.geturl())

    def send(self, spans: Iterable[Span]) -> None:
        """Hand over one request; HostError or Refused when it was not taken."""
        body = _request(spans).SerializeToString()
        for number in range(1, _TRIES + 1):
            status, after, answer = self._once(body)
            if status == http.HTTPStatus.OK:
                self._all_taken(answer)
                return
            if 300 <= status < 400:  # noqa: PLR2004  # the class of redirects
                hint = "name the address itself; none is followed"
                raise Refused("redirect", f"{self.address} sends us elsewhere ({status})", hint)
            if status not in _AGAIN or number == _TRIES:
                hint = "check the address and the headers; a second export repeats nothing"
                raise HostError("collector", f"{self.address} answered {status}", hint)
            self._wait(min(after if after is not None else _PAUSE_S * number, _LONGEST_PAUSE_S))
        raise AssertionError("the last try returns or raises")

    def _all_taken(self, answer: bytes) -> None:
        try:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
        except DecodeError as error:
            hint = "is it a collector that speaks OTLP over HTTP?"
            raise HostError("collector", f"{self.address} answered something else than OTLP", hint) from error
        if partial.rejected_spans:
            said = redact(partial.error_message[:300])
            message = f"{self.address} refused {partial.rejected_spans} spans: {said}"
            raise HostError("collector", message, "see the collector's own log")

    def _once(self, body: bytes) -> tuple[int, float | None, bytes]:
        """Status, what Retry-After says in seconds, and the body."""
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        path = self._url.path if self._url.path.strip("/") else "/v1/traces"
        try:
            connection.request("POST", path, body, self._headers | {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            after = response.getheader("Retry-After", "")
            return response.status, float(after) if after.isdigit() else None, response.read(_LARGEST)
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = redact(str(error)) or type(error).__name__
            raise HostError("collector", f"no answer from {self.address}: {said}", "does it run there?") from None
        finally:
            connection.close()


def _checked(url: str, headers: Mapping[str, str]) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError("collector", f"--to {redact(url)!r}: {error}", "write e.g. http://127.0.0.1:4318") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        hint = "write e.g. http://127.0.0.1:4318; what proves who you are belongs into --headers"
        raise UsageError("collector", f"--to {redact(url)!r} is no address of a collector", hint)
    if headers and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Refused("collector-plain", f"{redact(url)} would get your headers unencrypted", "use https")
    return parts


def _request(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    whole = request.resource_spans.add()
    whole.resource.attributes.extend(_attributes(RESOURCE))
    scope = whole.scope_spans.add()
    scope.scope.name, scope.scope.version = SCOPE, __version__
    for span in spans:
        message = Message(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id),
            name=span.name,
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.start_us * 1_000,
            end_time_unix_nano=span.end_us * 1_000,
            attributes=_attributes(span.attributes),
        )
        if span.error is not None:
            message.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=span.error))
        scope.spans.append(message)
    return request


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [
        KeyValue(
            key=name,
            value=AnyValue(int_value=int(value)) if is_whole(value) else AnyValue(string_value=str(value)),
        )
        for name, value in values.items()
    ]
