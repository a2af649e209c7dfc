"""What the record says, and what a recorder must not get wrong: each row of the weak points of its model."""

import json
import os
import resource
import threading
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius import recorder as recorder_part
from armarius.clock import SystemClock
from armarius.recorder.answer import Answer, End
from armarius.recorder.exchange import Recording
from armarius.recorder.history import Histories, Known
from armarius.recorder.identity import Identity, identify
from armarius.recorder.journal import Journal, Line, Place
from armarius.recorder.spill import Aside, Spill
from armarius.recorder.sse import EventStream
from armarius.recorder.turns import list_sessions, read_exchange
from foundation.test_redact import PEM, SECRETS
from support.codex_world import wait_for
from support.recorder_world import CUT, Client, Provider, Recorder, event, events, plain, stream
from support.source import read_tree

STREAM = {b"content-type": b"text/event-stream"}


def user(text: str, name: str | None = None) -> dict[str, Any]:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return item | ({"id": name} if name else {})


def request(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "stream": True, "input": list(items)} | fields


def metadata(**fields: Any) -> str:
    return json.dumps({"session_id": "s", "thread_id": "t", "request_kind": "turn"} | fields)


def ask(recorder: Recorder, body: dict[str, Any], **headers: str) -> bytes:
    with Client(recorder.port) as client:
        return client.ask(body, **headers).answer()[2]


# -------------------------------------------------------------------- R1: whose it is


@pytest.mark.parametrize(
    ("headers", "fields", "wanted"),
    [
        ({"session-id": "a", "thread-id": "b"}, {}, ("a", "b", "header")),
        ({"session-id": "a"}, {}, ("a", "a", "header")),
        ({"x-codex-turn-metadata": metadata()}, {}, ("s", "t", "metadata")),
        ({}, {"metadata": metadata()}, ("s", "t", "metadata")),
        ({"session_id": "c"}, {}, ("c", "c", "old-header")),
        ({"conversation_id": "d", "thread_id": "e"}, {}, ("d", "e", "old-header")),
        ({}, {"cache_key": "f"}, ("f", "f", "cache-key")),
        ({"session-id": "a", "session_id": "c"}, {"cache_key": "f", "metadata": metadata()}, ("a", "t", "header")),
        ({}, {}, (None, None, None)),
        ({"session-id": ""}, {"cache_key": 7, "metadata": "no json"}, (None, None, None)),
        ({"session-id": "x" * 300}, {}, (None, None, None)),
        ({"session-id": "a\x1b]52;c;x\x07"}, {}, (None, None, None)),
        ({"x-codex-turn-metadata": "[" * 5000}, {}, (None, None, None)),
        ({"x-codex-turn-metadata": '{"session_id": {"a": 1}, "thread_id": null}'}, {}, (None, None, None)),
    ],
)
def test_r1_a_session_is_who_it_says_it_is_and_never_a_guess(
    headers: dict[str, str], fields: dict[str, Any], wanted: tuple[str | None, ...]
) -> None:
    found = identify(headers, **fields)
    assert (found.session, found.thread, found.source) == wanted


@pytest.mark.parametrize(
    ("headers", "kind", "subagent", "counts"),
    [
        ({"x-codex-turn-metadata": metadata(turn_id="1")}, "turn", None, True),
        ({"x-codex-turn-metadata": metadata(request_kind="compaction")}, "compaction", None, False),
        ({"x-openai-subagent": "compact"}, "compaction", None, False),
        ({"x-codex-turn-metadata": metadata(turn_trigger="guardian_review")}, "review", None, False),
        ({"x-openai-subagent": "review"}, "turn", "review", False),
        ({"x-codex-turn-metadata": metadata(subagent_kind="thread_spawn")}, "turn", "thread_spawn", False),
        ({"x-codex-turn-metadata": metadata(parent_thread_id="p", agent_name="/root/a")}, "turn", "/root/a", False),
        ({"x-codex-turn-metadata": metadata(request_kind="memory")}, "other", None, False),
        ({"session_id": "old"}, "turn", None, True),
    ],
)
def test_compactions_reviews_and_sub_agents_are_told_from_turns_of_the_user(
    headers: dict[str, str], kind: str, subagent: str | None, *, counts: bool
) -> None:
    found = identify(headers)
    assert (found.kind, found.subagent, found.is_user_turn) == (kind, subagent, counts)


def test_what_is_asked_of_the_path_for_compactions_is_one_though_nothing_else_says_so(
    recorder: Recorder, provider: Provider
) -> None:
    body = json.dumps({"output": [{"type": "compaction", "encrypted_content": "x"}]}).encode()
    provider.answer = lambda _: plain(200, body, "Content-Type: application/json")
    with Client(recorder.port) as client:
        client.ask(request(user("x")), path="/v1/responses/compact", session_id="s").answer()
    [session] = list_sessions(recorder.journal).sessions
    assert (session.turns, session.others) == ([], {"compaction": 1})


def test_r1_sessions_that_speak_at_once_stay_apart(recorder: Recorder) -> None:
    for turn in range(4):
        for name in ("one", "two", "three"):
            ask(recorder, request(user(f"{name} {turn}")), session_id=name, thread_id=name)
    assert {s.session: s.exchanges for s in list_sessions(recorder.journal).sessions} == {
        "one": 4,
        "two": 4,
        "three": 4,
    }


# -------------------------------------------------------------------- R2, R3, R4: what was said


