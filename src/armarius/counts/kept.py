"""What a line says that was put aside unread.

Owns the late look at the few lines of a file whose contents a Summary needs: calls that are open,
the last words, why a turn failed, the newest rate limits. Does not own which lines are put aside.
Invariant: nothing here raises; a line that does not say it, says None, False or nothing.
"""

from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

from armarius.clock import parse_rfc3339
from armarius.rollouts.bare import decode_any
from armarius.rollouts.calls import Answer, Call
from armarius.rollouts.drafts import Action
from armarius.rollouts.legacy import AgentMessageEvent, ExecCommandEnd, UserMessageEvent
from armarius.rollouts.paginated import AgentMessageItem, CommandExecutionItem, UserMessageItem
from armarius.rollouts.parts import Here
from armarius.rollouts.reader import RECORD_START
from armarius.rollouts.records import EventLine, ItemCompleted, Record, ResponseLine, TurnContextLine
from armarius.rollouts.salvage import salvaged
from armarius.thread import Command, ToolCall

__all__ = [
    "action_in",
    "answer_in",
    "approval_in",
    "at_us",
    "limits_in",
    "name_of",
    "words_in",
    "words_of",
]

_NOWHERE = Here("", 0, 0, None, "")
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
            return payload.value(_NOWHERE)
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
            return "user", item.id, item.value(_NOWHERE).text
        case EventLine(payload=ItemCompleted(item=AgentMessageItem() as item)):
            return "agent", item.id, item.value(_NOWHERE).text
        case EventLine(payload=ItemCompleted(item=CommandExecutionItem() as item)):
            return "command", item.id, item.value(_NOWHERE).command
        case EventLine(payload=UserMessageEvent() as event) if event.kind in {None, "plain"}:
            return "user", "", event.message
        case EventLine(payload=AgentMessageEvent() as event):
            return "agent", "", event.message
        case EventLine(payload=ExecCommandEnd() as event):
            return "command", event.call_id, event.value(_NOWHERE).command
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


def at_us(timestamp: str) -> int | None:
    """A time as Codex writes it, in microseconds; None for what is none."""
    if len(timestamp) == len("2026-11-20T12:21:12.958Z") and timestamp[23] == "Z" and timestamp[19] == ".":
        minutes, thousandths = timestamp[14:16], timestamp[17:19] + timestamp[20:23]
        if (minutes + thousandths).isdecimal() and minutes < "60" and thousandths < "60" and timestamp[16] == ":":
            hour = _hour_us(timestamp[:14])
            if hour is not None:
                return hour + int(minutes) * 60_000_000 + int(thousandths) * 1_000
    return _any_at_us(timestamp)


@lru_cache(maxsize=4096)  # lines come in bursts, and to read a date costs more than all the rest of a line
def _hour_us(beginning: str) -> int | None:
    return _any_at_us(beginning + "00:00Z")


def _any_at_us(timestamp: str) -> int | None:
    try:
        return parse_rfc3339(timestamp)
    except (ValueError, OverflowError):
        return None


def _record(line: bytes) -> Record | None:
    try:
        if not line.isascii():
            line.decode()
        return decode_any(line)
    except _UNREADABLE:  # as it stands in the file, and it was mended when it was counted
        return next((piece.record for piece in salvaged(line, RECORD_START, decode_any) if piece.record), None)
