"""A rollout in windows of whole lines, told apart by their first bytes.

Owns where lines end, which lines can change a count, and whether a window holds one record a line as
it should. Does not own what any line says.
Invariant: a window is plain only when each of its lines begins as Codex begins it and ends as an
object ends, and its ordinals count its lines; of any other the caller looks at each line. One thing is
not seen: records joined on one line while as many lines of the same window stand there twice.

Why the beginning is enough: inside a JSON string every quote is escaped, so neither `,"type":"` nor a
second `{"timestamp":"` can stand in one.
"""

import codecs
import enum
import io
from collections.abc import Generator, Iterator
from typing import Final

from msgspec import Struct

from armarius.rollouts.opening import ByteStream
from armarius.rollouts.reader import LONGEST_LINE

__all__ = ["START", "Kind", "LongLine", "PlainWindow", "exactly", "is_text", "plain_window", "timestamp_in", "windows"]

START: Final = b'{"timestamp":"'
_WINDOW: Final = 256 << 10
_HEAD: Final = 4 << 10
_BRACE: Final = ord("}")

_TIME = slice(len(START), len(b'{"timestamp":"2026-11-20T12:21:12.958Z'))
_AFTER_TIME: Final = _TIME.stop + 1
_ORDINAL: Final = b',"ordinal":'
_TYPE: Final = b',"type":"'
_FARTHEST: Final = _AFTER_TIME + 40

_BEFORE_EVENT: Final = len(b',"type":"event_msg","payload":{"type":"')
_BEFORE_RESPONSE: Final = len(b',"type":"response_item","payload":{"type":"')
_TYPE_SIZE: Final = 20
_EVENT_SIZE: Final = 14
_RESPONSE_SIZE: Final = 10
_ID: Final = "01a1f8e7-5676-70b3-858d-4ade9b9a49ef"
_BEFORE_ITEM: Final = len(f'item_completed","thread_id":"{_ID}","turn_id":"{_ID}","item":{{"type":"')
_ITEM_SIZE: Final = 19


class Kind(enum.IntEnum):
    """What a line is to whoever counts; `SKIP` changes no count, `ANY` has to be decoded to know."""

    SKIP = 0
    ANY = 1
    EVENT = 2
    RESPONSE = 3
    USAGE = 4
    TOKENS = 5
    ITEM = 6
    USER_ITEM = 7
    AGENT_ITEM = 8
    COMMAND_ITEM = 9
    CALL = 10
    CONTEXT = 11
    BEGIN = 12
    END = 13
    SETTINGS = 14
    USER = 15
    AGENT = 16
    REASONING = 17
    COMPACTED = 18
    META = 19


# Plain numbers: a member of an enumeration costs as much to compare as the rest of the work on a line.
_ANY, _EVENT, _RESPONSE, _USAGE, _ITEM = 1, 2, 3, 4, 6
_TYPES: Final = {
    b',"type":"event_msg",': 2,
    b',"type":"response_it': 3,
    b',"type":"token_usage': 4,
    b',"type":"turn_contex': 11,
    b',"type":"world_state': 0,
    b',"type":"session_met': 19,
    b',"type":"compacted",': 18,
    b',"type":"inter_agent': 1,
}
_EVENTS: Final = {
    b"item_completed": 6,
    b'token_count","': 5,
    b'task_started",': 12,
    b'task_complete"': 13,
    b"thread_setting": 14,
    b'user_message",': 15,
    b'agent_message"': 16,
    b"agent_reasonin": 17,
}
_ITEMS: Final = {
    b'UserMessage","id":"': 7,
    b'AgentMessage","id":': 8,
    b'CommandExecution","': 9,
    b'Reasoning","id":"rs': 6,
}
_RESPONSES: Final = {b'message","': 0, b'reasoning"': 0, b"function_c": 10, b"custom_too": 10}


class LongLine(Struct, frozen=True):
    """A line that is too long to be kept: its first bytes and its length without the newline."""

    head: bytes
    size: int


class PlainWindow(Struct):
    """The lines of a window that may change a count: (kind, begin, where its kind is spelt, end).

    `usage` is (begin, end) of those of kind USAGE once more. `at` is how far into a line the type stood
    at last.
    """

    lines: list[tuple[int, int, int, int]]
    usage: list[tuple[int, int]]
    last: int | None
    last_begin: int
    at: int