def test_r2_the_words_of_the_user_are_kept_whole_and_context_is_not_taken_for_them(recorder: Recorder) -> None:
    words = "Please " + "explain " * 5000
    context = user("<environment_context>\n<cwd>/x</cwd></environment_context>")
    agents = user("# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>be kind</INSTRUCTIONS>")
    ask(recorder, request(context, agents, user(words), instructions="i" * 15_000), session_id="s")
    [session] = list_sessions(recorder.journal).sessions
    assert session.turns[0].said == [words]


def test_r2_what_codex_writes_around_an_image_is_not_what_its_user_said(recorder: Recorder) -> None:
    """As Codex 0.144 and 0.169 send `-i screen.png`."""
    label = {"type": "input_text", "text": '<image name=[Image #1] path="/home/ann/screen.png">'}
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    content = [label, image, {"type": "input_text", "text": "</image>"}, {"type": "input_text", "text": "mend this"}]
    ask(recorder, request(user("") | {"content": content}), session_id="s")
    ask(recorder, request(user("<image>")), session_id="other")
    sessions = {one.session: one.turns for one in list_sessions(recorder.journal).sessions}
    assert [turn.said for turn in sessions["s"]] == [["mend this"]]
    assert [turn.said for turn in sessions["other"]] == [["<image>"]]


@pytest.mark.parametrize("name", [5, {"a": 1}, [1], "", None])
def test_r2_words_are_read_whatever_the_id_of_their_item_is(recorder: Recorder, name: Any) -> None:
    ask(recorder, request(user("go") | {"id": name}), session_id="s")
    [session] = list_sessions(recorder.journal).sessions
    assert [turn.said for turn in session.turns] == [["go"]]


def test_r3_rounds_of_tool_calls_are_one_turn_and_upload_nothing_as_two(recorder: Recorder) -> None:
    said = {"x_codex_turn_metadata": metadata(turn_id="turn-1")}
    items = [user("do it", "msg_u")]
    for number in range(3):
        ask(recorder, request(*items), **said)
        items += [{"type": "function_call_output", "id": f"o{number}", "call_id": "c", "output": "ok"}]
    ask(recorder, request(*items, user("and now?", "msg_v")), x_codex_turn_metadata=metadata(turn_id="turn-2"))
    [session] = list_sessions(recorder.journal).sessions
    assert [(turn.said, turn.exchanges) for turn in session.turns] == [(["do it"], 3), (["and now?"], 1)]


def test_r3_an_older_codex_without_turn_ids_has_turns_by_the_words_of_its_user(recorder: Recorder) -> None:
    items = [user("first", "m1")]
    ask(recorder, request(*items), session__id="old")
    items.append({"type": "function_call_output", "call_id": "c", "output": "ok"})
    ask(recorder, request(*items), session__id="old")
    ask(recorder, request(*items, user("second", "m2")), session__id="old")
    [session] = list_sessions(recorder.journal).sessions
    assert [(turn.said, turn.exchanges) for turn in session.turns] == [(["first"], 2), (["second"], 1)]


def test_r4_calls_their_outputs_reasoning_usage_model_and_unknown_items_are_all_kept(
    recorder: Recorder, provider: Provider
) -> None:
    output = [
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "because"}]},
        {"type": "custom_tool_call", "id": "c", "call_id": "1", "name": "exec", "input": "x" * 5000},
        {"type": "local_shell_call", "id": "l", "action": {"command": ["ls"]}},
        {"type": "mcp_call", "id": "m", "arguments": "{}"},
        {"type": "function_call", "id": "f", "namespace": "n", "name": "g", "arguments": '{"cmd":"cat a/b/SKILL.md"}'},
        {"type": "from_the_future", "id": "z", "deep": {"er": [1, 2, {"x": None}]}},
    ]
    provider.answer = lambda _: stream(events("x", output=output))
    outcome = {"type": "function_call_output", "call_id": "0", "output": "exit code 0"}
    skill = user("<skill>\n<name>pdf</name>\n<path>/s/pdf/SKILL.md</path>\n…</skill>")
    body = request(user("go"), skill, outcome, reasoning={"effort": "high"})
    ask(recorder, body, x_codex_turn_metadata=metadata(turn_id="1"))
    [exchange] = recorder.exchanges(1)
    assert [json.loads(bytes(item)) for item in exchange.output] == output
    assert [json.loads(bytes(item)) for item in exchange.input] == body["input"]
    assert exchange.usage == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert (exchange.model, exchange.effort, exchange.response) == ("gpt-5.5", "high", "resp_1")
    [turn] = list_sessions(recorder.journal).sessions[0].turns
    assert (turn.calls, turn.skills_mentioned, turn.skills_read) == (4, ["pdf"], ["b"])


# -------------------------------------------------------------------- R5, R8: every end


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed", "cancelled"])
def test_r5_every_end_that_the_model_gives_is_recorded_as_that_end(
    recorder: Recorder, provider: Provider, end: str
) -> None:
    details: dict[str, Any] = {"incomplete_details": {"reason": "max_output_tokens"}} if end == "incomplete" else {}
    provider.answer = lambda _: stream(events("ends", end=end, **details))
    ask(recorder, request(user("x")))
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.response) == (end, "resp_1")
    assert exchange.error == (details.get("incomplete_details") or None)


def test_r5_an_error_event_is_a_failure_with_its_words(recorder: Recorder, provider: Provider) -> None:
    provider.answer = lambda _: stream([*events("ab")[:3], event("error", code="server_error", message="overloaded")])
    ask(recorder, request(user("x")))
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.error["message"]) == ("failed", "overloaded")


