"""What is new in a request, when every request repeats the whole conversation.

Owns reading a request's body, and telling its new items from those that were recorded before. Does not own
the record (exchange.py).
Invariant: "recorded before" is proven by the bytes of the items or a hash over them, never assumed from their
number. A body that cannot be read is said to be so and fails nobody's request.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgspec

from armarius.errors import DataError

__all__ = [
    "Asked",
    "Begun",
    "Histories",
    "Items",
    "Known",
    "News",
    "Pieces",
    "Placed",
    "id_of",
    "place_of",
    "read_news",
]

_LARGEST_BEGUN = 4 << 20
_INPUT = b'"input"'
_OPENED = re.compile(rb"\s*:\s*\[")
_BETWEEN = re.compile(rb"[\s,]*")


Pieces: TypeAlias = list[bytes | memoryview]
"""A body that goes out, which may be large."""


class Placed(msgspec.Struct, frozen=True):
    """An item that is put into a body at one place, and the skills in it; without bytes: nothing is put in."""

    at: int
    item: bytes
    names: tuple[str, ...] = ()

    def into(self, body: bytes) -> Pieces:
        """The body with the item in it."""
        view = memoryview(body)
        return [view[: self.at], self.item + b",", view[self.at :]]


class Begun(msgspec.Struct, frozen=True):
    """How the body of a request began, byte for byte to the end of its last item. One that begins in the same way
    says the same until there, and has to be read only from there on.

    `pieces` are its bytes: one, once it is kept. `before` are the fields that came before its items, `hash` is the one
    over the items. `placed` is what was put in.
    """

    pieces: tuple[bytes | memoryview, ...]
    before: "Asked"
    hash: Any
    placed: Placed | None = None

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


class Known(msgspec.Struct, frozen=True):
    """The input items of an exchange that is in the journal: how many, and the hash over them.

    `answered` are the ids of the items that the model added to them. `begun` None: it has been forgotten.
    """

    exchange: str
    count: int
    digest: bytes
    answered: frozenset[str] = frozenset()
    begun: Begun | None = None


class Histories:
    """What of each thread is in the journal; the threads that were heard of last, and how the newest of them began."""

    def __init__(self, most: int = 4096, most_bytes: int = 6 << 20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting = OrderedDict[str, tuple[bytes | memoryview, ...]]()
        self._waiting_bytes = 0
        self._known = OrderedDict[str, Known]()
        self._begun = OrderedDict[str, int]()
        """How many bytes are kept for a thread."""
        self._bytes = 0

    def get(self, thread: str | None) -> Known | None:
        return None if thread is None else self._known.get(thread)

    def hold(self, exchange: str, begins: tuple[bytes | memoryview, ...]) -> None:
        """Keep the beginning of a request until its answer is there, unless too many others wait for theirs."""
        if not begins:
            return
        self._waiting[exchange] = begins
        self._waiting_bytes += _size(begins)
        while self._waiting_bytes > self._most_bytes // 2:
            self._waiting_bytes -= _size(self._waiting.popitem(last=False)[1])

    def held(self, exchange: str) -> tuple[bytes | memoryview, ...]:
        """What was kept of the request, once; nothing, when it was too much."""
        begins = self._waiting.pop(exchange, ())
        self._waiting_bytes -= _size(begins)
        return begins

    def put(self, thread: str, known: Known) -> None:
        self._bytes -= self._begun.pop(thread, 0)
        self._known[thread] = known
        self._known.move_to_end(thread)
        if len(self._known) > self._most:
            self._bytes -= self._begun.pop(self._known.popitem(last=False)[0], 0)
        if known.begun is not None:
            # Only now: until it is in the journal, what was asked is held anyway, and a copy would be a second one.
            text = known.begun.text
            self._known[thread] = msgspec.structs.replace(
                known, begun=msgspec.structs.replace(known.begun, pieces=(text,))
            )
            self._begun[thread] = len(text)
            self._bytes += len(text)
        while self._bytes > self._most_bytes:
            oldest, size = self._begun.popitem(last=False)
            self._bytes -= size
            self._known[oldest] = msgspec.structs.replace(self._known[oldest], begun=None)


def _size(begins: tuple[bytes | memoryview, ...]) -> int:
    """What a beginning takes; all but its last piece is kept anyway, as that of the request before."""
    return len(begins[-1]) if begins else 0


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


class _Later(msgspec.Struct):
    """A request from its new items on: what is not there is as it was before."""

    model: Any = msgspec.UNSET
    input: Items | msgspec.UnsetType = msgspec.UNSET
    instructions: Any = msgspec.UNSET
    reasoning: Any = msgspec.UNSET
    prompt_cache_key: Any = msgspec.UNSET
    client_metadata: Any = msgspec.UNSET
    previous_response_id: Any = msgspec.UNSET


class News(msgspec.Struct, frozen=True):
    """What a request says that was not said before, and what will be known once it is recorded.

    `items` are new; `base` is the exchange that has the items before them, `echoed` are those that the model itself
    said in its answer to it. `count` and `hash` are those of all items. `begins` are the pieces of a body's beginning
    to the end of its items, none where that cannot be told; `before` are the fields in it.
    """

    asked: Asked
    items: Items
    base: str | None
    base_count: int
    echoed: tuple[str, ...]
    count: int
    hash: Any
    begins: tuple[bytes | memoryview, ...] = ()
    before: Asked | None = None
    placed: Placed | None = None

    def known(self, exchange: str, answered: frozenset[str], placed: Placed | None) -> Known:
        """What the next request may build upon, once `exchange` is in the journal."""
        begun = None
        if self.before is not None and self.begins:
            begun = Begun(self.begins, self.before, self.hash, placed)
        return Known(exchange, self.count, self.hash.digest(), answered, begun)


class _Named(msgspec.Struct):
    id: Any = None


_asked = msgspec.json.Decoder(Asked)
_later = msgspec.json.Decoder(_Later)
_named = msgspec.json.Decoder(_Named)


def read_news(body: bytes, known: Known | None) -> News:
    """What is new in `body`, after what is known of its thread; DataError when it is no request."""
    return _after_beginning(body, known) or _after_items(body, known)


def _after_beginning(body: bytes, known: Known | None) -> News | None:
    """The same as `_after_items`, when the body begins as the known one did; what it repeats is not read again."""
    begun = None if known is None else known.begun
    if known is None or begun is None or not body.startswith(text := begun.text):
        return None
    end = len(text)
    if not body.startswith((b",", b"]"), end):
        return None  # the last item goes on: it is another one
    rest = memoryview(body)[end + body.startswith(b",", end) :]
    try:
        later = _later.decode(b"".join((b'{"input":[', rest)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(later.input, list):
        return None
    said = {name: value for name in _FIELDS if (value := getattr(later, name)) is not msgspec.UNSET}
    asked = msgspec.structs.replace(begun.before, **said)
    items, digest, begins = later.input, begun.hash, (text,)
    if items:
        together = b"," + b",".join(items)
        digest = digest.copy()
        digest.update(together)
        begins = (text, together) if end + len(together) <= _LARGEST_BEGUN else ()
    new, echoed = _without_echo(items, known.answered)
    count, head = known.count + len(items), begun.before if begins else None
    return News(asked, new, known.exchange, known.count, echoed, count, digest, begins, head, begun.placed)


_FIELDS = tuple(name for name in _Later.__struct_fields__ if name != "input")


def _after_items(body: bytes, known: Known | None) -> News:
    asked = read_body(body)
    said = asked.input if isinstance(asked.input, list) else _as_items(asked.input)
    together = b",".join(said)
    before = _before(body, asked, together)
    begins = (memoryview(body)[: before[1]],) if before else ()
    head = before[0] if before else None
    if known is not None and 0 < known.count <= len(said):
        digest = hashlib.sha256(b",".join(said[: known.count]))
        if digest.digest() == known.digest:
            later = said[known.count :]
            if later:
                digest.update(b"," + b",".join(later))
            new, echoed = _without_echo(later, known.answered)
            return News(asked, new, known.exchange, known.count, echoed, len(said), digest, begins, head)
    return News(asked, said, None, 0, (), len(said), hashlib.sha256(together), begins, head)


def _as_items(said: str | None) -> Items:
    """A text in place of items is a message of the user's."""
    message = {"type": "message", "role": "user", "content": said}
    return [] if said is None else [msgspec.Raw(msgspec.json.encode(message))]


def _before(body: bytes, asked: Asked, together: bytes) -> tuple[Asked, int] | None:
    """The fields of a request that stand before its items, and where the last of the items ends."""
    if not isinstance(asked.input, list) or not asked.input or len(together) > _LARGEST_BEGUN:
        return None
    at = place_of(body, asked.input[:1])
    if at is None or not body.startswith(together, at):
        return None
    try:
        before = _asked.decode(body[:at] + b"]}")
        before.instructions = None  # who builds upon this has them
        return before, at + len(together)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None  # it is some other list of this name, within something


def place_of(body: bytes, items: Sequence[msgspec.Raw]) -> int | None:
    """Where in `body` the last of the first items of its `input` begins.

    Each place that could be the input is tried against all of them, so that a list of the same name in some other
    part of the body is not taken for it.
    """
    start = body.find(_INPUT)
    while start >= 0:
        opened = _OPENED.match(body, start + len(_INPUT))
        at = opened.end() if opened else -1
        for number, item in enumerate(items if opened else ()):
            at = cast("re.Match[bytes]", _BETWEEN.match(body, at)).end()
            if not body.startswith(item, at):
                break
            if number == len(items) - 1:
                return at
            at += len(item)
        start = body.find(_INPUT, start + 1)
    return None


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
