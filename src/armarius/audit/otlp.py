"""Spans in OpenTelemetry's protocol, as JSON.

Owns the form: that of its file exporter, one request a line. Does not own the spans, nor sending them (`otlp_post`).
Invariant: pure; the same spans give the same bytes. Ids are hexadecimal and whole numbers are text, as the protocol
has it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from armarius import __version__
from armarius.audit.traces import Span, Value

__all__ = ["RESOURCE", "SCOPE", "as_line", "in_requests", "is_whole"]

RESOURCE: Final = {"service.name": "armarius", "service.version": __version__}
SCOPE: Final = "armarius.audit"
_ERROR: Final = 2
_BEYOND: Final = 1 << 63
_MOST_SPANS: Final = 500
_MOST_BYTES: Final = 2 << 20


def in_requests(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """As many as go together: collectors take a few megabytes at once."""
    batch, size = list[Span](), 0
    for span in spans:
        weight = sum(len(str(value)) for value in span.attributes.values())
        if batch and (len(batch) == _MOST_SPANS or size + weight > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += weight
    if batch:
        yield batch


def as_line(spans: Iterable[Span]) -> bytes:
    """One request, and a line feed."""
    scope = {"name": SCOPE, "version": __version__}
    told = {"scope": scope, "spans": [_span(span) for span in spans]}
    whole = {"resourceSpans": [{"resource": {"attributes": _attributes(RESOURCE)}, "scopeSpans": [told]}]}
    return msgspec.json.encode(whole) + b"\n"


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_us * 1_000),
        "endTimeUnixNano": str(span.end_us * 1_000),
        "attributes": _attributes(span.attributes),
    }
    if span.error is not None:
        told["status"] = {"code": _ERROR, "message": span.error}
    return told


def is_whole(value: Value) -> bool:
    """Whether a value goes out as a number: the protocol's have 64 bits, and a stream may say anything."""
    return isinstance(value, int) and -_BEYOND <= value < _BEYOND


def _attributes(values: dict[str, Value] | dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(value)} if is_whole(value) else {"stringValue": str(value)}}
        for name, value in values.items()
    ]
