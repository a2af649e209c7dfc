"""One exchange: what Codex asked, what the model answered, how it ended.

Owns the record of an exchange and making it while the bytes go by. Does not own sockets (server.py), the file
(journal.py) or what is a user's turn (turns.py).
Invariant: making the record never changes nor fails the request: what cannot be read is said in `unread`. No
secret is in a record: it is redacted before it leaves this module.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec
import zstandard

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.identity import new_id
from armarius.recorder.answer import Answer, End
from armarius.recorder.history import Asked, Histories, Items, Known, News, Pieces, Placed, id_of, read_body, read_news
from armarius.recorder.identity import Identity, identify
from armarius.recorder.items import field_of
from armarius.recorder.journal import Line
from armarius.recorder.packing import LARGEST_PLAIN, Inflate, inflater, packed, unpacked
from armarius.recorder.spill import Aside, Spill
from armarius.recorder.sse import EventStream
from armarius.redact import may_hold_secret, redact

__all__ = ["Exchange", "Inject", "Recording", "line_of"]

_LARGEST_ERROR = 16 << 10


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the journal (`armarius.exchange.v1`). Times are microseconds; `at_us` is when it was asked.

    `input` are the items that are new since exchange `base`, of whose items the first `base_count` count, and
    after which the model's own items `echoed` stand. `unread` says why something is missing.
    """

    id: str
    at_us: int
    identity: Identity
    path: str
    status: int | None
    end: End
    model: Any = None
    effort: Any = None
    response: str | None = None
    base: str | None = None
    base_count: int = 0
    echoed: tuple[str, ...] = ()
    instructions: Any = None
    input: Items = []
    output: tuple[msgspec.Raw, ...] = ()
    usage: Any = None
    error: Any = None
    injected: tuple[str, ...] = ()
    request_bytes: int = 0
    first_byte_us: int | None = None
    duration_us: int = 0
    unread: str | None = None
    schema: str = "armarius.exchange.v1"


Inject = Callable[[bytes, Callable[[], Items], Identity, Placed | None], Placed | None]
"""What to put into a body, whose items can be read, and where; what was put into one that began in the same way."""