def test_r5_a_whole_answer_without_a_stream_is_recorded_too(recorder: Recorder, provider: Provider) -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "all at once"}]}
    whole: dict[str, Any] = {
        "id": "resp_9",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [item],
        "usage": {},
    }
    provider.answer = lambda _: plain(200, json.dumps(whole).encode(), "Content-Type: application/json")
    ask(recorder, request(user("x"), stream=False))
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.response, json.loads(bytes(exchange.output[0]))) == ("completed", "resp_9", item)


SAID = [
    event("response.output_item.added", output_index=0, item={"id": "m", "type": "message", "role": "assistant"}),
    event("response.output_text.delta", output_index=0, content_index=0, delta="par"),
    event("response.output_text.delta", output_index=0, content_index=0, delta="tial"),
    event("response.output_item.added", output_index=1, item={"id": "f", "type": "function_call", "name": "sh"}),
    event("response.function_call_arguments.delta", output_index=1, delta='{"cmd":'),
    event("response.output_item.added", output_index=2, item={"id": "c", "type": "custom_tool_call", "name": "exec"}),
    event("response.custom_tool_call_input.delta", output_index=2, delta="text("),
    event("response.output_item.added", output_index=3, item={"id": "r", "type": "reasoning"}),
    event("response.reasoning_summary_text.delta", output_index=3, summary_index=0, delta="hm"),
]


@pytest.mark.parametrize("padding", [0, 100_000], ids=["kept as it came", "too long for that"])
def test_r5_what_came_before_a_cut_is_rebuilt_from_its_pieces(padding: int) -> None:
    answer, lines = Answer(), EventStream()
    for piece in SAID:
        answer.take(lines.feed(event("response.ping", obfuscation="x" * padding)))
        answer.take(lines.feed(piece))
    answer.broken_off()
    items = [json.loads(bytes(item)) for item in answer.output]
    assert [item["status"] for item in items] == ["incomplete"] * 4
    assert [item["id"] for item in items] == ["m", "f", "c", "r"]
    assert items[0]["content"][0]["text"] == "partial"
    assert (items[1]["arguments"], items[2]["input"]) == ('{"cmd":', "text(")
    assert items[3]["summary"] == [{"type": "summary_text", "text": "hm"}]


PARTS = [
    event("response.output_item.added", output_index=0, item={"id": "r", "type": "reasoning", "summary": []}),
    event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="fir"),
    event("response.reasoning_summary_text.done", output_index=0, summary_index=0, text="first"),
    event("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="sec"),
    event("response.reasoning_summary_text.done", output_index=0, summary_index=1, text="second"),
    event("response.reasoning_text.delta", output_index=0, content_index=0, delta="raw"),
    event("response.output_item.added", output_index=1, item={"id": "m", "type": "message", "role": "assistant"}),
    event("response.output_text.done", output_index=1, content_index=0, text="I will"),
    event("response.refusal.delta", output_index=1, content_index=1, delta="not"),
    event("response.output_item.added", output_index=2, item={"id": "p", "type": "mcp_call", "name": "x"}),
    event("response.mcp_call_arguments.delta", output_index=2, delta="{"),
    event("response.code_interpreter_call_code.delta", output_index=3, delta="1+"),
]


def test_r5_each_part_of_an_item_that_was_broken_off_stays_a_part_of_its_kind() -> None:
    answer = Answer()
    answer.take(b"".join(PARTS))
    answer.broken_off()
    thought, message, called, code = (json.loads(bytes(item)) for item in answer.output)
    assert [part["text"] for part in thought["summary"]] == ["first", "second"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "raw"}]
    said = [{"type": "output_text", "text": "I will"}, {"type": "refusal", "refusal": "not"}]
    assert (message["content"], called["arguments"]) == (said, "{")
    assert (code["type"], code["code"]) == ("code_interpreter_call", "1+")


def test_r5_an_error_without_a_type_is_kept_and_is_a_failure_when_nothing_follows(
    recorder: Recorder, provider: Provider
) -> None:
    """Servers behind a router say so; Codex reads on, and finds that the stream was cut."""
    provider.answer = lambda _: stream([*events("ab")[:3], b'data: {"error":{"message":"overloaded"}}\n\n'])
    ask(recorder, request(user("x")))
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.error) == ("failed", {"message": "overloaded"})


@pytest.mark.parametrize("head", ["200 OK", "200 OK\r\nContent-Type: text/plain", "201 Created\r\nContent-Type: x/y"])
def test_r5_a_stream_is_recorded_whatever_it_is_called(recorder: Recorder, provider: Provider, head: str) -> None:
    """Codex reads it as a stream, too."""
    body = b"".join(events("nameless"))
    provider.answer = lambda _: [f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body]
    with Client(recorder.port) as client:
        assert client.ask(request(user("x"))).answer()[2] == body
    [exchange] = recorder.exchanges(1)
    assert (exchange.end, exchange.response, b"nameless" in bytes(exchange.output[0])) == ("completed", "resp_1", True)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((200, b"<html>a hotel wants to be paid"), ("completed", "the answer is not one of a model")),
        ((200, b""), ("completed", "the answer is not one of a model")),
        ((307, b""), ("failed", None)),
    ],
)
def test_r8_an_answer_that_is_none_is_not_taken_for_one(
    recorder: Recorder, provider: Provider, answer: tuple[int, bytes], wanted: tuple[str, str | None]
) -> None:
    provider.answer = lambda _: plain(*answer, "Content-Type: application/json", "Location: http://x/")
    ask(recorder, request(user("x")))
    assert [(exchange.end, exchange.unread) for exchange in recorder.exchanges(1)] == [wanted]