def windows(stream: ByteStream, offset: int) -> Iterator[bytes | LongLine]:
    """The whole lines of a stream from `offset` on, many at a time; what follows the last newline waits.

    A window may end in the beginning of a line, which the next one begins with: to cut it off would copy
    everything else.
    """
    goes_back = isinstance(stream, io.FileIO)  # what is unpacked can only be read on
    size, rest = _WINDOW, b""
    stream.seek(offset)
    while data := exactly(stream, size, rest):
        end = data.rfind(b"\n") + 1
        if end:
            yield data
            offset, size, rest = offset + end, _WINDOW, b""
            if end < len(data) and goes_back:
                stream.seek(offset)
            elif end < len(data):
                rest = data[end:]
        elif len(data) < size:
            return
        elif size <= LONGEST_LINE:
            size, rest = size * 2, data
        else:
            rest, length = yield from _long_line(stream, data)
            offset, size = offset + length, _WINDOW


def exactly(stream: ByteStream, size: int, rest: bytes = b"") -> bytes:
    """`rest` and what follows it, `size` bytes in all unless the stream ends."""
    data = rest + stream.read(size - len(rest)) if rest else stream.read(size)
    while 0 < len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _long_line(stream: ByteStream, data: bytes) -> Generator[LongLine, None, tuple[bytes, int]]:
    """Pass over the rest of a line; what was read beyond it, and the line's length with its newline."""
    head, length = data[:_HEAD], len(data)
    while data := stream.read(_WINDOW):
        end = data.find(b"\n")
        if end >= 0:
            yield LongLine(head, length + end)
            return data[end + 1 :], length + end + 1
        length += len(data)
    return b"", length


def plain_window(data: bytes, at: int, follows: int | None) -> PlainWindow | None:
    """What kind each line of a window is, if nothing is unusual about any.

    `at` is where a line's type is looked for first: it moves only with the digits of the ordinal.
    `follows` is the ordinal before this window's, when it is known.
    """
    stop = data.rfind(b"\n")
    last_begin = data.rfind(b"\n", 0, stop) + 1
    first, last = _ordinal(data, 0), _ordinal(data, last_begin)
    if (first is None) != (last is None) or (first is not None and follows not in {None, first - 1}):
        return None
    found, usage = list[tuple[int, int, int, int]](), list[tuple[int, int]]()
    add, find = found.append, data.find
    types, events, items, responses = _TYPES.get, _EVENTS.get, _ITEMS.get, _RESPONSES.get
    begin = count = 0
    while (end := find(b"\n", begin)) >= 0:
        where = begin + at
        kind = types(data[where : where + _TYPE_SIZE])
        if kind is None:
            where = find(_TYPE, begin + _AFTER_TIME, min(begin + _FARTHEST, end))
            kind = types(data[where : where + _TYPE_SIZE]) if where >= 0 else None
            if kind is None:
                return None
            at = where - begin
        if kind == _EVENT:
            where += _BEFORE_EVENT
            kind = events(data[where : where + _EVENT_SIZE], _ANY)
            if kind == _ITEM:
                where += _BEFORE_ITEM
                kind = items(data[where : where + _ITEM_SIZE], _ANY)
        elif kind == _RESPONSE:
            where += _BEFORE_RESPONSE
            kind = responses(data[where : where + _RESPONSE_SIZE], _ANY)
        elif kind == _USAGE:
            usage.append((begin, end))
        if data[end - 1] != _BRACE:
            return None
        if kind:
            add((kind, begin, where, end))
        begin = end + 1
        count += 1
    if not _is_one_each(data, first, last, last_begin, count):
        return None
    return PlainWindow(found, usage, last, last_begin, at)


def is_text(data: bytes) -> bool:
    """Whether the whole lines of a window are UTF-8."""
    if data.isascii():
        return True
    try:
        codecs.utf_8_decode(memoryview(data)[: data.rfind(b"\n") + 1], "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def _is_one_each(data: bytes, first: int | None, last: int | None, last_begin: int, count: int) -> bool:
    """Whether `count` lines hold as many records: their ordinals say so, else the records are counted."""
    if first is None or last is None:
        return data.count(START, 0, data.rfind(b"\n")) == count
    return last - first == count - 1 and data.count(START, last_begin, data.rfind(b"\n")) == 1


def timestamp_in(data: bytes, begin: int) -> str:
    """When the line that begins there was written, as a plain window's lines say it."""
    return data[begin + _TIME.start : begin + _TIME.stop].decode(errors="replace")


def _ordinal(data: bytes, begin: int) -> int | None:
    """The ordinal of the line that begins there, after a time of the usual length."""
    start = begin + _AFTER_TIME + len(_ORDINAL)
    if data[begin + _AFTER_TIME : start] != _ORDINAL:
        return None
    digits = data[start : data.find(b",", start, start + 20)]
    return int(digits) if digits.isdigit() else None
