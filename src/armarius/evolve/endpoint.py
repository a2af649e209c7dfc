"""One address that speaks the Responses API.

Owns asking it, with patience for a busy provider, and reading what it answers. Does not own what is asked or
what is kept of it (`thinkers`, `directly`).
Invariant: a key goes to the one host that was named, is followed nowhere else, and is in no error.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from armarius.errors import HostError, Refused, UsageError
from armarius.redact import redact
from armarius.thread import Usage

__all__ = ["BUSY", "Endpoint", "Said"]

BUSY = "endpoint-busy"
"""The code of the error when it was asked as often as is decent and had no time."""

_LARGEST = 4 << 20
_TRIES = 3
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_AGAIN = frozenset({429, 500, 502, 503, 504, 529})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Said(msgspec.Struct, frozen=True):
    """What it answered: the text, whether that is all of it, and what it cost."""

    text: str
    is_whole: bool
    usage: Usage


class Endpoint:
    """`url` is what comes before `/responses`; `timeout_s` is for each silence."""

    def __init__(
        self, url: str, key: str, *, wait: Callable[[float], object] = time.sleep, timeout_s: float = 600.0
    ) -> None:
        self._url = _checked(url)
        self._key = key
        self._wait = wait
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        """As reports and errors have it."""
        return redact(self._url.geturl())

    def ask(self, body: dict[str, Any]) -> Said:
        """The answer to a request; HostError or Refused when there is none."""
        data = json.dumps(body | {"store": False, "stream": False}).encode()
        for number in range(1, _TRIES + 1):
            status, after, answer = self._once(data)
            if status == http.HTTPStatus.OK:
                return _read(answer, self.address)
            if 300 <= status < 400:  # noqa: PLR2004  # the class of redirects
                hint = "name the address itself; none is followed"
                raise Refused("redirect", f"{self.address} sends us elsewhere ({status})", hint)
            if status not in _AGAIN or number == _TRIES:
                said = redact(answer[:300].decode(errors="replace"))
                code = BUSY if status in _AGAIN else "endpoint"
                raise HostError(code, f"{self.address} answered {status}: {said}", "check the key and the model")
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
            raise HostError("endpoint", f"no answer from {self.address}: {error}", "check the address") from None
        finally:
            connection.close()


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UsageError("endpoint", f"{redact(url)!r} is no address of a Responses API", "write e.g. https://host/v1")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Refused("endpoint-plain", f"{redact(url)} would send the key unencrypted", "use https")
    return parts


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Item(msgspec.Struct):
    content: tuple[_Part, ...] | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int = 0


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Response(msgspec.Struct):
    """What matters of an answer of the Responses API; what is not there is empty."""

    output: tuple[_Item, ...] = ()
    usage: _Usage | None = None
    status: str = "completed"


def _read(data: bytes, where: str) -> Said:
    try:
        response = msgspec.json.decode(data, type=_Response)
    except (msgspec.DecodeError, RecursionError) as error:
        raise HostError("endpoint", f"{where}: no answer of the Responses API: {error}", "check the address") from error
    parts = [part for item in response.output for part in item.content or ()]
    text = "".join(part.text for part in parts if part.type == "output_text")
    used = response.usage or _Usage()
    usage = Usage(
        input=used.input_tokens,
        cached_input=used.input_tokens_details.cached_tokens if used.input_tokens_details else 0,
        output=used.output_tokens,
        reasoning=used.output_tokens_details.reasoning_tokens if used.output_tokens_details else 0,
    )
    return Said(text, response.status == "completed", usage)