def test_r8_what_a_long_stream_says_twice_is_not_kept_twice() -> None:
    """Deltas with padding, as some providers send them against listeners, until they are 20 MB."""
    answer, lines = Answer(), EventStream()
    padded = event("response.output_text.delta", output_index=0, content_index=0, delta="a", obfuscation="x" * 10_000)
    tracemalloc.start()
    try:
        for _ in range(2_000):
            answer.take(lines.feed(bytes(bytearray(padded))))  # as if each had come by itself
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    answer.broken_off()
    assert json.loads(bytes(answer.output[0]))["content"][0]["text"] == "a" * 2_000


@pytest.mark.parametrize("last", [{"output": []}, {"output": None}])
def test_an_output_that_the_last_event_leaves_out_is_rebuilt(
    recorder: Recorder, provider: Provider, last: dict[str, Any]
) -> None:
    provider.answer = lambda _: stream(events("rebuilt", **last))
    ask(recorder, request(user("x")))
    [exchange] = recorder.exchanges(1)
    assert json.loads(bytes(exchange.output[0]))["content"][0]["text"] == "rebuilt"


def called(name: str | None, **fields: Any) -> dict[str, Any]:
    item = {"type": "function_call", "call_id": name, "arguments": f"of {name}"} | fields
    return item | ({"id": name} if name else {})


def finished(item: dict[str, Any], *deltas: str, **where: Any) -> list[bytes]:
    """The events of one item; `where` is what they say of its place."""
    named = {"item_id": item["id"]} if "id" in item else {}
    added = event("response.output_item.added", item=item | {"arguments": ""}, **where)
    kind = "response.function_call_arguments.delta"
    return [
        added,
        *(event(kind, delta=text, **named, **where) for text in deltas),
        event("response.output_item.done", item=item, **where),
    ]


A, B = called("a"), called("b")


@pytest.mark.parametrize(
    ("said", "last", "wanted"),
    [
        ([*finished(A, "of", output_index=0), *finished(B, "of", output_index=0)], None, [A, B]),
        ([*finished(A, "of "), *finished(B, "of ")], None, [A, B]),
        ([*finished(called(None), "of "), *finished(called(None, arguments="2"), "2")], None, None),
        ([finished(B, output_index=1)[-1], finished(A, output_index=0)[-1]], None, [A, B]),
        ([finished(A, output_index=0)[-1], finished(A, output_index=0)[-1]], None, [A]),
        ([*finished(A, output_index=0), *finished(B, output_index=1)], [B], [A, B]),
        (finished(A, output_index=0), [A | {"id": "another id", "status": "completed"}], [A]),
        (finished(A, output_index=0), [A | {"status": "completed"}], [A | {"status": "completed"}]),
        (finished(A, output_index=0), [B, called("c")], [A, B, called("c")]),
        ([], [A, B], [A, B]),
    ],
    ids=[
        *(
            "one place for all",
            "no places",
            "no places and no ids",
            "other order",
            "said twice",
            "the last leaves one out",
        ),
        *("the last calls it otherwise", "the last says more of it", "the last says others", "only the last says them"),
    ],
)
@pytest.mark.parametrize("padding", [0, 200_000], ids=["kept as it came", "too long for that"])
def test_an_item_that_was_finished_is_recorded_once_whatever_is_said_of_its_place_and_at_the_end(
    said: list[bytes], last: list[dict[str, Any]] | None, wanted: list[dict[str, Any]] | None, padding: int
) -> None:
    answer, lines = Answer(), EventStream()
    end = event("response.completed", response={"id": "r", "output": last or []})
    for piece in (*said, event("response.ping.x", obfuscation="x" * padding), end):
        answer.take(lines.feed(piece))
    items = [json.loads(bytes(item)) for item in answer.output]
    assert items == (wanted or [called(None), called(None, arguments="2")])
    assert answer.end == "completed"


def test_r8_an_answer_that_makes_no_sense_is_forwarded_untouched(recorder: Recorder, provider: Provider) -> None:
    strange = [b"data: {\n\n", b"data: [DONE]\n\n", b"data: \xff\xfe\n\n", b'data: {"type": 7}\n\n', b"\n\n\n:\n\n"]
    strange += [b'data: {"type":"response.output_item.done","output_index":-1,"item":7}\n\n']
    provider.answer = lambda _: stream([*strange, *events("sense")])
    assert ask(recorder, request(user("x"))) == b"".join([*strange, *events("sense")])
    assert [one.end for one in recorder.exchanges(1)] == ["completed"]


# -------------------------------------------------------------------- R9, R10, R11: nothing lost, nothing twice


def test_r9_a_session_that_comes_back_after_any_time_goes_on_where_it_was(provider: Provider, tmp_path: Path) -> None:
    items = list[dict[str, Any]]()
    for turn in range(5):
        items.append(user(f"turn {turn}", f"m{turn}"))
        with Recorder(provider.url, tmp_path) as recorder:  # each time a new recorder, as after a restart
            ask(recorder, request(*items), x_codex_turn_metadata=metadata(turn_id=f"{turn}"))
    [session] = list_sessions(tmp_path / "journal").sessions
    assert [turn.said for turn in session.turns] == [[f"turn {turn}"] for turn in range(5)]


def says(item: dict[str, Any], _: object) -> list[bytes]:
    return stream(events("", output=[item]))


