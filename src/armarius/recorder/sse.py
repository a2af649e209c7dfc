"""Server-sent events out of bytes that arrive in any pieces.

Owns the format of the WHATWG standard, as far as data goes: LF, CRLF and CR line ends, comments, `data:` with
and without a space, several data lines, a byte-order mark. Does not own what an event means.
Invariant: how the bytes were cut into pieces makes no difference to the events, and each byte is looked at
a bounded number of times however many pieces an event comes in.
"""

from collections.abc import Iterator

from armarius.errors import DataError

__all__ = ["LARGEST_EVENT", "EventStream", "event_at", "payload_of"]

LARGEST_EVENT = 64 << 20
_MARK = b"\xef\xbb\xbf"


class EventStream:
    """The events of one stream in order, many as one text; most of them nobody ever looks into."""

    __slots__ = ("_begun", "_pieces", "_return", "_size")

    def __init__(self) -> None:
        self._pieces = list[bytes]()
        """The beginning of an event whose end is still to come, with plain line ends."""
        self._size = 0
        self._return = False
        """Whether the last byte was a CR, to which an LF may still belong."""
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """The events that end in `data`, with plain line ends and an empty line behind each; DataError for one
        without measure.
        """
        if not self._begun:
            data = self._without_mark(data)
        if self._return or b"\r" in data:
            data = self._plain(data)
        if not data:
            return b""
        pieces = self._pieces
        if pieces:
            if b"\n\n" not in data and not (data[0] == _LF and pieces[-1][-1] == _LF):
                self._keep(data)
                return b""
            pieces.append(data)
            data = b"".join(pieces)
            pieces.clear()
            self._size = 0
        end = data.rfind(b"\n\n") + 2
        if end < 2:  # noqa: PLR2004  # there is none
            self._keep(data)
            return b""
        if end < len(data):
            self._keep(data[end:])
        return data[:end]

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LARGEST_EVENT:
            raise DataError("event-size", f"an event of the stream has more than {LARGEST_EVENT:,} bytes")
        self._pieces.append(data)

    def _without_mark(self, data: bytes) -> bytes:
        """The stream without its byte-order mark, which may come in pieces too."""
        head = b"".join((*self._pieces, data))
        self._pieces.clear()
        if len(head) < len(_MARK) and _MARK.startswith(head):
            self._pieces.append(head)
            return b""
        self._begun = True
        return head.removeprefix(_MARK)

    def _plain(self, data: bytes) -> bytes:
        """`data` with LF for every line end. A CR at its very end counts at once; an LF after it no more."""
        if self._return and data.startswith(b"\n"):
            data = data[1:]
        self._return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


_LF = 0x0A


def event_at(events: bytes, start: int) -> bytes:
    """The event that begins at `start`, without the empty line behind it; one byte is found far quicker than two."""
    end = events.find(b"\n", start)
    while end >= 0 and events[end + 1 : end + 2] != b"\n":
        end = events.find(b"\n", end + 1)
    return events[start:end]


def payload_of(block: bytes) -> bytes | None:
    """The data of one event. Nearly all have one line `event: …` and one `data: …`, which is quick to see."""
    if block.startswith(b"event:"):
        first = block.find(b"\n")
        if first > 0 and block.startswith(b"data: ", first + 1) and block.find(b"\n", first + 1) < 0:
            return block[first + 7 :]
    elif block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = list(_data(block))
    return b"\n".join(lines) if lines else None


def _data(block: bytes) -> Iterator[bytes]:
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            yield value[1:] if value.startswith(b" ") else value
