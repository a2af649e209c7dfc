"""What is new in a request, when every request repeats the whole conversation.

Owns reading a request's body, and telling its new items from those that were recorded before. Does not own
the record (exchange.py).
Invariant: "recorded before" is proven by a hash over the bytes of the items, never assumed from their number.
A body that cannot be read is said to be so and fails nobody's request.
"""

import hashlib
import json
from typing import Any, TypeAlias

import msgspec

from armarius.errors import DataError

__all__ = ["Asked", "Items", "Known", "News", "id_of", "news_in", "read_body"]


class Known(msgspec.Struct, frozen=True):
    """The input items of an exchange that is in the journal: how many, and the hash over them.

    `answered` are the ids of the items that the model added to them.
    """

    exchange: str
    count: int
    digest: bytes
    answered: frozenset[str] = frozenset()


Items: TypeAlias = list[msgspec.Raw]


class Asked(msgspec.Struct):
    """The parts of a request that are recorded; of unknown form, because nobody promised one."""

    model: Any = None
    input: Items | str | None = None
    instructions: Any = None
    reasoning: Any = None
    prompt_cache_key: Any = None
    client_metadata: Any = None
    previous_response_id: Any = None


class News(msgspec.Struct, frozen=True):
    """New items of a request, and what will be known once they are recorded.

    `base` is the exchange that has the items before them, `echoed` are those that the model itself said in its
    answer to it. `count` and `digest` are those of all items.
    """

    items: Items
    base: str | None
    base_count: int
    echoed: tuple[str, ...]
    count: int
    digest: bytes


class _Named(msgspec.Struct):
    id: Any = None


_asked = msgspec.json.Decoder(Asked)
_named = msgspec.json.Decoder(_Named)


def read_body(body: bytes) -> Asked:
    """The request that `body` holds; DataError when it is none."""
    try:
        try:
            return _asked.decode(body)
        except msgspec.DecodeError:
            # Half a surrogate pair behind an escape is no text for msgspec; for others it is a strange letter.
            return _asked.decode(json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace"))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DataError("request-body", f"not a request for a response: {error}") from error


def news_in(said: Items | str | None, known: Known | None) -> News:
    """What is new in `input`: items, or a text in place of one."""
    if not isinstance(said, list):
        message = {"type": "message", "role": "user", "content": said}
        said = [] if said is None else [msgspec.Raw(msgspec.json.encode(message))]
    if known is not None and 0 < known.count <= len(said):
        digest = hashlib.sha256(b",".join(said[: known.count]))
        if digest.digest() == known.digest:
            later = said[known.count :]
            if later:
                digest.update(b"," + b",".join(later))
            new, echoed = _without_echo(later, known.answered)
            return News(new, known.exchange, known.count, echoed, len(said), digest.digest())
    return News(said, None, 0, (), len(said), hashlib.sha256(b",".join(said)).digest())


def _without_echo(items: Items, answered: frozenset[str]) -> tuple[Items, tuple[str, ...]]:
    """`items` from the first that is not the model's own answer; it was recorded when it was given."""
    echoed = list[str]()
    for item in items if answered else ():
        name = id_of(item)
        if name is None or name not in answered:
            break
        echoed.append(name)
    return items[len(echoed) :] if echoed else items, tuple(echoed)


def id_of(item: msgspec.Raw) -> str | None:
    """The id that an item carries, if it is an item and carries one."""
    try:
        name = _named.decode(item).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return name if isinstance(name, str) else None