def test_r10_two_hundred_turns_write_little_more_than_the_conversation(recorder: Recorder, provider: Provider) -> None:
    items = [user("You are Codex. " * 500, "base")]
    with Client(recorder.port) as client:
        for turn in range(200):
            items.append(user(f"turn {turn} " * 20, f"u{turn}"))
            said = {"id": f"a{turn}", "type": "message", "role": "assistant"}
            said |= {"content": [{"type": "output_text", "text": f"answer {turn} " * 200}]}
            provider.answer = partial(says, said)
            client.ask(request(*items), session_id="s", x_codex_turn_metadata=metadata(turn_id=f"{turn}")).answer()
            items.append(said)
    exchanges = recorder.exchanges(200)
    written = sum(path.stat().st_size for path in recorder.journal.iterdir())
    assert written <= 1.3 * len(json.dumps(items))
    again = list[str]()
    for one in exchanges:
        again += one.echoed
        again += [json.loads(bytes(item))["id"] for item in one.input]
    assert again == [item["id"] for item in items[:-1]]


def test_a_history_that_was_rewritten_is_recorded_anew(recorder: Recorder) -> None:
    """After a compaction the items before it are others, though some have the same place."""
    said = {"session_id": "s", "thread_id": "s"}
    ask(recorder, request(user("a"), user("b")), **said)
    ask(recorder, request(user("a"), user("b"), user("c")), **said)
    ask(recorder, request(user("a"), user("B"), user("c"), user("d")), **said)
    assert [(one.base is None, len(one.input)) for one in recorder.exchanges(3)] == [(True, 2), (False, 1), (True, 4)]


def test_r11_the_record_is_on_the_disk_before_the_last_event_leaves(recorder: Recorder, provider: Provider) -> None:
    pieces = events("ok")
    provider.answer = lambda _: stream(pieces)
    with Client(recorder.port) as client:
        client.ask(request(user("x"))).head()
        received = b""
        while len(received) < len(b"".join(pieces[:-1])):
            received += client.piece()
        assert received == b"".join(pieces[:-1])
        client.piece()
        assert [one.end for one in recorder.exchanges()] == ["completed"]


def test_r11_a_crash_loses_no_answer_that_a_client_has(provider: Provider, tmp_path: Path) -> None:
    """Faults 7, 11: what stands in the journal is whole lines; half a last one is not taken for one."""
    with Recorder(provider.url, tmp_path) as recorder:
        ask(recorder, request(user("x")))
    [path] = recorder.journal.iterdir()
    with path.open("ab") as file:
        file.write(b'{"id":"exch_half')
    assert len(recorder.exchanges()) == 1


# -------------------------------------------------------------------- faults 7 and 8: no disk


def test_when_the_journal_cannot_be_written_traffic_goes_on_and_it_is_counted_and_said(
    provider: Provider, tmp_path: Path
) -> None:
    with Recorder(provider.url, tmp_path) as recorder:
        recorder.journal.write_text("a file where the folder should be")
        said = {"session_id": "s", "thread_id": "s"}
        for _ in range(3):
            assert ask(recorder, request(user("x")), **said) == b"".join(events())
        state = recorder.state
        assert (state.recorded, state.unrecorded) == (0, 3)
        assert state.trouble
        assert str(recorder.journal) in state.trouble
        assert len(recorder.complaints) == 1
        assert "NOT RECORDED" in recorder.complaints[0]
        recorder.journal.unlink()
        ask(recorder, request(user("x"), user("y")), **said)
        [exchange] = recorder.exchanges(1)
        assert (exchange.base, len(exchange.input)) == (None, 2)  # nothing builds upon what was lost


