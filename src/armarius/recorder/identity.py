"""Whose request this is: session, thread, turn, and what kind of turn.

Owns reading what Codex says of itself, in the spelling of every version. Does not own what is counted (turns.py).
Invariant: an id is taken from the strongest place that states it and is never guessed: where nothing states it,
there is none. Ids are text of whoever sent them; nothing may use them as a path.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

__all__ = ["Identity", "Kind", "identify", "words_of_identity"]

Kind = Literal["turn", "compaction", "review", "other"]
"""`turn` is work for the user (also of a sub-agent), `review` a guardian's look at a request for approval."""

_LONGEST = 256
_METADATA = "x-codex-turn-metadata"
_NAMES = (
    *("session-id", "thread-id", _METADATA, "x-openai-subagent", "x-codex-parent-thread-id"),
    *("session_id", "conversation_id", "thread_id"),
)
_MOST_REMEMBERED = 512
_LONGEST_REMEMBERED = 4096


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said. `source` is the place that gave the session: `header`, `metadata`, `old-header`, `cache-key`.

    `subagent` names the sub-agent as Codex does, and is empty for one whose name is not known.
    """

    session: str | None = None
    thread: str | None = None
    turn: str | None = None
    root_turn: str | None = None
    kind: Kind = "turn"
    trigger: str | None = None
    subagent: str | None = None
    parent_thread: str | None = None
    source: str | None = None

    @property
    def is_user_turn(self) -> bool:
        """Whether this is work on a turn of the user's own thread."""
        return self.kind == "turn" and self.subagent is None


class _Metadata(msgspec.Struct):
    """Codex's own account. Every field may be missing or of a kind that no version has written yet."""

    session_id: Any = None
    thread_id: Any = None
    turn_id: Any = None
    root_turn_id: Any = None
    request_kind: Any = None
    turn_trigger: Any = None
    parent_thread_id: Any = None
    subagent_kind: Any = None
    thread_source: Any = None
    agent_name: Any = None


_metadata = msgspec.json.Decoder(_Metadata)
_NOTHING = _Metadata()


def identify(headers: Mapping[str, str], *, cache_key: object = None, metadata: object = None) -> Identity:
    """The identity of a request. `headers` have lower-case names; the others are parts of its body:
    `prompt_cache_key`, and the metadata that newer versions repeat in `client_metadata`.
    """
    place = (_text(cache_key), metadata if isinstance(metadata, str) else None, *map(headers.get, _NAMES))
    remembered = sum(map(len, filter(None, place))) <= _LONGEST_REMEMBERED
    return _identified(*place) if remembered else _identified.__wrapped__(*place)


@lru_cache(_MOST_REMEMBERED)
def _identified(cache_key: str | None, metadata: str | None, *values: str | None) -> Identity:
    headers = dict(zip(_NAMES, values, strict=True))
    said = _read(headers.get(_METADATA)) or _read(metadata) or _NOTHING
    places = (
        ("header", headers.get("session-id"), headers.get("thread-id")),
        ("metadata", said.session_id, said.thread_id),
        ("old-header", headers.get("session_id") or headers.get("conversation_id"), headers.get("thread_id")),
        ("cache-key", cache_key, None),
    )
    source = next((name for name, session, _ in places if _text(session)), None)
    session = next((text for _, value, _ in places if (text := _text(value))), None)
    thread = next((text for _, _, value in places if (text := _text(value))), None)
    helper = _text(headers.get("x-openai-subagent"))
    trigger = _text(said.turn_trigger)
    return Identity(
        session=session,
        thread=thread or session,
        turn=_text(said.turn_id),
        root_turn=_text(said.root_turn_id),
        kind=_kind(_text(said.request_kind), trigger, helper),
        trigger=trigger,
        subagent=_subagent(said, helper),
        parent_thread=_text(said.parent_thread_id) or _text(headers.get("x-codex-parent-thread-id")),
        source=source,
    )


_OF_IDENTITY = tuple((name, name.encode()) for name in (*_NAMES, "content-encoding"))


def words_of_identity(named: Mapping[bytes, bytes]) -> dict[str, str]:
    """Of all headers of a request those that `identify` looks at, and how its body is packed."""
    return {name: named[raw].decode("latin-1") for name, raw in _OF_IDENTITY if raw in named}


def _kind(request: str | None, trigger: str | None, helper: str | None) -> Kind:
    if trigger == "guardian_review" or helper == "guardian":
        return "review"
    if request == "compaction" or (request is None and helper == "compact"):
        return "compaction"
    return "turn" if request in (None, "turn") else "other"


def _subagent(said: _Metadata, helper: str | None) -> str | None:
    if helper is not None and helper != "compact":
        return helper
    kind = _text(said.subagent_kind)
    if kind is not None:
        return kind
    if said.thread_source == "subagent" or _text(said.parent_thread_id):
        return _text(said.agent_name) or ""
    return None


def _read(text: object) -> _Metadata | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return _metadata.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None  # not Codex's; the next place may say more


def _text(value: object) -> str | None:
    """An id, when it is one: short, printable."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isascii() and value.isprintable():
        return value
    return None
