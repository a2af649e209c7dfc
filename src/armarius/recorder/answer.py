"""What the model said, out of the events in which it said it.

Owns the end of a response, its usage, and its output: from the last event, or rebuilt from the events before
it where that one leaves it out, or where it never came. Does not own bytes (sse.py).
Invariant: deltas are not decoded unless they are needed, and never kept without bound.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

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


class _Event(msgspec.Struct):
    type: Any = None
    response: _Response | None = None
    output_index: Any = None
    item: msgspec.Raw = msgspec.Raw(b"null")
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    code: Any = None


class _Type(msgspec.Struct):
    type: Any = None


_type = msgspec.json.Decoder(_Type)
_whole = msgspec.json.Decoder(_Whole)
_event = msgspec.json.Decoder(_Event)
_completion = msgspec.json.Decoder(_Completion)
_outputs = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Part(msgspec.Struct):
    """An item that is on its way. `done` is the whole of it, `opened` its beginning, `pieces` are its texts: for each
    its place among others of the kind, and what it is.
    """

    done: msgspec.Raw | None = None
    opened: dict[str, Any] | None = None
    pieces: dict[tuple[int, str], list[str]] = {}


class Answer:
    """One response, event by event."""

    __slots__ = ("_kept", "_parts", "_size", "end", "error", "id", "model", "output", "usage")

    def __init__(self) -> None:
        self._kept = list[bytes]()
        self._size = 0
        self._parts = dict[int, _Part]()
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
                self.end, self.output = "completed", said.output
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
        self.output = self._rebuilt()
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
        if not output or self.id is None:
            rebuilt = self._rebuilt()
            output = output or rebuilt
        self.output = output
        self._forget()

    def _forget(self) -> None:
        self._kept.clear()
        self._parts.clear()

    # ---------------------------------------------------------------- rebuilding

    def _rebuilt(self) -> tuple[msgspec.Raw, ...]:
        self._fold()
        items = (_item(self._parts[index]) for index in sorted(self._parts))
        return tuple(item for item in items if item is not None)

    def _fold(self) -> None:
        """Put the kept events into the items that they belong to; a finished item needs its pieces no more."""
        for block in b"".join(self._kept).split(b"\n\n"):
            try:
                event = _event.decode(payload_of(block) or b"")
            except _BROKEN:
                continue
            self._put(event)
        self._kept.clear()
        self._size = 0

    def _put(self, event: _Event) -> None:
        kind = event.type
        if not isinstance(kind, str):
            return
        if kind == "response.created":
            begun = event.response or _Response()
            self.id = self.id or _text(begun.id)
            self.model = self.model or _text(begun.model)
            return
        index = event.output_index
        if not isinstance(index, int):
            index = len(self._parts) if event.item != _NULL else 0
        if kind == "response.output_item.done":
            self._parts[index] = _Part(done=event.item.copy())
            return
        part = self._parts.setdefault(index, _Part())
        if part.done is not None:
            return
        if kind == "response.output_item.added":
            part.opened = _object(event.item)
            return
        name, _, how = kind.removeprefix("response.").rpartition(".")
        place = next((at for at in (event.summary_index, event.content_index) if isinstance(at, int)), 0)
        if how == "delta" and isinstance(event.delta, str):
            part.pieces.setdefault((place, name), []).append(event.delta)
        elif how == "done":
            texts = (event.text, event.refusal, event.arguments, event.input, event.code)
            said = next((text for text in texts if isinstance(text, str)), None)
            if said is not None:
                part.pieces[place, name] = [said]


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


def _items(output: msgspec.Raw) -> tuple[msgspec.Raw, ...]:
    try:
        return _outputs.decode(output)
    except _BROKEN:
        return ()


def _object(raw: msgspec.Raw) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except _BROKEN:
        return None


def _item(part: _Part) -> msgspec.Raw | None:
    """An item as far as it came; one that was broken off says so."""
    if part.done is not None:
        return part.done
    opened = dict(part.opened or {})
    said = [(_TEXTS[name], "".join(part.pieces[at, name])) for at, name in sorted(part.pieces) if name in _TEXTS]
    if not said and not opened:
        return None
    opened.setdefault("type", said[0][0].item if said else "message")
    if opened["type"] == "message":
        opened |= {"role": "assistant", "content": []}
    listed = dict[str, list[dict[str, str]]]()
    for text, words in said:
        if text.kind is None:
            opened[text.field] = words
        else:
            listed.setdefault(text.field, []).append({"type": text.kind, text.key: words})
    return msgspec.Raw(msgspec.json.encode(opened | listed | {"status": "incomplete"}))


class _Text(msgspec.Struct, frozen=True):
    """Where a text that came in pieces belongs: in which items, in which of their fields, and what it is there."""

    item: str
    field: str
    kind: str | None = None
    key: str = "text"


_TEXTS = {
    "output_text": _Text("message", "content", "output_text"),
    "refusal": _Text("message", "content", "refusal", "refusal"),
    "reasoning_text": _Text("reasoning", "content", "reasoning_text"),
    "reasoning_summary_text": _Text("reasoning", "summary", "summary_text"),
    "function_call_arguments": _Text("function_call", "arguments"),
    "mcp_call_arguments": _Text("mcp_call", "arguments"),
    "custom_tool_call_input": _Text("custom_tool_call", "input"),
    "code_interpreter_call_code": _Text("code_interpreter_call", "code"),
}
