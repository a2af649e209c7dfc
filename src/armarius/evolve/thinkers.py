"""Who reflects, when it is not Codex: an endpoint of the Responses API, or whoever answers a file.

Owns asking them once, and keeping what they said. Does not own what is asked (`reflect`).
Invariant: an answer fits its schema or is none; one that was given is kept and never asked for again. A key goes
to the one host that was named, is followed nowhere else, and is in no error and no file.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from armarius.errors import DataError, HostError, NoAnswer, Refused, UsageError
from armarius.evolve.report import Sent
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.identity import hash_value
from armarius.redact import redact
from armarius.runs.answer import check_answer

__all__ = ["Handoff", "Responses", "Thinker"]

_LARGEST = 4 << 20
_TRIES = 3
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_MOST_TOKENS = 16_000
_AGAIN = frozenset({429, 500, 502, 503, 504, 529})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Thinker(Protocol):
    """Somebody who answers a prompt within a schema; `sent` is what went to them."""

    sent: list[Sent]

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        """The answer as JSON; NoAnswer when there is none yet."""
        ...


class Handoff:
    """Writes what would be asked to a folder, and reads the answer back from there."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self.sent: list[Sent] = []

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        name = _name(prompt, schema)
        question, shape = self._folder / f"{name}.prompt.md", self._folder / f"{name}.schema.json"
        answer = self._folder / f"{name}.answer.json"
        if not answer.exists():
            write_atomic(question, prompt.encode())
            write_atomic(shape, json.dumps(schema, indent=2).encode())
            raise NoAnswer(
                "handoff-pending",
                f"an answer is waited for: {question}",
                f"write JSON that fits {shape.name} to {answer}, then run the same command again",
            )
        return _fitting(read_bounded(answer, _LARGEST).decode(errors="replace"), schema, str(answer))


class Responses:
    """One endpoint of the Responses API. What it answers is kept in `folder`."""

    def __init__(
        self,
        url: str,
        *,
        key: str,
        model: str,
        folder: Path,
        wait: Callable[[float], object] = time.sleep,
        timeout_s: float = 600.0,
    ) -> None:
        self._url = _checked(url)
        self._key = key
        self._model = model
        self._folder = private_folder(folder)
        self._wait = wait
        self._timeout_s = timeout_s
        self.sent: list[Sent] = []

    def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        kept = self._folder / f"{_name(f'{self._url.geturl()} {self._model} {prompt}', schema)}.answer.json"
        if kept.exists():
            return _fitting(read_bounded(kept, _LARGEST).decode(errors="replace"), schema, str(kept))
        shape = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
        body = {
            "model": self._model,
            "input": prompt,
            "store": False,
            "max_output_tokens": _MOST_TOKENS,
            "text": {"format": shape},
        }
        answer = self._post(json.dumps(body).encode())
        text, used = answer.text, answer.usage.total_tokens if answer.usage else 0
        self.sent.append(Sent(self._where, self._model, "reflection", 1, used))
        parsed = _fitting(text, schema, self._where)
        write_atomic(kept, text.encode())
        return parsed

    @property
    def _where(self) -> str:
        return redact(self._url.geturl())

    def _post(self, body: bytes) -> "_Response":
        for number in range(1, _TRIES + 1):
            status, after, data = self._once(body)
            if status == http.HTTPStatus.OK:
                return _response(data, self._where)
            if 300 <= status < 400:  # noqa: PLR2004  # the class of redirects
                hint = "name the address itself; none is followed"
                raise Refused("redirect", f"{self._where} sends us elsewhere ({status})", hint)
            if status not in _AGAIN or number == _TRIES:
                said = redact(data[:300].decode(errors="replace"))
                raise HostError("endpoint", f"{self._where} answered {status}: {said}", "check the key and the model")
            self._wait(min(after if after is not None else _PAUSE_S * number, _LONGEST_PAUSE_S))
        raise AssertionError("the last try returns or raises")

    def _once(self, body: bytes) -> tuple[int, float | None, bytes]:
        """Status, what Retry-After says in seconds, and the body."""
        address, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                address, port, timeout=self._timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(address, port, timeout=self._timeout_s)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        try:
            connection.request("POST", self._url.path.rstrip("/") + "/responses", body, headers)
            response = connection.getresponse()
            after = response.getheader("Retry-After", "")
            return response.status, float(after) if after.isdigit() else None, response.read(_LARGEST)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HostError("endpoint", f"no answer from {self._where}: {error}", "check the address") from None
        finally:
            connection.close()


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UsageError("endpoint", f"{redact(url)!r} is no address of a Responses API", "write e.g. https://host/v1")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Refused("endpoint-plain", f"{redact(url)} would send the key unencrypted", "use https")
    return parts


def _name(prompt: str, schema: dict[str, Any]) -> str:
    return hash_value({"prompt": prompt, "schema": schema}).removeprefix("sha256:")[:24]


def _fitting(text: str, schema: dict[str, Any], where: str) -> Any:
    parsed, reason = check_answer(text, schema)
    if reason is not None:
        raise DataError("answer", f"{where}: {reason}", "mend the answer, or ask again without it")
    return parsed


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Item(msgspec.Struct):
    content: tuple[_Part, ...] | None = None


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Response(msgspec.Struct):
    """What matters of an answer of the Responses API; what is not there is empty, and then fits no schema."""

    output: tuple[_Item, ...] = ()
    usage: _Usage | None = None

    @property
    def text(self) -> str:
        parts = [part for item in self.output for part in item.content or ()]
        return "".join(part.text for part in parts if part.type == "output_text")


def _response(data: bytes, where: str) -> _Response:
    try:
        return msgspec.json.decode(data, type=_Response)
    except (msgspec.DecodeError, RecursionError) as error:
        raise HostError("endpoint", f"{where}: no answer of the Responses API: {error}", "check the address") from error
