"""What the items of a conversation say: words, calls, outputs.

Owns reading one item, and telling the user's own words from what Codex puts in their place. Does not own whose
turn it is (turns.py) or where items come from.
Invariant: an item of any form is read; what cannot be is an item that says nothing.
"""

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

__all__ = ["Item", "field_of", "own_words", "read_item", "said_in", "text_of", "words_of"]

_CONTEXT = re.compile(
    r"\s*(?:<(?:environment_context|user_instructions|skill|turn_aborted|user_action|hook_prompt|user_shell_command"
    r"|subagent_notification|permissions)\b|# AGENTS\.md instructions for |Another language model started to solve)"
)


_IMAGE_LABEL = re.compile(r"\s*(?:<image\b.*>|</image>)\s*", re.DOTALL)
"""What Codex writes around an image of the user's."""


class _Content(msgspec.Struct):
    type: Any = None
    text: Any = None


class Item(msgspec.Struct):
    """The parts of an item that anybody here looks at; of unknown form, because nobody promised one."""

    id: Any = None
    """A text or nothing, once it is read."""
    type: Any = None
    role: Any = None
    content: Any = None
    name: Any = None
    call_id: Any = None
    arguments: Any = None
    input: Any = None
    action: Any = None
    output: Any = None
    summary: Any = None

    @property
    def is_call(self) -> bool:
        """Whether the model asks for a tool."""
        return isinstance(self.type, str) and self.type.endswith("_call")

    @property
    def is_answer(self) -> bool:
        """Whether the model said it."""
        return self.role == "assistant" or self.is_call


_item = msgspec.json.Decoder(Item)


def read_item(raw: msgspec.Raw) -> Item:
    try:
        item = _item.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Item()
    if not isinstance(item.id, str):
        item.id = None
    return item


def own_words(raw: msgspec.Raw) -> str:
    """What an item says, when it is a message in the user's own words; else nothing."""
    return next(iter(said_in([read_item(raw)])), "")


def words_of(raw: msgspec.Raw) -> str:
    """What an item says, when it is a message of anybody's."""
    return text_of(read_item(raw))


def said_in(items: Sequence[Item]) -> list[str]:
    """The messages among items that are in the user's own words."""
    texts = (text_of(item) for item in items if item.role == "user" and item.type in (None, "message"))
    return [text for text in texts if text and not _CONTEXT.match(text)]


def text_of(item: Item) -> str:
    """The words of a message."""
    if item.role is None:
        return ""
    if isinstance(item.content, str):
        return item.content
    try:
        parts = msgspec.convert(item.content or [], list[_Content])
    except msgspec.ValidationError:
        return ""
    texts = [part.text for part in parts if isinstance(part.text, str)]
    if item.role == "user" and any(part.type == "input_image" for part in parts):
        texts = [text for text in texts if not _IMAGE_LABEL.fullmatch(text)]
    return "\n".join(texts)


def field_of(value: Any, name: str) -> Any:
    """A field of what may be an object."""
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