class Recording:
    """The record of an exchange that is going on."""

    __slots__ = (
        *("_answer", "_begun", "_body", "_clock", "_first", "_histories", "_inflate", "_news", "_said"),
        *(
            "_is_open",
            "_size",
            "_status",
            "_stream",
            "_unread",
            "at_us",
            "id",
            "identity",
            "injected",
            "path",
            "placed",
            "plain",
        ),
        "request_bytes",
    )

    def __init__(self, path: str, headers: Mapping[str, str], body: bytes, histories: Histories, clock: Clock) -> None:
        self.id = new_id("exch", clock)
        self.path = path
        self.at_us = clock.now_us()
        self.request_bytes = len(body)
        self.injected: tuple[str, ...] = ()
        self.placed: Placed | None = None
        """What was put into requests that began as this one does, and is put into this one."""
        self._clock = clock
        self._begun = clock.monotonic_us()
        self._first: int | None = None
        self._status: int | None = None
        self._answer = Answer()
        self._stream: EventStream | None = None
        self._is_open = False
        """Whether the first byte of the answer is to tell whether it is a stream."""
        self._body = list[bytes]()
        self._size = 0
        self._inflate: Inflate | None = None
        self._unread: str | None = None
        self._news: News | None = None
        self._said: bytes | Aside | None = None
        """What is recorded of the request, as a part of the line, once it is sealed."""
        self._histories: Histories | None = None
        self.plain: bytes | None = None
        """The body without its encoding, for whoever puts something into it; None when it cannot be read."""
        self.identity = self._identify(headers)
        try:
            self._read(headers, body, histories)
        except DataError as error:
            self._unread = error.message

    def _identify(self, headers: Mapping[str, str], **body: Any) -> Identity:
        identity = identify(headers, **body)
        is_compaction = self.path.endswith("/compact") and identity.kind == "turn"  # Codex need not say so besides
        return msgspec.structs.replace(identity, kind="compaction") if is_compaction else identity

    def _read(self, headers: Mapping[str, str], body: bytes, histories: Histories) -> None:
        plain = unpacked(body, headers.get("content-encoding", ""))
        thread = self.identity.thread
        news = read_news(plain, histories.get(thread))
        asked = news.asked
        if asked.prompt_cache_key is not None or asked.client_metadata is not None:
            said = field_of(asked.client_metadata, "x-codex-turn-metadata")
            self.identity = self._identify(headers, cache_key=asked.prompt_cache_key, metadata=said)
        if self.identity.thread != thread:  # only its body says whose it is
            news = read_news(plain, histories.get(self.identity.thread))
        self._news, self.placed, self.plain = news, news.placed, plain

    def with_skills(self, inject: Inject, encoding: str) -> Pieces | None:
        """The body to send with skills in it; None: as it came."""
        plain = self.plain
        placed = self.placed = None if plain is None else inject(plain, self.items, self.identity, self.placed)
        if plain is None or placed is None or not placed.item:
            return None
        body: Pieces = [packed(b"".join(placed.into(plain)), encoding)] if encoding else placed.into(plain)
        self.injected = placed.names
        return body

    def items(self) -> Items:
        """The items of the request, as they are in its body; those that were not read are now."""
        if self._news is None or self.plain is None:
            return []
        said = self._news.asked.input
        if isinstance(said, list) and len(said) < self._news.count:
            said = read_body(self.plain).input
        return said if isinstance(said, list) else []

    def seal(self, histories: Histories, spill: Spill | None) -> None:
        """Write what is recorded of the request, so that its body is not held until the answer is there; that may
        take its time.
        """
        news, self.plain = self._news, None
        if news is None:
            return
        said = _said_of(news)
        self._said = said if spill is None else spill.put(said)
        histories.hold(self.id, news.begins)
        self._histories = histories
        asked = Asked(model=news.asked.model, reasoning=news.asked.reasoning)
        self._news = msgspec.structs.replace(news, asked=asked, items=[], begins=())

    @property
    def aside(self) -> Aside | None:
        """The part of the record that was put aside."""
        return self._said if isinstance(self._said, Aside) else None

    # ---------------------------------------------------------------- the answer

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """The head of the answer came; names are in lower case."""
        self._status = status
        kind = headers.get(b"content-type", b"").lower()
        if _is_success(status) and kind.startswith(b"text/event-stream"):
            self._stream = EventStream()
        else:  # Codex reads a stream whatever it is called
            self._is_open = _is_success(status) and not kind.startswith(b"application/json")
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            try:
                self._inflate = inflater(encoding.decode("latin-1"))
            except DataError as error:
                self._give_up(error.message)

    def feed(self, data: bytes) -> int | None:
        """A piece of the answer came; where in it the last event begins, once that is there."""
        if self._first is None:
            self._first = self._clock.monotonic_us() - self._begun
        if self._stream is None and self._size > LARGEST_PLAIN:
            return None
        plain = data if self._inflate is None else self._inflated(data)
        self._size += len(plain)
        if self._is_open and plain.strip():
            self._is_open = False
            if not plain.lstrip().startswith((b"{", b"[")):
                self._stream = EventStream()
        if self._stream is None:
            if self._size <= (LARGEST_PLAIN if _is_success(self._status) else _LARGEST_ERROR):
                self._body.append(plain)
            return None
        if self._size > LARGEST_PLAIN:
            self._give_up(f"the answer has more than {LARGEST_PLAIN:,} bytes")
            return None
        try:
            events = self._stream.feed(plain)
        except DataError as error:
            self._give_up(error.message)
            return None
        last = self._answer.take(events)
        if last is None:
            return None
        if self._inflate is not None:
            return 0
        if data.endswith(last, 0, -2):  # an empty line is all that is behind it, which is looked at far quicker
            return len(data) - 2 - len(last)
        return max(data.rfind(last), 0)

    def _inflated(self, data: bytes) -> bytes:
        assert self._inflate is not None
        try:
            return self._inflate.decompress(data)
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            self._give_up(f"the answer cannot be unpacked: {error}")
            return b""

    def _give_up(self, reason: str) -> None:
        self._unread = reason
        self._stream = None
        self._inflate = None
        self._body.clear()
        self._size = LARGEST_PLAIN + 1

    @property
    def is_stream(self) -> bool:
        return self._stream is not None

    # ---------------------------------------------------------------- the record

    def finish(self, broken: End | None = None) -> Exchange:
        """The record, but for what was asked. `broken` says how it was broken off, when it did not end by itself."""
        answer, news = self._answer, self._news
        asked = news.asked if news else _NOTHING
        error: Any = None
        if answer.end is None:
            if self._stream is None and broken is None and self._status is not None:
                body = b"".join(self._body)
                if not _is_success(self._status):
                    error = _as_json(body)
                elif not answer.take_whole(body):
                    self._unread = self._unread or "the answer is not one of a model"
            else:
                answer.broken_off()
        error = answer.error if error is None else error
        end = answer.end or broken
        if end is None:
            end = "upstream_cut" if self._stream is not None or self._status is None else _by_status(self._status)
        return Exchange(
            id=self.id,
            at_us=self.at_us,
            identity=self.identity,
            path=self.path,
            status=self._status,
            end=end,
            model=answer.model or asked.model,
            effort=field_of(asked.reasoning, "effort"),
            response=answer.id,
            base=news.base if news else None,
            base_count=news.base_count if news else 0,
            echoed=news.echoed if news else (),
            output=answer.output,
            usage=answer.usage,
            error=error,
            injected=self.injected,
            request_bytes=self.request_bytes,
            first_byte_us=self._first,
            duration_us=self._clock.monotonic_us() - self._begun,
            unread=self._unread,
        )

    def closed(self, broken: End | None) -> tuple[Exchange, Line, tuple[str, Known] | None]:
        """The record of a sealed request, its line in the journal, and what may be built upon it."""
        exchange = self.finish(broken)
        line, said = line_of(exchange), self._said
        pieces = (line,) if said is None else (line[:-2], said, b"}\n") if said else (line,)
        return exchange, pieces, self.known(exchange)

    def known(self, exchange: Exchange) -> tuple[str, Known] | None:
        """What may be built upon, once `exchange` is in the journal: the thread, and what of it is known."""
        news, thread = self._news, self.identity.thread
        if news is not None and self._histories is not None:
            news = msgspec.structs.replace(news, begins=self._histories.held(self.id))
        if news is None or thread is None or self.identity.kind != "turn" or not news.count:
            return None
        answered = frozenset(name for item in exchange.output if (name := id_of(item)))
        return thread, news.known(self.id, answered, self.placed)


