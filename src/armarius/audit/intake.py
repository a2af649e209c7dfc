"""A stream of `codex exec --json` on its way into the record: one look at each line, whichever shape it has.

Owns what is seen of a stream while its bytes go by: its hash, its lines, where each run begins and how it ended.
Does not own where the bytes go (`streams.py`), nor the items of a turn, which are read when somebody asks.
Invariant: pure, and the same for any cut of the bytes into pieces; memory is bounded by LONGEST_LINE and the
number of runs. Of an item the beginning of its line is looked at, and the end where no item follows; every other
line is decoded.
"""

import hashlib
from collections.abc import Callable
from mmap import mmap
from typing import Any, Final, Literal

import msgspec
import re2
from msgspec import Raw

from armarius.rollouts.reader import LONGEST_LINE

__all__ = ["Intake", "RunSeen", "Seen", "Shape", "StreamState"]

Shape = Literal["exec", "exec_old"]
StreamState = Literal["completed", "failed", "open", "unknown"]

_ITEM: Final = b'{"type":"item.'
_END: Final = b"}}"
_KNOWN: Final = frozenset({"thread.started", "turn.started", "turn.completed", "turn.failed", "error"})
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LONGEST_NOTE: Final = 4_000


def _unlike(word: bytes) -> bytes:
    """A pattern of what does not begin with a word; the engine has no other way to say it."""
    spelt = [rb"\x%02x" % byte for byte in word]
    return b"|".join(b"%b[^%b]" % (b"".join(spelt[:number]), each) for number, each in enumerate(spelt))


def _over_items() -> Any:
    options: Any = re2.Options()
    options.encoding = options.Encoding.LATIN1  # bytes, as they come
    return re2.compile(b"\\n(?:" + _unlike(_ITEM) + b")", options)  # pyright: ignore[reportUnknownMemberType]


_next_odd: Final[Callable[[bytes | mmap, int, int], Any]] = _over_items().search
"""To the end of the line before the next one that is no item, as fast as memory can be read."""


class RunSeen(msgspec.Struct):
    """One run of Codex: where it begins and how it ended. `usage` is JSON as Codex wrote it."""

    thread_id: str
    byte: int
    state: StreamState
    size: int = 0
    error: str | None = None
    usage: str | None = None


class Seen(msgspec.Struct, frozen=True):
    """A whole stream; `shape` is None when no line of it is one of Codex's."""

    sha256: str
    size: int
    bad: int
    shape: Shape | None
    runs: tuple[RunSeen, ...]


class _Event(msgspec.Struct):
    """Any line of both shapes, as far as it matters here."""

    type: str | None = None
    thread_id: str | None = None
    usage: Raw = Raw()
    error: Raw = Raw()
    msg: Raw = Raw()
    id: str | None = None
    workdir: str | None = None
    prompt: str | None = None


class _Failure(msgspec.Struct):
    message: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


class Intake:
    """Fed with pieces of a stream, and asked for what was seen at its end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._begun = b""
        self._dropped = 0  # how much of a line that is too long was let go
        self._bad = 0
        self._cut: tuple[bytes, int] | None = None  # an item that may have been cut off
        self._shape: Shape | None = None
        self._runs = list[RunSeen]()

    def feed(self, piece: bytes | mmap, size: int | None = None) -> None:
        """The next bytes: all of a piece, or the first `size` of it."""
        size = len(piece) if size is None else size
        with memoryview(piece) as view:
            self._hash.update(view[:size])
        at = self._size
        self._size += size
        first = piece.find(b"\n", 0, size) + 1
        if not first:
            self._keep(piece[:size])
            return
        if self._begun or self._dropped:  # the line that was begun is ended here
            head = self._begun + piece[:first]
            if self._dropped or len(head) > LONGEST_LINE:
                self._settle()
                self._bad += 1
            else:
                self._look(head, 0, len(head), at - len(self._begun))
            self._begun, self._dropped = b"", 0
        else:
            first = 0
        whole = piece.rfind(b"\n", 0, size) + 1
        self._look(piece, first, whole, at)
        self._keep(piece[whole:size])

    def _keep(self, rest: bytes) -> None:
        """The beginning of a line whose end is still to come."""
        self._begun += rest
        if len(self._begun) > LONGEST_LINE:
            self._dropped += len(self._begun)
            self._begun = b""

    def _look(self, data: bytes | mmap, start: int, end: int, at: int) -> None:
        """Whole lines, from `start` to `end` of data that begins at byte `at`; most of them are items."""
        while start < end:
            if data[start : start + len(_ITEM)] == _ITEM and self._shape is not None:
                odd = _next_odd(data, start, end)
                stop: int = odd.start() + 1 if odd else end
                self._cut = None
                if data[stop - 3 : stop - 1] != _END:
                    begin = data.rfind(b"\n", start, stop - 1) + 1 or start
                    self._cut = data[begin : stop - 1], at + begin
            else:
                self._settle()
                stop = data.find(b"\n", start, end) + 1
                self._line(data[start : stop - 1], at + start)
            start = stop

    def _settle(self) -> None:
        """The item that no item follows, where its end is not that of one: is it one that was cut off?"""
        if self._cut is not None:
            line, at = self._cut
            self._cut = None
            self._line(line, at)

    def _line(self, line: bytes, at: int) -> None:
        if not line.strip():
            return
        try:
            event = _decode(line)
        except _UNREADABLE:
            self._bad += 1
            return
        if event.type is not None:
            self._event(event, at)
        elif event.workdir is not None or event.prompt is not None or bytes(event.msg):
            self._shape = self._shape or "exec_old"
            if event.workdir is not None or not self._runs:
                self._begin("", at if self._runs else 0, "unknown")
        else:
            self._bad += 1

    def _event(self, event: _Event, at: int) -> None:
        if event.type not in _KNOWN and not (event.type or "").startswith("item."):
            return  # a kind that is not known yet, or another program's: no run begins with it
        self._shape = self._shape or "exec"
        if event.type == "thread.started" or not self._runs:
            self._begin(event.thread_id or "", at if self._runs else 0, "open")
        run = self._runs[-1]
        match event.type:
            case "turn.started":
                run.state, run.error = "open", None
            case "turn.completed":
                run.state, run.error = "completed", None
                told = bytes(event.usage)
                run.usage = told.decode() if 0 < len(told) <= _LONGEST_NOTE else None
            case "turn.failed":
                run.state, run.error = "failed", _failure(event.error)
            case _:
                pass

    def _begin(self, thread_id: str, at: int, state: StreamState) -> None:
        if self._runs:
            self._runs[-1].size = at - self._runs[-1].byte
        self._runs.append(RunSeen(thread_id, at, state))

    def end(self) -> Seen:
        """All that was seen. A last line without its end counts when it is whole."""
        if self._dropped:
            self._bad += 1
        elif self._begun:
            self._look(self._begun + b"\n", 0, len(self._begun) + 1, self._size - len(self._begun))
        self._settle()
        if self._runs:
            self._runs[-1].size = self._size - self._runs[-1].byte
        return Seen(f"sha256:{self._hash.hexdigest()}", self._size, self._bad, self._shape, tuple(self._runs))


def _failure(raw: Raw) -> str:
    try:
        return _decode_failure(raw).message.replace("\0", "")[:_LONGEST_NOTE] or "no reason given"
    except _UNREADABLE:
        return "no reason given"
