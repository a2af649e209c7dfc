"""The frames of an app-server's conversation, however the bytes are cut and whatever they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.connection import Answer, Connection, Garbage, Incoming, Notification, ServerRequest
from armarius.codex.protocol import ApprovalAsked, StatusChanged

_STATUS = {"threadId": "t", "status": {"type": "active", "activeFlags": ["waitingOnApproval"]}}
_ASKED = {"threadId": "t", "turnId": "u", "itemId": "i", "command": "touch x", "reason": "May I?"}


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def received(connection: Connection, *pieces: bytes) -> list[Incoming]:
    return [message for piece in pieces for message in connection.feed(piece)]


@pytest.mark.parametrize(
    ("sent", "kind", "fields"),
    [
        (line(method="new/thing", params={"x": 1}), Notification, {"params": {"x": 1}, "body": None}),
        (line(method="error", params={"error": 3}), Notification, {"params": {"error": 3}, "body": None}),
        (line(id=7, method="new", params={}), ServerRequest, {"id": 7, "method": "new", "body": None}),
        (line(id="a", method="new/question"), ServerRequest, {"id": "a", "params": None}),
        (line(id=1, result={"y": 2}), Answer, {"id": 1, "result": {"y": 2}, "error": None}),
        (line(id=1, result=None), Answer, {"id": 1, "result": None, "error": None}),
        (line(id=2, result={}), Garbage, {"reason": "nobody asked for this answer"}),
        (line(id="1", result={}), Garbage, {"reason": "nobody asked for this answer"}),
        (line(id=1), Garbage, {"reason": "neither a result nor an error"}),
        (line(), Garbage, {"reason": "nobody asked for this answer"}),
        (b"not json\n", Garbage, {"shown": "not json"}),
        (b"[1, 2]\n", Garbage, {"shown": "[1, 2]"}),
        (b'{"id":1,"result":{}}{"id":1,"result":{}}\n', Garbage, {}),
        (b'{"method":"a","params":"\xff"}\n', Garbage, {}),
        (b'{"method":"a","params":' + b"[" * 100_000 + b"\n", Garbage, {}),
    ],
)  # fmt: skip
def test_a_line_is_what_it_is(sent: bytes, kind: type[Incoming], fields: dict[str, Any]) -> None:
    connection = Connection()
    connection.request("thread/start", {})
    (message,) = received(connection, sent)
    assert isinstance(message, kind)
    assert {name: getattr(message, name) for name in fields} == fields


def test_what_is_known_is_typed() -> None:
    status, asked = received(
        Connection(),
        line(method="thread/status/changed", params=_STATUS, emittedAtMs=5)
        + line(id=3, method="item/commandExecution/requestApproval", params=_ASKED),
    )
    assert isinstance(status, Notification)
    assert isinstance(status.body, StatusChanged)
    assert (status.body.status.active_flags, status.emitted_at_ms) == (("waitingOnApproval",), 5)
    assert isinstance(asked, ServerRequest)
    assert asked.body == ApprovalAsked("t", "u", "i", "May I?", "touch x")


@given(st.data())
def test_where_the_bytes_are_cut_changes_nothing(data: st.DataObject) -> None:
    whole = b"".join(
        data.draw(
            st.sampled_from(
                [line(method="a", params={"x": "é"}), b"\n", b"bad\n", b"x" * 50 + b"\n", line(id=1, result={})]
            )
        )
        for _ in range(6)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def heard(*parts: bytes) -> list[Any]:
        connection = Connection(longest_line=48)
        connection.request("a", {})
        # Of a line that is too long only the beginning is kept, and how much depends on the cut.
        return [type(m) if isinstance(m, Garbage) else m for m in received(connection, *parts)]

    assert heard(*pieces) == heard(whole)


def test_a_line_without_end_is_reported_once_and_not_kept() -> None:
    connection = Connection(longest_line=100)
    messages = received(connection, *[b"x" * 60] * 50, b"tail\n", line(method="after"))
    assert [type(message) for message in messages] == [Garbage, Notification]
    assert isinstance(messages[0], Garbage)
    assert messages[0].reason == "a line of more than 100 bytes"


def test_an_answer_counts_once_and_a_forgotten_one_not_at_all() -> None:
    connection = Connection()
    first, _ = connection.request("a", {})
    second, _ = connection.request("b", {})
    connection.forget(second)
    answers = received(connection, line(id=first, result=1), line(id=first, result=1), line(id=second, result=1))
    assert [type(answer) for answer in answers] == [Answer, Garbage, Garbage]


def test_what_is_sent_is_one_line_without_the_field_that_codex_does_not_know() -> None:
    connection = Connection()
    number, request = connection.request("turn/start", {"text": "two\nlines"})
    asked = ServerRequest("q", "x", None, None)
    assert [request.count(b"\n"), json.loads(request)] == [
        1,
        {"id": number, "method": "turn/start", "params": {"text": "two\nlines"}},
    ]
    assert json.loads(connection.notify("initialized")) == {"method": "initialized"}
    assert json.loads(connection.answer(asked, {"decision": "decline"})) == {
        "id": "q",
        "result": {"decision": "decline"},
    }
