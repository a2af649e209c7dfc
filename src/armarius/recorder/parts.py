"""The items of an answer, out of events that each bring a part of one.

Owns which item an event belongs to, and an item as far as it came. Does not own events as bytes (sse.py) or the end
of an answer (answer.py).
Invariant: an item that was finished is kept as it was finished, each one, whatever numbers or ids its provider gives
or leaves out.
"""

from typing import Any

import msgspec

from armarius.recorder.history import id_of

__all__ = ["ItemEvent", "Parts"]


class ItemEvent(msgspec.Struct):
    """An event that may bring a part of an item; of unknown form, because nobody promised one."""

    type: Any = None
    output_index: Any = None
    item_id: Any = None
    item: msgspec.Raw = msgspec.Raw(b"null")
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    code: Any = None


class _Part(msgspec.Struct):
    """An item that is on its way. `done` is the whole of it, `opened` its beginning, `pieces` are its texts: for each
    its place among others of the kind, and what it is.
    """

    index: int | None
    name: str | None
    done: msgspec.Raw | None = None
    opened: dict[str, Any] | None = None
    pieces: dict[tuple[int, str], list[str]] = {}


class Parts:
    """The items of one answer."""

    __slots__ = ("_newest", "_parts")

    def __init__(self) -> None:
        self._parts = list[_Part]()
        self._newest = dict[tuple[int | None, str | None], _Part]()
        """By place and id, by one of them, and of all."""

    def put(self, event: ItemEvent) -> None:
        """Take in the next event."""
        kind = event.type
        if not isinstance(kind, str):
            return
        index = event.output_index if isinstance(event.output_index, int) else None
        if kind == "response.output_item.done":
            self._finish(index, id_of(event.item) or None, event.item)
            return
        if kind == "response.output_item.added":
            name = id_of(event.item) or None
            part = self._part_of(index, name)
            if part is None or (part.done is not None and name is None):
                part = self._new(index, name)
            if part.done is None:
                part.opened = _object(event.item)
            return
        name, _, how = kind.removeprefix("response.").rpartition(".")
        text = _text_in(event, how)
        if text is None:
            return
        named = event.item_id if isinstance(event.item_id, str) and event.item_id else None
        part = self._part_of(index, named)
        if part is None or (part.done is not None and index is None and named is None):
            part = self._new(index, named)
        if part.done is not None:
            return
        place = next((at for at in (event.summary_index, event.content_index) if isinstance(at, int)), 0)
        if how == "delta":
            part.pieces.setdefault((place, name), []).append(text)
        else:
            part.pieces[place, name] = [text]

    def finished(self) -> tuple[msgspec.Raw, ...]:
        """The items that are whole."""
        return tuple(part.done for part in self._sorted() if part.done is not None)

    def items(self) -> tuple[msgspec.Raw, ...]:
        """All items, as far as they came; one that was broken off says so."""
        items = (_item(part) for part in self._sorted())
        return tuple(item for item in items if item is not None)

    def _sorted(self) -> list[_Part]:
        """In the order of their places, where all have one; those that share it in the order in which they came."""
        if any(part.index is None for part in self._parts):
            return self._parts
        return sorted(self._parts, key=lambda part: part.index or 0)

    def _finish(self, index: int | None, name: str | None, item: msgspec.Raw) -> None:
        part = self._part_of(index, name)
        if part is None or (part.done is not None and part.done != item):
            part = self._new(index, name)
        part.done = item.copy()
        part.opened, part.pieces = None, {}

    def _part_of(self, index: int | None, name: str | None) -> _Part | None:
        """The item that a place and an id belong to. Where one of them is missing the other one decides, and where
        both are, it is the newest.
        """
        part = self._newest.get((index, name))
        if part is None and name is not None:
            part = self._newest.get((index, None))
            if part is not None and part.name is not None:
                part = None
        if part is None and index is not None:
            part = self._newest.get((None, name))
            if part is not None and part.index is not None:
                part = None
        return part

    def _new(self, index: int | None, name: str | None) -> _Part:
        part = _Part(index, name)
        self._parts.append(part)
        for key in ((index, name), (index, None), (None, name), (None, None)):
            self._newest[key] = part
        return part


def _text_in(event: ItemEvent, how: str) -> str | None:
    if how == "delta":
        return event.delta if isinstance(event.delta, str) else None
    texts = (event.text, event.refusal, event.arguments, event.input, event.code) if how == "done" else ()
    return next((text for text in texts if isinstance(text, str)), None)


def _object(raw: msgspec.Raw) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
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
