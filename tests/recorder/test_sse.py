"""Server-sent events, however they are cut, ended and spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import DataError
from armarius.recorder.answer import Answer
from armarius.recorder.sse import LARGEST_EVENT, EventStream, payload_of
from support.recorder_world import events

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def payloads(pieces: list[bytes]) -> list[bytes]:
    stream = EventStream()
    found = (payload_of(block) for piece in pieces for block in stream.feed(piece).split(b"\n\n"))
    return [payload for payload in found if payload is not None]


def by_the_letter(data: bytes) -> list[bytes]:
    """The standard's own steps, line by line, over the whole stream."""
    lines = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    found, said = list[bytes](), list[bytes]()
    for line in lines:
        if not line:
            found += [b"\n".join(said)] if said else []
            said = []
        elif line == b"data":
            said.append(b"")
        elif line.startswith(b"data:"):
            said.append(line[5:].removeprefix(b" "))
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    points = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]


LINE = st.one_of(
    st.binary(max_size=12).map(lambda text: b"data: " + text.replace(b"\r", b"").replace(b"\n", b"")),
    st.sampled_from(
        [b"data:x", b"data", b"data:", b": comment", b"event: e", b"id: 7", b"retry: 1", b"datax: no", b"", b""]
    ),
)


@given(st.lists(st.tuples(LINE, ENDS), max_size=30), st.lists(st.integers(0, 1000)), st.booleans())
def test_any_stream_cut_anywhere_says_what_the_standard_says(
    lines: list[tuple[bytes, bytes]],
    places: list[int],
    marked: bool,  # noqa: FBT001
) -> None:
    data = b"\xef\xbb\xbf" * marked + b"".join(line + end for line, end in lines)
    # A CR at the end of a piece counts at once: an LF that follows belongs to it.
    assert payloads(cut(data, places)) == by_the_letter(data)


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000)))
def test_any_bytes_at_all_are_read_alike_however_they_are_cut(data: bytes, places: list[int]) -> None:
    assert payloads(cut(data, places)) == payloads([data]) == by_the_letter(data)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("space", [b" ", b""])
def test_split_characters_crlf_and_a_missing_space_lose_nothing(size: int, end: bytes, space: bytes) -> None:
    """R6 and R7: text of several bytes a character over pieces, `data:` without a space."""
    data = b"".join(events("日本語 🎉")).replace(b"data: ", b"data:" + space).replace(b"\n", end)
    stream, answer = EventStream(), Answer()
    last = [answer.take(stream.feed(data[at : at + size])) for at in range(0, len(data), size)]
    assert any(last)
    assert "日本語 🎉".encode() in bytes(answer.output[0])


def test_an_event_over_many_pieces_is_not_looked_at_again_with_each_of_them() -> None:
    stream = EventStream()
    for _ in range(20_000):
        assert stream.feed(b"data: " + b"x" * 100) == b""  # quadratic work would take minutes
    assert len(stream.feed(b"\n\n")) == 20_000 * 106 + 2


def test_an_event_without_end_is_given_up() -> None:
    """Threat 29."""
    stream = EventStream()
    for _ in range(16):
        assert stream.feed(b"x" * (LARGEST_EVENT // 16)) == b""
    with pytest.raises(DataError, match="more than"):
        stream.feed(b"x")
