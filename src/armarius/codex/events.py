"""What `codex exec --json` printed, as typed values.

Owns every quirk of the stream. Does not own the rollout that the same run may have written.
Invariant: only `turn.completed` and `turn.failed` end a turn. An error event does not, a process
that exited does not: a run that was interrupted or killed has no final event and is never taken
for a success. What the stream does not show may still have happened: a command can be missing.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from armarius.thread import (
    AgentMessage,
    BadLine,
    Command,
    FileChange,
    Item,
    ItemStatus,
    Notice,
    Other,
    PathChange,
    Reasoning,
    StreamSpot,
    ToolCall,
    TurnState,
    Usage,
)

__all__ = ["END_OF_TURN", "LOGIN_REFUSED", "OTHER_THREAD", "Stream", "event_of", "fold", "read_stream", "stops_of"]

LOGIN_REFUSED = "login-refused"
OTHER_THREAD = "other-thread"

END_OF_TURN = r'\{"type":"turn\.(?:completed|failed)"'
"""The line after which codex ends. 0.163 was seen, rarely, to use a processor without end instead."""

_MOST_TOKENS = 1 << 48

_RETRY_OF_LOGIN = r'\{"type":"error","message":"Reconnecting[^"]*unexpected status 40[13]\b'


class Stream(msgspec.Struct, frozen=True):
    """One `exec --json` stream.

    `state` is OPEN when no final event was seen. `usage` is the thread's running total, which is
    this run's own only on a fresh thread. `repeated` counts messages that a retry emitted again. `wider` is
    what Codex would have allowed beyond what was asked for, when that was seen before the turn.
    """

    thread_id: str | None = None
    state: TurnState = TurnState.OPEN
    error: str | None = None
    items: tuple[Item, ...] = ()
    usage: Usage | None = None
    repeated: int = 0
    unknown: dict[str, int] = {}
    bad_lines: tuple[BadLine, ...] = ()
    wider: str = ""

    @property
    def final_message(self) -> str | None:
        """The last thing the agent said, which is its answer once the turn is completed."""
        said = [item.text for item in self.items if isinstance(item, AgentMessage)]
        return said[-1] if said else None

    @property
    def commands(self) -> tuple[Command, ...]:
        return tuple(item for item in self.items if isinstance(item, Command))

    @property
    def notices(self) -> tuple[Notice, ...]:
        return tuple(item for item in self.items if isinstance(item, Notice))


def stops_of(resumed: str | None) -> tuple[tuple[str, str], ...]:
    """The lines at which to end codex, as patterns: it would go on in vain, or in another thread.

    Codex tries a login that was refused five times more, and starts a new thread, silently, when a
    name that it is to resume does not exist. Only whole events match: an agent's words are inside one.
    """
    stops = ((LOGIN_REFUSED, _RETRY_OF_LOGIN),)
    if resumed is None:
        return stops
    other = rf'\{{"type":"thread\.started","thread_id":"(?!{re.escape(resumed)}")'
    return (*stops, (OTHER_THREAD, other))


def read_stream(path: Path) -> Stream:
    """The stream that a run wrote to `path`, as far as it got."""
    with path.open("rb") as file:
        return fold(file, name=str(path))


def fold(lines: Iterable[bytes], *, name: str, number: int = 1, byte: int = 0) -> Stream:
    """Lines of a stream -> its value. A last line without its newline is still being written.

    The first of them is line `number` of the stream and begins at `byte`.
    """
    reader = _Reader(name)
    for place, line in enumerate(lines, start=number):
        if line.endswith(b"\n") and line.strip():
            reader.take(line, place, byte)
        byte += len(line)
    return reader.value()


def event_of(line: bytes) -> dict[str, Any]:
    """A line as its object; what is none is kept as text."""
    try:
        return _decode_part(line)
    except _UNREADABLE:
        return {"type": "unreadable", "text": line.decode(errors="replace").rstrip("\n")}


class _Event(msgspec.Struct):
    """A line. Its parts are decoded apart, so that an odd one cannot hide that a turn ended."""

    type: str
    thread_id: str | None = None
    message: str | None = None
    item: msgspec.Raw = msgspec.Raw(b"{}")
    usage: msgspec.Raw = msgspec.Raw(b"{}")
    error: msgspec.Raw = msgspec.Raw(b"{}")


class _Change(msgspec.Struct):
    path: str
    kind: str


class _Item(msgspec.Struct):
    """The fields of every kind of item; `item_type` is what `type` was called in the first versions."""

    id: str = ""
    type: str = ""
    item_type: str = ""
    status: str = ""
    text: str = ""
    message: str = ""
    command: str = ""
    aggregated_output: str = ""
    exit_code: int | None = None
    changes: tuple[_Change, ...] = ()
    tool: str = ""
    query: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_part = msgspec.json.Decoder(dict[str, Any]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Reader:
    """The state of one pass over a stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.thread_id: str | None = None
        self.state = TurnState.OPEN
        self.error: str | None = None
        self.items: dict[str, Item] = {}
        self.usage: Usage | None = None
        self.repeated = 0
        self.expected: list[AgentMessage | Reasoning] = []
        self.unknown: dict[str, int] = {}
        self.bad_lines: list[BadLine] = []
        self.wider = ""

    def take(self, line: bytes, number: int, byte: int) -> None:
        try:
            self._event(_decode(line), StreamSpot(self.name, number))
        except _UNREADABLE as error:
            self.bad_lines.append(BadLine(self.name, number, byte, str(error)))

    def _event(self, event: _Event, spot: StreamSpot) -> None:
        match event.type:
            case "thread.started":
                self.thread_id = event.thread_id
            case "turn.started":
                # A goal continues in a new turn: the end that counts is the last one's.
                self.state, self.error = TurnState.OPEN, None
            case "turn.completed":
                self._end(TurnState.COMPLETED)
                self.usage = _usage(event.usage)
            case "turn.failed":
                self._end(TurnState.FAILED)
                self.error = _failure(event.error)
            case "error":
                self.expected = self._said_last()
                identity = f"notice_{spot.line}"
                self.items[identity] = Notice(identity, event.message or "", spot)
            case "item.started" | "item.updated" | "item.completed":
                self._item(_item_of(bytes(event.item), spot))
            case "permissions.wider":
                self.wider = event.message or "more than was asked for"
            case "approval.requested" | "approval.answered" | "approval.gone" | "turn.steered":
                pass  # `orders.py` keeps what was asked and said
            case other:
                self._count(other)

    def _end(self, state: TurnState) -> None:
        """Of what still runs then nobody will hear again: 0.118 to 0.144 show no end of any command."""
        self.state = state
        for item in self.items.values():
            if isinstance(item, Command | FileChange) and item.status is ItemStatus.IN_PROGRESS:
                self.items[item.id] = msgspec.structs.replace(item, status=ItemStatus.UNKNOWN)

    def _item(self, item: Item) -> None:
        if isinstance(item, Other):
            self._count(f"item:{item.kind}")
        if isinstance(item, AgentMessage | Reasoning) and self._is_repeated(item):
            self.repeated += 1
        else:
            self.items[item.id] = item

    def _said_last(self) -> list[AgentMessage | Reasoning]:
        """What was said since the last command or other deed, oldest first."""
        said = list[AgentMessage | Reasoning]()
        for item in reversed(self.items.values()):
            if isinstance(item, AgentMessage | Reasoning):
                said.insert(0, item)
            elif not isinstance(item, Notice):
                break
        return said

    def _is_repeated(self, item: AgentMessage | Reasoning) -> bool:
        """After a retry Codex emits what it had already emitted, in the same order under new ids."""
        again = self.expected.pop(0) if self.expected else None
        if type(again) is type(item) and again is not None and again.text == item.text:
            return True
        self.expected = []
        return False

    def _count(self, kind: str) -> None:
        self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def value(self) -> Stream:
        return Stream(
            thread_id=self.thread_id,
            state=self.state,
            error=self.error,
            items=tuple(self.items.values()),
            usage=self.usage,
            repeated=self.repeated,
            unknown=self.unknown,
            bad_lines=tuple(self.bad_lines),
            wider=self.wider,
        )


