"""What a line says that was put aside unread.

Owns the late look at the few lines of a file whose contents a Summary needs: calls that are open,
the last words, why a turn failed, the newest rate limits. Does not own which lines are put aside.
Invariant: nothing here raises; a line that does not say it, says None, False or nothing.
"""

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.bare import decode_any
from armarius.rollouts.calls import Answer, Call
from armarius.rollouts.drafts import Action
from armarius.rollouts.legacy import AgentMessageEvent, ExecCommandEnd, UserMessageEvent
from armarius.rollouts.paginated import AgentMessageItem, CommandExecutionItem, UserMessageItem
from armarius.rollouts.parts import NOWHERE
from armarius.rollouts.reader import RECORD_START
from armarius.rollouts.records import EventLine, ItemCompleted, Record, ResponseLine, TurnContextLine
from armarius.rollouts.salvage import salvaged
from armarius.thread import Command, ToolCall

__all__ = [
    "action_in",
    "answer_in",
    "approval_in",
    "limits_in",
    "name_of",
    "words_in",
    "words_of",
]

_UNREADABLE = (ValueError, RecursionError)


class _Payload(Struct):
    rate_limits: Raw = Raw()


class _Line(Struct):
    payload: _Payload


_line = msgspec.json.Decoder(_Line).decode


def action_in(line: bytes) -> Action | None:
    """The call that a line makes."""
    match _record(line):
        case ResponseLine(payload=payload) if isinstance(payload, Call):
            return payload.value(NOWHERE)
        case _:
            return None


def answer_in(line: bytes) -> str:
    """What a call was answered."""
    match _record(line):
        case ResponseLine(payload=Answer() as answer):
            return answer.text
        case _:
            return ""


def words_of(record: Record) -> tuple[str, str, str] | None:
    """Who said or ran what: `user`, `agent` or `command`, the id of it, the words."""
    match record:
        case EventLine(payload=ItemCompleted(item=UserMessageItem() as item)):
            return "user", item.id, item.value(NOWHERE).text
        case EventLine(payload=ItemCompleted(item=AgentMessageItem() as item)):
            return "agent", item.id, item.value(NOWHERE).text
        case EventLine(payload=ItemCompleted(item=CommandExecutionItem() as item)):
            return "command", item.id, item.value(NOWHERE).command
        case EventLine(payload=UserMessageEvent() as event) if event.kind in {None, "plain"}:
            return "user", "", event.message
        case EventLine(payload=AgentMessageEvent() as event):
            return "agent", "", event.message
        case EventLine(payload=ExecCommandEnd() as event):
            return "command", event.call_id, event.value(NOWHERE).command
        case _:
            return None


def words_in(line: bytes) -> str | None:
    """What was said or run in a line."""
    record = _record(line)
    words = words_of(record) if record else None
    return words[2] if words else None


def name_of(action: Action | None) -> str | None:
    """What a call is known by: its command, or the name of its tool."""
    match action:
        case Command():
            return action.command
        case ToolCall():
            return action.name
        case None:
            return None
        case _:
            return "apply_patch"


def approval_in(line: bytes) -> str | None:
    """When a person is asked, as the context of a turn says it."""
    match _record(line):
        case TurnContextLine(payload=context):
            return context.approval
        case _:
            return None


def limits_in(line: bytes) -> Raw:
    """How full the windows of the plan are, as a running total says it."""
    try:
        return _line(line).payload.rate_limits
    except _UNREADABLE:
        return Raw()


def _record(line: bytes) -> Record | None:
    try:
        if not line.isascii():
            line.decode()
        return decode_any(line)
    except _UNREADABLE:  # as it stands in the file, and it was mended when it was counted
        return next((piece.record for piece in salvaged(line, RECORD_START, decode_any) if piece.record), None)