_NOTHING = Asked()


def _is_success(status: int | None) -> bool:
    return status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _by_status(status: int) -> End:
    return "completed" if _is_success(status) else "failed"


def _as_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return body.decode(errors="replace") or None


# -------------------------------------------------------------------- secrets

_encoder = msgspec.json.Encoder()


def _said_of(news: News) -> bytes:
    """The fields of a line that say what was asked, without secrets; each with a comma before it."""
    said = b""
    if news.base is None and news.asked.instructions is not None:
        said = b',"instructions":' + _encoder.encode(news.asked.instructions)
    if news.items:
        said = b"".join((said, b',"input":[', b",".join(news.items), b"]"))
    if not may_hold_secret(said):
        return said
    clean = {"input": _clean_items(news.items)} if news.items else {}
    if said.startswith(b',"instructions"'):
        clean = {"instructions": _clean(news.asked.instructions)} | clean
    return b"," + _encoder.encode(clean)[1:-1]


def line_of(exchange: Exchange) -> bytes:
    """The line of the journal for `exchange`, without secrets."""
    line = _encoder.encode(exchange)
    if may_hold_secret(line):
        items = {"input": _clean_items(exchange.input), "output": _clean_items(exchange.output)}
        items = {name: clean for name, clean in items.items() if clean}
        bare = msgspec.structs.replace(exchange, input=[], output=())
        line = _encoder.encode(_clean_text(_encoder.encode(bare)) | items)
    return line + b"\n"


def _clean_items(items: Sequence[msgspec.Raw]) -> list[Any]:
    """Only items that look suspicious are taken apart."""
    return [_clean_text(bytes(item)) if may_hold_secret(bytes(item)) else item for item in items]


def _clean_text(text: bytes) -> Any:
    try:
        return _clean(msgspec.json.decode(text))
    except RecursionError:
        return {"unread": "it is nested too deeply"}


def _clean(value: Any) -> Any:
    match value:
        case str():
            return redact(value) if len(value) >= _SHORTEST else value
        case dict():
            fields = cast("dict[str, Any]", value)
            return {_clean(name): _cleanfield_of(name, item) for name, item in fields.items()}
        case list():
            return [_clean(item) for item in cast("list[Any]", value)]
        case _:
            return value


_SHORTEST = 8  # no rule finds a secret in less
_SECRET_NAME = ("key", "secret", "passw", "token", "authorization")


def _cleanfield_of(name: str, value: Any) -> Any:
    """A field whose name says that it holds a secret holds one, though its value alone would not tell."""
    if isinstance(value, str) and any(word in name.lower() for word in _SECRET_NAME):
        together = redact(f'"{name}": "{value}"')
        if f'"{name}": "' not in together:
            return "[redacted:assignment]"
    return _clean(value)