def test_a_recorder_that_cannot_record_says_so_before_the_first_request(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    with Recorder(provider.url, tmp_path) as recorder:
        [complaint] = recorder.complaints
        assert ask(recorder, request(user("x"))) == b"".join(events())
    assert f"NOT RECORDING: {tmp_path / 'journal'} is no folder" in complaint


def test_fault_7_a_disk_that_fills_up_leaves_whole_lines_and_the_next_ones_are_written(tmp_path: Path) -> None:
    """The kernel takes a part of a batch and then no more, as when the last block is used up."""
    told = list[tuple[list[Any], bool]]()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    line = b"x" * 4000 + b"\n"

    def safe(tickets: list[Any], places: list[Place] | None) -> None:
        told.append((tickets, places is not None))

    with Journal(tmp_path / "journal", SystemClock(), safe) as journal:
        journal.append([((line,), 1)])
        wait_for(lambda: len(told) == 1, "first line")
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
        try:
            journal.append([((line,), 2)])
            wait_for(lambda: len(told) == 2, "second line")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        journal.append([((line,), 3)])
    assert told == [([1], True), ([2], False), ([3], True)]
    assert (journal.state.written, journal.state.lost, journal.state.trouble) == (2, 1, None)
    assert b"".join(path.read_bytes() for path in sorted((tmp_path / "journal").iterdir())) == line * 2


def test_one_fsync_serves_all_lines_that_came_meanwhile(tmp_path: Path) -> None:
    batches = list[list[Any]]()
    go = threading.Event()

    def safe(tickets: list[Any], _: list[Place] | None) -> None:
        batches.append(tickets)
        go.wait(30)

    with Journal(tmp_path / "journal", SystemClock(), safe) as journal:
        journal.append([((b"first\n",), 0)])
        wait_for(lambda: len(batches) == 1, "first batch")
        for number in range(1, 100):
            journal.append([((b"more\n",), number)])
        go.set()
    assert batches == [[0], list(range(1, 100))]


def test_one_module_of_the_recorder_has_the_proxys_sockets_and_one_those_of_its_own_requests() -> None:
    wired = {"asyncio", "socket", "ssl", "select", "selectors", "http.client", "uvloop", "urllib.request"}
    allowed = {"server.py": wired, "outbound.py": wired}
    allowed |= {"tls.py": {"ssl"}, "asking.py": {"http.client"}}  # whom to trust; is it running
    allowed |= {"reach.py": {"asyncio", "socket", "ssl"}}  # at which of its addresses a host answers
    for source in read_tree(Path(recorder_part.__file__).parent):
        found = {one.module for one in source.imports() if one.module in wired}
        assert found <= allowed.get(source.path, set()), (source.path, found)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing"])
def test_what_is_no_file_in_the_place_of_a_journal_is_said_and_hides_no_other(recorder: Recorder, kind: str) -> None:
    ask(recorder, request(user("here")), session_id="s")
    place = recorder.journal / "journal_0.jsonl"
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to("nowhere")
    found = list_sessions(recorder.journal)
    assert [session.session for session in found.sessions] == ["s"]
    assert found.broken == (f"{place}:0",)


def test_a_journal_that_was_deleted_goes_on_in_a_new_file(recorder: Recorder) -> None:
    ask(recorder, request(user("x")))
    for path in recorder.journal.iterdir():
        path.unlink()
    ask(recorder, request(user("y")))
    assert len(recorder.exchanges(1)) == 1


def closed(
    recording: Recording, broken: End | None = None, histories: Histories | None = None, spill: Spill | None = None
) -> tuple[bytes, tuple[str, Known] | None]:
    """The line of a record, and what may be built upon it."""
    recording.seal(Histories() if histories is None else histories, spill)
    _, line, known = recording.closed(broken)
    return b"".join(bytes_of(line)), known


def bytes_of(line: Line) -> list[bytes]:
    return [piece.read() if isinstance(piece, Aside) else piece for piece in line]


# -------------------------------------------------------------------- threats 1, 2, 3: secrets


def recorded_line(body: Any, pieces: list[bytes], headers: dict[str, str] | None = None) -> bytes:
    data = json.dumps(body, ensure_ascii=False).encode()
    recording = Recording("/responses", headers or {}, data, Histories(), SystemClock())
    recording.begin(200, STREAM)
    for piece in pieces:
        recording.feed(piece)
    return closed(recording, "upstream_cut")[0]


@pytest.mark.parametrize("secret", [*SECRETS.values(), PEM], ids=[*SECRETS, "private-key"])
def test_threat_1_no_kind_of_secret_reaches_the_journal_from_any_field(secret: str) -> None:
    call = {"type": "function_call", "id": "f", "arguments": json.dumps({"cmd": f"curl -H 'X: {secret}'"})}
    output = {"type": "function_call_output", "call_id": "c", "output": f"before\n{secret}\nafter"}
    body = request(user(f"use {secret} please"), output, instructions=f"never say {secret}", model=secret)
    failure = {"code": "x", "message": f"bad key {secret}"}
    line = recorded_line(body, [*events(f"the key is {secret}", output=[call], error=failure)])
    middle = secret[len(secret) // 3 : len(secret) // 3 + 12]
    assert middle.encode() not in line
    assert json.loads(line)["end"] == "completed"


def test_threat_1_a_secret_under_a_telling_name_is_gone_though_it_looks_like_a_word() -> None:
    output = {"type": "function_call_output", "output": {"password": "hunter2hunter2", "api_key": "correcthorse"}}
    line = recorded_line(request(output), events("x"))
    assert b"hunter2" not in line
    assert b"correcthorse" not in line


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_threat_3_a_secret_split_over_deltas_is_redacted_whole(at: int) -> None:
    secret = SECRETS["openai-key"]
    deltas = [f"the key is {secret[:at]}", secret[at:], " and more"]
    pieces = [event("response.output_text.delta", output_index=0, content_index=0, delta=text) for text in deltas]
    assert secret[10:30].encode() not in recorded_line(request(user("x")), pieces)


@given(st.integers(0, 60))
def test_threat_3_a_secret_hidden_behind_escapes_of_json_is_found(at: int) -> None:
    secret = SECRETS["github-token"]
    hidden = "".join(
        f"\\u{ord(letter):04x}" if place == at % len(secret) else letter for place, letter in enumerate(secret)
    )
    body = b'{"model":"m","input":[{"type":"message","role":"user","content":"%b"}]}' % hidden.encode()
    recording = Recording("/responses", {}, body, Histories(), SystemClock())
    line, _ = closed(recording, "client_gone")
    assert secret not in json.loads(line)["input"][0]["content"]


def test_threat_2_what_sinks_get_is_what_the_journal_has(provider: Provider, tmp_path: Path) -> None:
    """A sink is told of an exchange only after its line is safe; it reads the line."""
    told = list[bytes]()
    with Recorder(provider.url, tmp_path, sinks=(lambda _exchange, place: told.append(place.read()),)) as recorder:
        ask(recorder, request(user(SECRETS["openai-key"])))
        wait_for(lambda: bool(told), "the sink")
        assert b"".join(path.read_bytes() for path in recorder.journal.iterdir()) == b"".join(told)
    assert SECRETS["openai-key"].encode() not in told[0]


def test_threat_26_a_session_id_is_no_path_and_no_terminal_escape(recorder: Recorder) -> None:
    """S3: `../../` in the header that names the session."""
    ask(recorder, request(user("x")), session_id="../../../pwned/owned")
    assert [path.name.startswith("journal_") for path in recorder.journal.iterdir()] == [True]
    assert recorder.exchanges(1)[0].identity.session == "../../../pwned/owned"
    assert identify({"session-id": "a\u202eb"}) == Identity()


def test_the_journal_is_for_its_owner_alone(recorder: Recorder) -> None:
    ask(recorder, request(user("x")))
    assert recorder.journal.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in recorder.journal.iterdir()] == [0o600]


# -------------------------------------------------------------------- concurrency


def test_many_at_once_are_each_recorded_once_and_nobody_gets_anothers_answer(
    recorder: Recorder, provider: Provider
) -> None:
    provider.answer = lambda seen: stream(
        events(str(seen.header("session-id")), response=f"resp_{seen.header('session-id')}")
    )
    wrong = list[str]()

    def work(name: str) -> None:
        for _ in range(5):
            if name.encode() not in ask(recorder, request(user(name)), session_id=name):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(f"name{number:03}",)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    exchanges = recorder.exchanges(120)
    assert len({one.id for one in exchanges}) == 120
    assert all(one.response == f"resp_{one.identity.session}" for one in exchanges)


def test_a_fault_in_our_own_steps_costs_neither_the_request_nor_the_record(provider: Provider, tmp_path: Path) -> None:
    def inject(*_: object) -> None:
        raise ZeroDivisionError("ours")

    with Recorder(provider.url, tmp_path, inject=inject) as recorder:
        assert ask(recorder, request(user("x"))) == b"".join(events())
        assert "NOT INJECTED: ZeroDivisionError" in recorder.complaints[0]
        assert recorder.exchanges(1)[0].injected == ()
    assert json.loads(provider.seen[0].body) == request(user("x"))


@pytest.mark.parametrize("text", ["\\ud800", "\\ud800 sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2", "\\u0000\\u001b[2J"])
def test_half_a_character_behind_an_escape_is_recorded_and_no_way_around_redaction(text: str) -> None:
    body = b'{"model":"m","input":[{"type":"message","role":"user","content":"%b"}]}' % text.encode()
    recording = Recording("/responses", {}, body, Histories(), SystemClock())
    line, _ = closed(recording, "client_gone")
    assert b"a1B2c3D4" not in line
    assert json.loads(line)["input"][0]["role"] == "user"


def test_nothing_is_recorded_when_recording_is_off(provider: Provider, tmp_path: Path) -> None:
    with Recorder(provider.url, tmp_path, record=False) as recorder:
        ask(recorder, request(user("x")))
        assert recorder.state.journal is None
    assert list(tmp_path.iterdir()) == []


def test_a_cut_provider_after_its_last_event_is_a_finished_answer(recorder: Recorder, provider: Provider) -> None:
    provider.answer = lambda _: [*stream()[:-1], CUT]
    with Client(recorder.port) as client:
        client.ask(request(user("x"))).head()
        assert client.until_cut() == b"".join(events())
    assert [one.end for one in recorder.exchanges(1)] == ["completed"]


# -------------------------------------------------------------------- what is repeated is not read again

_ITEMS = [user("one", "m1"), user("two"), {"type": "message", "id": "msg_1", "role": "assistant"}, {}, 7, 71, "x"]
_BEFORE: list[Any] = [{"model": "m"}] * 7 + [{"tools": {"input": [1]}}]
_AFTER: list[Any] = [{}, {"reasoning": {"effort": "high"}}, {"model": "o"}, {"tools": [{"input": [{}]}]}]
_RARELY = st.sampled_from([False] * 7 + [True])
_REQUEST: Any = st.tuples(
    *(st.sampled_from(_BEFORE), _RARELY, st.lists(st.sampled_from(_ITEMS), min_size=1, max_size=3)),
    *(st.sampled_from(_AFTER), _RARELY, _RARELY),
)


def bodies(requests: list[Any]) -> list[tuple[bytes, bool]]:
    """Requests of one thread: each goes on where the one before ended, or an item earlier; was it recorded?"""
    found, items = list[tuple[bytes, bool]](), list[Any]()
    for before, goes_back, more, after, spaced, lost in requests:
        items = [*(items[:-1] if goes_back else items), *more]
        fields: dict[str, Any] = {**before, "input": items, **after}
        found.append((json.dumps(fields, separators=None if spaced else (",", ":")).encode(), not lost))
    return found


@settings(max_examples=60)
@given(st.lists(_REQUEST, min_size=2, max_size=6), st.integers(0, 40))
def test_a_beginning_that_is_known_says_what_it_said_when_it_was_read(requests: list[Any], at: int) -> None:
    forgets, knows = Histories(most_bytes=0), Histories()
    asked = bodies(requests)
    last = asked[-1][0]
    for body, recorded in [*asked, (last[: at % (len(last) + 1)], True)]:
        news = list[Any]()
        for histories in (forgets, knows):
            recording = Recording("/responses", {"thread-id": "t"}, body, histories, SystemClock())
            recording.begin(200, STREAM)
            recording.feed(b"".join(events("yes", model=None)))
            items = recording.items()
            line, known = closed(recording, histories=histories)
            one = read_exchange(line)
            news.append((one.base_count, one.echoed, one.input, one.model, one.effort, one.unread, items))
            if recorded and known is not None:
                histories.put(*known)
                news[-1] += (known[1].digest,)
        assert news[0] == news[1]


def test_an_item_that_only_begins_as_the_known_one_is_another() -> None:
    histories = Histories()
    for body in (b'{"input":[7]}', b'{"input":[71]}'):
        recording = Recording("/responses", {"thread-id": "t"}, body, histories, SystemClock())
        line, known = closed(recording, "client_gone", histories)
        assert known is not None
        histories.put(*known)
        assert [b'{"input":[%b]}' % item for item in read_exchange(line).input] == [body]


def test_known_beginnings_are_forgotten_before_they_fill_the_memory() -> None:
    histories = Histories(most_bytes=100_000)
    body = json.dumps(request(*[user("x" * 1_000)] * 30), separators=(",", ":")).encode()
    for thread in range(5):
        recording = Recording("/responses", {"thread-id": str(thread)}, body, histories, SystemClock())
        known = closed(recording, "client_gone", histories)[1]
        assert known is not None
        histories.put(*known)
    kept = [known.begun is not None for thread in range(5) if (known := histories.get(str(thread)))]
    assert kept == [False, False, True, True, True]


# -------------------------------------------------------------------- memory while an answer is awaited


def test_large_requests_are_not_held_while_their_answers_are_awaited(tmp_path: Path) -> None:
    histories = Histories()
    tracemalloc.start()
    try:
        with Spill(tmp_path) as spill:
            waiting = list[Recording]()
            for number in range(60):
                body = json.dumps(request(*[user(f"{number} " + "x" * 1_000)] * 400), separators=(",", ":")).encode()
                recording = Recording("/responses", {"thread-id": str(number)}, body, histories, SystemClock())
                recording.seal(histories, spill)
                waiting.append(recording)
                del body
            assert tracemalloc.get_traced_memory()[0] < 8 << 20  # of 26 million bytes that were said
            for number, recording in enumerate(waiting):
                _, line, known = recording.closed("client_gone")
                items = read_exchange(b"".join(bytes_of(line))).input
                assert {bytes(item).partition(b'text":"')[2].split()[0] for item in items} == {b"%d" % number}
                assert known is not None
                assert known[1].count == len(items) == 400
    finally:
        tracemalloc.stop()


def test_what_cannot_be_put_aside_is_recorded_all_the_same(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    body = json.dumps(request(*[user("x" * 1_000)] * 100)).encode()
    for folder in (tmp_path, in_the_way):
        with Spill(folder) as spill:
            recording = Recording("/responses", {}, body, Histories(), SystemClock())
            line, _ = closed(recording, "client_gone", spill=spill)
            assert len(read_exchange(line).input) == 100
            assert (recording.aside is not None) == (folder == tmp_path)


def test_files_of_what_was_put_aside_are_used_again_and_hold_nothing_back(tmp_path: Path) -> None:
    with Spill(tmp_path) as spill:
        for _ in range(3):
            parts = [spill.put(bytes([number]) * (1 << 20)) for number in range(100)]
            for number, part in enumerate(parts):
                assert isinstance(part, Aside)
                assert part.read() == bytes([number]) * (1 << 20)
                part.drop()
        assert list(tmp_path.iterdir()) == []  # nobody else finds them
        assert spill.size <= 65 << 20
        late = spill.put(bytes(1 << 20))
    assert isinstance(late, Aside)
    late.drop()  # the recorder has ended: there is nothing to be used again


# -------------------------------------------------------------------- strange ends


def as_they_are_sent(said: list[bytes]) -> list[bytes]:
    """Without the spaces that some put into JSON."""
    return [one.replace(b'": ', b'":').replace(b', "', b',"') for one in said]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("letters", [4, 2_000])
def test_an_answer_that_ended_has_ended_though_more_is_said(letters: int, *, together: bool) -> None:
    part = event("response.output_text.delta", output_index=0, content_index=0, delta="late")
    said = as_they_are_sent([*events("done" * (letters // 4)), part])
    pieces = [b"".join(said)] if together else said
    recording = Recording("/responses", {}, b'{"input":[]}', Histories(), SystemClock())
    recording.begin(200, STREAM)
    for piece in pieces:
        recording.feed(piece)
    one = read_exchange(closed(recording, "client_gone")[0])
    assert (one.end, one.response, b"done" in bytes(one.output[0])) == ("completed", "resp_1", True)


@pytest.mark.parametrize("behind", [b": ping\n\n", b"data: [DONE]\n\n", event("codex.rate_limits", limits=[]), b""])
def test_the_last_event_is_found_before_what_is_no_part_of_an_answer(behind: bytes) -> None:
    recording = Recording("/responses", {}, b'{"input":[]}', Histories(), SystemClock())
    recording.begin(200, STREAM)
    said = as_they_are_sent(events("done"))
    assert recording.feed(b"".join(said) + behind) == len(b"".join(said[:-1]))


@pytest.mark.parametrize("end", ["incomplete", "failed", "cancelled"])
@pytest.mark.parametrize("last", [{"output": []}, {"id": None, "model": None}])
def test_an_answer_that_did_not_complete_says_who_it_is_and_what_was_said(end: str, last: dict[str, Any]) -> None:
    recording = Recording("/responses", {}, b'{"input":[]}', Histories(), SystemClock())
    recording.begin(200, STREAM)
    assert recording.feed(b"".join(as_they_are_sent(events("some", end=end, **last))))
    one = read_exchange(closed(recording)[0])
    assert (one.end, one.response, b"some" in bytes(one.output[0])) == (end, "resp_1", True)
