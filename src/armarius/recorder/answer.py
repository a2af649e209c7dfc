"""What the model said, out of the events in which it said it.

Owns the end of a response, its usage, and its output: from the last event, or from the events before it where that
one leaves something out, says something else, or never came. Does not own bytes (sse.py) or an item that comes in
pieces (parts.py).
Invariant: an item that was finished is in the output, because Codex acts on it whatever the last event says; deltas
are not decoded unless they are needed, and never kept without bound.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from armarius.recorder.history import id_of
from armarius.recorder.parts import ItemEvent, Parts
from armarius.recorder.sse import event_at, payload_of

__all__ = ["Answer", "End"]

End = Literal["completed", "incomplete", "failed", "cancelled", "upstream_cut", "client_gone"]

_ENDS: dict[str, End] = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "error": "failed",
}
_MOST_KEPT = 128 << 10
_KIND = rb"response\.[a-z_]++\.[a-z_.]++"
_PART = rb'event: (%b)\ndata: \{"type":"\1"|data: \{"type":"%b"' % (_KIND, _KIND)
"""How events begin that bring a part of the answer: nearly all. What begins or ends it has no second dot."""
_begins_with_part = re.compile(_PART).match
_others = re.compile(rb"\n\n(?!%b)" % _PART).finditer


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    output: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    incomplete_details: msgspec.Raw = msgspec.Raw(b"null")


class _Whole(_Response):
    """A response, or the event that brings one."""

    type: Any = None
    response: _Response | None = None


class _Completed(msgspec.Struct):
    """A response as it should be."""

    id: str
    model: str | None = None
    usage: Any = None
    output: tuple[msgspec.Raw, ...] = ()
    error: None = None
    incomplete_details: None = None


class _Completion(msgspec.Struct):
    """The event that nearly every answer ends with."""

    type: Literal["response.completed"]
    response: _Completed


class _Type(msgspec.Struct):
    type: Any = None


_type = msgspec.json.Decoder(_Type)
_whole = msgspec.json.Decoder(_Whole)
_completion = msgspec.json.Decoder(_Completion)
_outputs = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Event(ItemEvent):
    """An event before the last."""

    response: _Response | None = None


_event = msgspec.json.Decoder(_Event)
_FINISHED, _ITEM = b'"response.output_item.done"', b'"item":'


class Answer:
    """One response, event by event."""

    __slots__ = ("_kept", "_parts", "_size", "end", "error", "id", "model", "output", "usage")

    def __init__(self) -> None:
        self._kept = list[bytes]()
        self._size = 0
        self._parts: Parts | None = None
        """What was kept before, once it was too much."""
        self.id: str | None = None
        self.model: str | None = None
        self.end: End | None = None
        self.usage: Any = None
        self.error: msgspec.Raw | None = None
        self.output: tuple[msgspec.Raw, ...] = ()

    def take(self, events: bytes) -> bytes | None:
        """Take in events, with an empty line behind each; the one that ends the response, once it is there.

        Nothing comes after that but what is no part of an answer. So the last event here says whether one has to look
        at the others, which is for nearly all pieces of a stream all that there is to do.
        """
        if not events:
            return None
        self._kept.append(events)
        start = events.rfind(b"\n\n", 0, -2) + 2
        if start == 1:
            start = 0
        if not _begins_with_part(events, start):
            last = events[start:-2]
            if self._ends(last):
                return last
            for event in _others_in(events[:start]):
                if self._ends(event):
                    return event
        self._size += len(events)
        if self._size > _MOST_KEPT:
            for event in _others_in(b"".join(self._kept)):
                if self._ends(event):
                    return event
            self._fold()
        return None

    def _ends(self, event: bytes) -> bool:
        """Whether an event is the last."""
        payload = payload_of(event)
        if payload is None:
            return False
        try:
            said = _completion.decode(payload).response
        except _BROKEN:
            pass
        else:
            if said.output:
                self.end, self.output = "completed", self._all_of(said.output)
                self.id, self.model, self.usage = said.id, said.model or self.model, said.usage
                self._forget()
                return True
        said = _event_in(payload)
        if said.type is None and said.error != _NULL:
            self.error = said.error.copy()  # Codex reads on behind such a one, and so may more be said
        end = _ENDS.get(said.type) if isinstance(said.type, str) else None
        if end is not None:
            self._finish(payload, said, end)
        return end is not None

    def take_whole(self, body: bytes) -> bool:
        """Take in an answer that did not come as a stream; False: it is none."""
        try:
            response = _whole.decode(body)
        except _BROKEN:
            return False
        self._note(response)
        self.output = _items(response.output)
        status = response.status if isinstance(response.status, str) else None
        self.end = _ENDS.get(f"response.{status}", "completed")
        return True

    def broken_off(self) -> None:
        """What came is all there is."""
        for event in _others_in(b"".join(self._kept)):
            if self._ends(event):
                return  # something came after it that should not have
        self.output = self._fold().items()
        if self.error is not None:
            self.end = "failed"

    def _note(self, response: _Response) -> None:
        self.id = _text(response.id) or self.id
        self.model = _text(response.model) or self.model
        if response.usage is not None:
            self.usage = response.usage
        for said in (response.error, response.incomplete_details):
            if said != _NULL:
                self.error = said.copy()

    def _finish(self, payload: bytes, event: _Whole, end: End) -> None:
        self.end = end
        self._note(event.response or event)
        if event.type == "error" and self.error is None:
            self.error = msgspec.Raw(payload)
        output = _items(event.response.output) if event.response else ()
        if self.id is None:
            self._fold()
        self.output = self._all_of(output) if output else self._fold().items()
        self._forget()

    def _forget(self) -> None:
        self._kept.clear()
        self._parts = None

    def _all_of(self, output: tuple[msgspec.Raw, ...]) -> tuple[msgspec.Raw, ...]:
        """The output that the last event tells; before it, where it contradicts them, the items that were finished."""
        kept = b"".join(self._kept)
        if self._parts is None and _tells_again(output, kept):
            return output
        finished = [*(self._parts.finished() if self._parts else ()), *_finished_in(kept)]
        told, done = {id_of(item) for item in output}, {id_of(item) for item in finished}
        if len(output) >= len(finished) and done - {None} <= told:
            return output
        said = self._fold().finished()
        known = {*done - {None}, *map(_without_id, said)}
        return (*said, *(item for item in output if id_of(item) not in known and _without_id(item) not in known))

    def _fold(self) -> Parts:
        """Put the kept events into the items that they belong to; a finished item needs its pieces no more."""
        parts = self._parts = self._parts or Parts()
        for block in b"".join(self._kept).split(b"\n\n"):
            try:
                event = _event.decode(payload_of(block) or b"")
            except _BROKEN:
                continue
            if event.type == "response.created":
                begun = event.response or _Response()
                self.id = self.id or _text(begun.id)
                self.model = self.model or _text(begun.model)
            else:
                parts.put(event)
        self._kept.clear()
        self._size = 0
        return parts


def _tells_again(output: tuple[msgspec.Raw, ...], events: bytes) -> bool:
    """Whether the items that `events` finish are those of `output` byte for byte, as they are nearly always."""
    at = events.find(_FINISHED)
    for item in output if at >= 0 else ():
        place = events.find(_ITEM, at) + len(_ITEM)
        if at < 0 or not events.startswith(bytes(item), place):
            return False
        at = events.find(_FINISHED, place + len(item))
    return at < 0


def _finished_in(events: bytes) -> Iterator[msgspec.Raw]:
    """The items that events finish."""
    at = events.find(_FINISHED)
    while at >= 0:
        before = events.rfind(b"\n\n", 0, at)
        begin = before + 2 if before >= 0 else 0
        block = event_at(events, begin)
        with contextlib.suppress(*_BROKEN):
            event = _event.decode(payload_of(block) or b"")
            if event.type == "response.output_item.done":
                yield event.item
        at = events.find(_FINISHED, begin + len(block))


_NULL = msgspec.Raw(b"null")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _others_in(events: bytes) -> Iterator[bytes]:
    """The events that are no part of an answer."""
    if events and not _begins_with_part(events):
        yield event_at(events, 0)
    for found in _others(events):
        yield event_at(events, found.end())


def _event_in(payload: bytes) -> _Whole:
    """An event, as far as it has the form of one; `[DONE]` has none, and is forwarded all the same."""
    try:
        return _whole.decode(payload)
    except _BROKEN:
        pass
    try:
        return _Whole(type=_type.decode(payload).type)
    except _BROKEN:
        return _Whole()


def _without_id(item: msgspec.Raw) -> bytes:
    """What an item says; some providers give it another id when they repeat it."""
    try:
        fields = msgspec.json.decode(item, type=dict[str, Any])
    except _BROKEN:
        return bytes(item)
    return msgspec.json.encode({name: fields[name] for name in sorted(fields) if name not in ("id", "status")})


def _items(output: msgspec.Raw) -> tuple[msgspec.Raw, ...]:
    try:
        return _outputs.decode(output)
    except _BROKEN:
        return ()
