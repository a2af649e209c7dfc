"""What the records of all generations share.

Owns where and when a record stands, and the small shapes that occur inside many records: texts,
durations, changes of files, words for an outcome. Does not own any record.
Invariant: nothing here refuses; what cannot be read becomes None, "" or UNKNOWN.
"""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from armarius.clock import parse_rfc3339
from armarius.thread import FileSpot, ItemStatus, PathChange, Spot, StreamSpot

__all__ = [
    "NOWHERE",
    "Change",
    "Content",
    "Duration",
    "Here",
    "Number",
    "StreamHere",
    "at_us",
    "changes_of",
    "signed",
    "status_of",
    "status_of_exit",
    "text_of",
    "word",
]

_STATUS = {
    "completed": ItemStatus.COMPLETED,
    "failed": ItemStatus.FAILED,
    "declined": ItemStatus.DECLINED,
    "inProgress": ItemStatus.IN_PROGRESS,
    "in_progress": ItemStatus.IN_PROGRESS,
}


Number: TypeAlias = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
"""A number as programs count: one beyond this is damage, and no database could hold it."""


class Here(Struct):
    """Where a record stands and when it was written; worked out only for records that are kept."""

    file: str
    line: int
    byte: int
    ordinal: int | None
    timestamp: str

    @property
    def spot(self) -> Spot:
        return FileSpot(self.file, self.byte, self.ordinal)

    @property
    def at_us(self) -> int | None:
        return at_us(self.timestamp)

    def id(self, kind: str) -> str:
        """A name for something that Codex gave none; the same however often the file is read."""
        return f"{kind}-at-byte-{self.byte}"


class StreamHere(Here):
    """The same in a stream, whose lines are counted."""

    @property
    def spot(self) -> StreamSpot:
        return StreamSpot(self.file, self.line)


NOWHERE: Final = Here("", 0, 0, None, "")
"""For whoever asks a record what it says, and not where."""


def word(value: Any) -> str | None:
    """What is text; None for anything else."""
    return value if isinstance(value, str) else None


def at_us(timestamp: str) -> int | None:
    """A time as Codex writes it, in microseconds; None for what is none."""
    try:
        return parse_rfc3339(timestamp) if timestamp else None
    except (ValueError, OverflowError):
        return None


class Part(Struct):
    """A piece of a message or of a tool's answer; a picture is a piece without text."""

    text: str = ""


class Wrapped(Struct):
    """A tool's answer as early versions wrapped it."""

    content: str = ""


Content: TypeAlias = str | list[Part] | Wrapped


def text_of(content: Content) -> str:
    match content:
        case str():
            return content
        case Wrapped():
            return content.content
        case _:
            return "\n".join(part.text for part in content if part.text)


class Duration(Struct):
    """A length of time as Rust writes it."""

    secs: Number
    nanos: Number

    @property
    def us(self) -> int:
        return self.secs * 1_000_000 + self.nanos // 1_000


class Change(Struct):
    """What a patch does to one file: `{"type": "add", …}`; in early versions `{"add": {…}}`."""

    type: str | None = None
    move_path: str | None = None
    content: Raw = Raw()
    unified_diff: Raw = Raw()
    add: Raw = Raw()
    delete: Raw = Raw()
    update: Raw = Raw()

    @property
    def kind(self) -> str:
        return self.type or ("add" if bytes(self.add) else "delete" if bytes(self.delete) else "update")

    @property
    def diff(self) -> str | None:
        """The lines that changed, in the shape of a unified diff; None when they were not recorded."""
        wrapped = bytes(self.add) or bytes(self.delete) or bytes(self.update)
        body = _decoded(_BODY, wrapped) if wrapped else self
        if body is None:
            return None
        found = _decoded(_STRING, bytes(body.unified_diff))
        if found is not None:
            return found
        whole = _decoded(_STRING, bytes(body.content))
        return None if whole is None else signed("-" if self.kind == "delete" else "+", whole)


class _Body(Struct):
    """What early versions put one level deeper."""

    content: Raw = Raw()
    unified_diff: Raw = Raw()


_BODY = msgspec.json.Decoder(_Body)
_STRING = msgspec.json.Decoder(str)
_Value = TypeVar("_Value")


def _decoded(decoder: msgspec.json.Decoder[_Value], raw: bytes) -> _Value | None:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        return None


def signed(sign: str, text: str) -> str:
    """Every line of `text` as a diff shows a line that came or went."""
    return "".join(f"{sign}{line}\n" for line in text.removesuffix("\n").split("\n")) if text else ""


def changes_of(changes: dict[str, Change]) -> tuple[PathChange, ...]:
    """The files of a patch; a file that is renamed was changed under both names."""
    found: list[PathChange] = []
    for path, change in changes.items():
        found.append(PathChange(path, change.kind, change.diff))
        if change.move_path:
            found.append(PathChange(change.move_path, "add"))
    return tuple(found)


def status_of(word: str | None) -> ItemStatus:
    return _STATUS.get(word or "", ItemStatus.UNKNOWN)


def status_of_exit(code: int | None) -> ItemStatus:
    if code is None:
        return ItemStatus.UNKNOWN
    return ItemStatus.FAILED if code else ItemStatus.COMPLETED
