"""A recorded run as a trace, by OpenTelemetry's conventions for generative AI.

Owns which spans there are, their ids, names and attributes. Does not own how they travel (`otlp`, `otlp_post`).
Invariant: pure. Ids follow from the content of the stream, so that a second export says the same again. Secrets are
replaced; what was said, asked of tools and answered by them is left out unless it is asked for. A stream has no
times: spans keep the order of its lines, a microsecond apart, up to when it was taken in, and `armarius.times` says so.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from armarius.audit.stream_report import RunReport
from armarius.audit.streams import StreamRow
from armarius.thread import Command, FileChange, Item, ItemStatus, StreamSpot, Thread, ToolCall, Turn, Usage

__all__ = ["CLIENT", "INTERNAL", "Span", "Value", "spans_of"]

Value: TypeAlias = str | int
INTERNAL: Final = 1
CLIENT: Final = 3
_LONGEST: Final = 16_000
_BAD: Final = frozenset({ItemStatus.FAILED, ItemStatus.DECLINED})


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. Ids are hexadecimal; `error` is why it failed, when it did."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_us: int
    end_us: int
    attributes: dict[str, Value]
    error: str | None = None


def spans_of(stream: StreamRow, report: RunReport, thread: Thread, *, content: bool) -> Iterator[Span]:
    """The agent's invocation, and below it each turn's talk with the model and each call of a tool.

    `thread` is without secrets; that of a run whose bytes are gone is empty, and so is what is below.
    """
    trace = _id(f"{stream.sha256}/{report.number}", 32)
    root = _id(f"{trace}/agent", 16)
    places = [_line(item) for turn in thread.turns for item in turn.items]
    first, last = min(places, default=1) - 1, max(places, default=1)
    times = _Times(stream.ingested_at_us, last + 1)
    about: dict[str, Value | None] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "codex",
        "gen_ai.conversation.id": report.thread_id or None,
        "gen_ai.request.model": report.model,
        **_tokens(report.usage),
        "error.type": report.status if report.status == "failed" else None,
        "armarius.stream": stream.id,
        "armarius.stream.sha256": stream.sha256,
        "armarius.run": report.number,
        "armarius.status": report.status,
        "armarius.verdict": report.verdict.outcome if report.verdict else None,
        "armarius.cost_micro_usd": report.cost_micro_usd,
        "armarius.times": "order",
        **{f"armarius.{name}": getattr(report.labels, name) for name in report.labels.__struct_fields__},
    }
    if content and report.last_message:
        said = [{"role": "assistant", "parts": [{"type": "text", "content": _short(report.last_message)}]}]
        about["gen_ai.output.messages"] = msgspec.json.encode(said).decode()
    failed = (report.error or "failed") if report.status == "failed" else None
    span = Span(
        trace_id=trace,
        span_id=root,
        parent_id="",
        name="invoke_agent codex",
        kind=INTERNAL,
        start_us=times.at(first),
        end_us=times.at(last + 1),
        attributes=_known(about),
        error=failed,
    )
    yield span
    before = _less(thread.usage, report.usage)  # of a thread that was resumed: what earlier runs have spent
    for number, turn in enumerate(thread.turns, start=1):
        spent = _less(_spent(thread, turn), before) if number == 1 else _spent(thread, turn)
        yield from _turn(span, times, number, turn, spent)
        for item in turn.items:
            if isinstance(item, Command | FileChange | ToolCall):
                yield _tool(span, times, number, item, content=content)


class _Times(msgspec.Struct, frozen=True):
    """When a line was, as far as the order goes: the last one when the stream was taken in."""

    ingested_us: int
    last: int

    def at(self, line: int) -> int:
        return self.ingested_us - (self.last - line)


def _turn(root: Span, times: _Times, number: int, turn: Turn, spent: Usage) -> Iterator[Span]:
    """The talk with the model in one turn: a stream counts its tokens together."""
    if not spent.total:
        return
    lines = [_line(item) for item in turn.items] or [1]
    named = turn.model or root.attributes.get("gen_ai.request.model")
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": root.attributes.get("gen_ai.conversation.id"),
        "gen_ai.request.model": named,
        "error.type": turn.state.value if turn.error else None,
        "armarius.turn": number,
        **_tokens(spent),
    }
    yield Span(
        trace_id=root.trace_id,
        span_id=_id(f"{root.trace_id}/chat/{number}", 16),
        parent_id=root.span_id,
        name=f"chat {named}" if named else "chat",
        kind=CLIENT,
        start_us=times.at(min(lines) - 1),
        end_us=times.at(max(lines)),
        attributes=_known(about),
        error=turn.error,
    )


def _tool(root: Span, times: _Times, number: int, item: Command | FileChange | ToolCall, *, content: bool) -> Span:
    name, asked, answered = _call(item)
    code = item.exit_code if isinstance(item, Command) else None
    status = item.status if not isinstance(item, ToolCall) else ItemStatus.COMPLETED
    failed = f"exit code {code}" if code else status.value if status in _BAD else None
    about: dict[str, Value | None] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": root.attributes.get("gen_ai.conversation.id"),
        "gen_ai.tool.name": name,
        "gen_ai.tool.type": "extension" if name == "web_search" else "function",
        "gen_ai.tool.call.id": item.id or None,
        "process.exit.code": code,
        "error.type": "exit_code" if code else failed,
        "armarius.turn": number,
    }
    if content:
        about |= {"gen_ai.tool.call.arguments": _short(asked), "gen_ai.tool.call.result": _short(answered)}
    line = _line(item)
    return Span(
        trace_id=root.trace_id,
        span_id=_id(f"{root.trace_id}/tool/{line}/{item.id}", 16),
        parent_id=root.span_id,
        name=f"execute_tool {name}",
        kind=INTERNAL,
        start_us=times.at(line),
        end_us=times.at(line) + max(item.duration_us or 0, 0) if isinstance(item, Command) else times.at(line),
        attributes=_known(about),
        error=failed,
    )


def _call(item: Command | FileChange | ToolCall) -> tuple[str, str, str]:
    """A tool's name, what it was asked, what it answered."""
    match item:
        case Command():
            return "shell", msgspec.json.encode({"command": item.command}).decode(), item.output
        case FileChange():
            changes = [{"path": change.path, "kind": change.kind} for change in item.changes]
            return "apply_patch", msgspec.json.encode({"changes": changes}).decode(), item.status.value
        case ToolCall():
            return item.name or "unknown", item.arguments, item.output or ""


def _tokens(usage: Usage) -> dict[str, Value | None]:
    return {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }


def _spent(thread: Thread, turn: Turn) -> Usage:
    return sum((each.usage for each in thread.responses if each.turn_id == turn.id), Usage())


def _less(usage: Usage, other: Usage) -> Usage:
    counts = zip(msgspec.structs.astuple(usage), msgspec.structs.astuple(other), strict=True)
    return Usage(*(max(one - two, 0) for one, two in counts))


def _known(about: dict[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in about.items() if value is not None and value != ""}


def _line(item: Item) -> int:
    return item.spot.line if isinstance(item.spot, StreamSpot) else 1


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _id(name: str, length: int) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:length]