def _item_of(raw: bytes, spot: StreamSpot) -> Item:
    try:
        item = _decode_item(raw)
    except msgspec.ValidationError:  # JSON, and not as this kind was known
        part = _part(raw)
        return Other(f"line_{spot.line}", str(part.get("type", "no object")), raw, spot)
    identity = item.id or f"line_{spot.line}"
    match kind := item.type or item.item_type:
        case "agent_message" | "assistant_message":
            return AgentMessage(identity, item.text, spot)
        case "reasoning":
            return Reasoning(identity, item.text, spot)
        case "command_execution":
            return Command(
                identity,
                item.command,
                spot,
                status=_status(item.status),
                exit_code=item.exit_code,
                output=item.aggregated_output,
            )
        case "file_change":
            changes = tuple(PathChange(change.path, change.kind) for change in item.changes)
            return FileChange(identity, changes, spot, status=_status(item.status))
        case "collab_tool_call" | "mcp_tool_call" | "web_search":
            return ToolCall(identity, item.tool or item.query or kind, raw.decode(), spot)
        case "error":
            return Notice(identity, item.message, spot)
        case _:
            return Other(identity, kind, raw, spot)


def _status(text: str) -> ItemStatus:
    try:
        return ItemStatus(text)
    except ValueError:
        return ItemStatus.UNKNOWN


def _part(raw: "bytes | msgspec.Raw") -> dict[str, Any]:
    try:
        return _decode_part(raw)
    except _UNREADABLE:
        return {}


def _failure(raw: msgspec.Raw) -> str:
    return str(_part(raw).get("message") or "no reason given")


def _usage(raw: msgspec.Raw) -> Usage:
    told = {name: count for name, count in _part(raw).items() if isinstance(count, int) and 0 <= count <= _MOST_TOKENS}
    return Usage(
        input=told.get("input_tokens", 0),
        cached_input=told.get("cached_input_tokens", 0),
        cache_write=told.get("cache_write_input_tokens", 0),
        output=told.get("output_tokens", 0),
        reasoning=told.get("reasoning_output_tokens", 0),
    )
