"""Lines as Codex wrote them until 0.20: the items of the model themselves, without an envelope.

Owns the shapes that such a file has besides the calls of all ages (a first line that says who the
thread is, the marks between, messages and reasoning), and the records that they stand for. Does not
own what follows from a record.
Invariant: what only looks like an old line is left alone: it has no envelope, and a kind and shape
that are known. No line has a time of its own but the first.
"""

import re
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from armarius.rollouts.calls import Call, CustomToolCallOutput, FunctionCallOutput
from armarius.rollouts.legacy import AgentMessageEvent, AgentReasoningEvent, UserMessageEvent
from armarius.rollouts.parts import Content, text_of
from armarius.rollouts.records import (
    EventLine,
    Git,
    Record,
    ResponseLine,
    SessionMeta,
    SessionMetaLine,
    Stranger,
    WorldStateLine,
    decode,
)

__all__ = ["decode_any", "older"]

# Context that Codex put into the user's mouth; nothing marked it but its own tags.
_CONTEXT: Final = re.compile(r"\s*<(?P<tag>environment_context|user_instructions)>.*</(?P=tag)>\s*", re.DOTALL)


class _Bare(Struct, tag_field="type"):
    pass


class _Message(_Bare, tag="message", kw_only=True):
    role: str
    content: Content = ""


class _Reasoning(_Bare, tag="reasoning"):
    summary: Content = ""


_Item: TypeAlias = _Message | _Reasoning | Call | FunctionCallOutput | CustomToolCallOutput


class _Head(Struct):
    """The first line. `id` and `timestamp` together are in no other line without a type."""

    id: str
    timestamp: str
    git: Git | None = None
    type: str | None = None


class _Mark(Struct):
    """Where the state of the program was noted; nothing of it is in the file."""

    record_type: str


_ITEM = msgspec.json.Decoder(_Item)
_HEAD = msgspec.json.Decoder(_Head)
_MARK = msgspec.json.Decoder(_Mark)


def decode_any(line: bytes) -> Record:
    """The record of a line of any age; raises as `records.decode` does."""
    record = decode(line)
    return older(record, line) if isinstance(record, Stranger) else record


def older(stranger: Stranger, line: bytes) -> Record:
    """What a line stands for that no later version writes; the stranger itself when it is no old one."""
    if stranger.scope or (stranger.timestamp and stranger.kind):
        return stranger
    return _bare(line) or stranger


def _bare(line: bytes) -> Record | None:
    """The record that an old line stands for; None when it is no such line."""
    try:
        item = _ITEM.decode(line)
    except (ValueError, RecursionError):
        return _head_or_mark(line)
    match item:
        case _Message(role="user"):
            text = text_of(item.content)
            kind = "context" if _CONTEXT.fullmatch(text) else "plain"
            return EventLine(payload=UserMessageEvent(message=text, kind=kind))
        case _Message(role="assistant"):
            return EventLine(payload=AgentMessageEvent(message=text_of(item.content)))
        case _Message():
            return WorldStateLine()
        case _Reasoning():
            return EventLine(payload=AgentReasoningEvent(text=text_of(item.summary)))
        case _:
            return ResponseLine(payload=item)


def _head_or_mark(line: bytes) -> Record | None:
    try:
        head = _HEAD.decode(line)
    except (ValueError, RecursionError):
        pass
    else:
        if head.type is not None:
            return None
        meta = SessionMeta(id=head.id, timestamp=head.timestamp, git=head.git)
        return SessionMetaLine(timestamp=head.timestamp, payload=meta, is_bare=True)
    try:
        _MARK.decode(line)
    except (ValueError, RecursionError):
        return None
    return WorldStateLine()
