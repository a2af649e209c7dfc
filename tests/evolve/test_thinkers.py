"""Who reflects instead of Codex: asked once, believed within the schema, followed nowhere."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from armarius.errors import ArmariusError, DataError, HostError, NoAnswer, Refused, UsageError
from armarius.evolve.endpoint import Endpoint
from armarius.evolve.thinkers import Handoff, Responses

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
KEY = "sk-secret-of-the-test"
Answer = tuple[int, dict[str, str], bytes]


def said(text: str, tokens: int = 7) -> bytes:
    items = [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": text}]}]
    return json.dumps(
        {"output": items, "usage": {"input_tokens": tokens, "output_tokens": 0}, "later": {"a": 1}}
    ).encode()


@contextmanager
def endpoint(answers: list[Answer], seen: list[dict[str, Any]]) -> Generator[str]:
    """A server on loopback that gives these answers, one after the other."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append({"path": self.path, "key": self.headers["Authorization"], "body": json.loads(body)})
            status, headers, data = answers[min(len(seen), len(answers)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def thinker(url: str, folder: Path, wait: Callable[[float], object] = lambda _: None) -> Responses:
    return Responses(Endpoint(url, KEY, wait=wait), model="m", folder=folder)


def test_an_answer_is_asked_for_once_and_kept(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    with endpoint([(200, {}, said('{"n": 3}'))], seen) as url:
        first = thinker(url, tmp_path)
        assert first.ask("think", SCHEMA) == {"n": 3}
        assert thinker(url, tmp_path).ask("think", SCHEMA) == {"n": 3}
    [request] = seen
    assert (request["path"], request["key"]) == ("/v1/responses", f"Bearer {KEY}")
    assert request["body"]["text"]["format"]["schema"] == SCHEMA
    assert (request["body"]["store"], request["body"]["model"]) == (False, "m")
    assert [(sent.to, sent.runs, sent.tokens) for sent in first.sent] == [(url, 1, 7)]


def test_a_provider_that_is_busy_is_asked_again_when_it_says_so_and_not_for_ever(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    pauses: list[float] = []
    busy: list[Answer] = [(429, {"Retry-After": "3"}, b""), (529, {}, b""), (200, {}, said('{"n": 1}'))]
    with endpoint(busy, seen) as url:
        assert thinker(url, tmp_path, pauses.append).ask("x", SCHEMA) == {"n": 1}
    assert pauses == [3.0, 4.0]
    seen.clear()
    pauses.clear()
    with endpoint([(503, {"Retry-After": "9999"}, b"")], seen) as url, pytest.raises(HostError, match="answered 503"):
        thinker(url, tmp_path, pauses.append).ask("y", SCHEMA)
    assert (len(seen), pauses) == (3, [60.0, 60.0])


STRANGE: list[tuple[Answer, type[ArmariusError], str]] = [
    ((302, {"Location": "http://127.0.0.1:9/steal"}, b""), Refused, "sends us elsewhere"),
    ((307, {"Location": "http://127.0.0.1:9/steal"}, b""), Refused, "sends us elsewhere"),
    ((401, {}, b'{"error": "bad sk-secret-of-the-test"}'), HostError, "answered 401"),
    ((200, {}, b"<html>"), HostError, "no answer of the Responses API"),
    ((200, {}, b"[]"), HostError, "no answer of the Responses API"),
    ((200, {}, b'{"output": []}'), DataError, "not JSON"),
    ((200, {}, said('{"n": "three"}')), DataError, "three"),
    ((200, {}, said('{"n": 1, "evil": 2}')), DataError, "evil"),
]


@pytest.mark.parametrize(("answer", "kind", "message"), STRANGE)
def test_whatever_else_comes_back_is_one_clear_error_without_the_key(
    tmp_path: Path, answer: Answer, kind: type[ArmariusError], message: str
) -> None:
    seen: list[dict[str, Any]] = []
    with endpoint([answer], seen) as url, pytest.raises(kind, match=message) as caught:
        thinker(url, tmp_path).ask("x", SCHEMA)
    assert KEY not in str(caught.value)
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["ftp://h/v1", "nonsense", "https://me:pw@h/v1", "https://h/v1?a=b", "http://example.com/v1"]
)
def test_an_address_that_is_none_or_would_send_the_key_in_the_open_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises((UsageError, Refused)):
        thinker(url, tmp_path)


def test_what_is_handed_off_waits_for_its_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer) as caught:
        Handoff(tmp_path).ask("a question", SCHEMA)
    [question] = tmp_path.glob("*.prompt.md")
    assert question.read_text() == "a question"
    assert json.loads(question.with_name(question.name.replace("prompt.md", "schema.json")).read_text()) == SCHEMA
    answer = question.with_name(question.name.replace("prompt.md", "answer.json"))
    assert str(answer) in caught.value.hint
    answer.write_text('{"n": "x"}')
    with pytest.raises(DataError, match=r"answer\.json"):
        Handoff(tmp_path).ask("a question", SCHEMA)
    answer.write_text('{"n": 5}')
    assert Handoff(tmp_path).ask("a question", SCHEMA) == {"n": 5}
    with pytest.raises(NoAnswer):
        Handoff(tmp_path).ask("another", SCHEMA)
