"""Who may speak to the recorder, and what may be asked of it.

Owns the checks before anything is forwarded: where from (Host, Origin), with which token, to which path. Does
not own what happens then.
Invariant: whoever came through a browser, by another name, or without the token of the profile reaches no
provider and learns nothing.
"""

import hmac
import ipaddress
import re
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from armarius.errors import Refused, UsageError

__all__ = [
    "DEFAULT_LISTEN",
    "TOKEN_HEADER",
    "Gate",
    "Listen",
    "Refusal",
    "Route",
    "Upstream",
    "forwarded_target",
    "parse_listen",
    "parse_upstream",
]

TOKEN_HEADER = "x-armarius-token"  # noqa: S105  # the name of the header, not what it holds
DEFAULT_LISTEN = "127.0.0.1:8377"
OPENAI = "https://api.openai.com/v1"
CHATGPT = "https://chatgpt.com/backend-api/codex"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_PREFIX = "/v1"
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_HIGHEST_PORT = 65535


class Refusal(msgspec.Struct, frozen=True):
    """An answer of our own. `code` is for programs."""

    status: int
    code: str
    message: str


class Listen(msgspec.Struct, frozen=True):
    """Where to listen: always on loopback."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{_PREFIX}"


class Upstream(msgspec.Struct, frozen=True):
    """The model provider: its origin, and what its paths begin with."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_listen(text: str) -> Listen:
    """`HOST:PORT`, on loopback; Refused for an address that others could reach."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or not port.isascii() or int(port) > _HIGHEST_PORT:
        raise UsageError("listen", f"{text!r} is no address", "give HOST:PORT, such as 127.0.0.1:8377")
    if not _is_loopback(host):
        raise Refused(
            "listen-beyond",
            f"{host!r} can be reached from other machines, whose requests your login would pay for",
            "listen on 127.0.0.1; reach it from elsewhere through ssh -L",
        )
    return Listen("127.0.0.1" if host == "localhost" else host, int(port))


def parse_upstream(text: str) -> Upstream:
    """An address of a provider: https, or http on loopback; without a user, a query or a fragment."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("upstream", f"{text!r} is no address: {error}", f"give one such as {OPENAI}") from error
    if parts.scheme not in ("http", "https") or not host or not host.isascii() or "%" in host:
        raise UsageError("upstream", f"{text!r} is no address of a provider", f"give one such as {OPENAI}")
    if parts.username is not None or parts.query or parts.fragment or not _is_path(parts.path):
        raise UsageError("upstream", "an upstream has no user, query or fragment", f"give one such as {OPENAI}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise Refused("upstream-plain", f"http://{host} would carry your login in the open", "use https")
    scheme: Literal["http", "https"] = "http" if parts.scheme == "http" else "https"
    return Upstream(scheme, host, port or {"http": 80, "https": 443}[scheme], parts.path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_path(path: str) -> bool:
    return not path or (_TARGET.fullmatch(path.encode()) is not None and ".." not in path)


class Gate(msgspec.Struct, frozen=True):
    """The checks of one server. `names` are what clients may call it by."""

    names: frozenset[bytes]
    token: bytes

    @classmethod
    def of(cls, listen: Listen, token: str) -> "Gate":
        hosts = {*_LOOPBACK_NAMES[:2], "[::1]", f"[{listen.host}]" if ":" in listen.host else listen.host}
        return cls(frozenset(f"{host}:{listen.port}".encode() for host in hosts), token.encode())

    def refusal(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], *, is_signed: bool = False
    ) -> Refusal | None:
        """Why a request may not pass; `headers` by lower-case name. The cheap and the strange first.

        What `is_signed` needs no token: its signature is looked at when its body is there.
        """
        if headers.get(b"host", b"").lower() not in self.names:
            return Refusal(421, "host", "this is the recorder of Armarius, and it was called by another name")
        if b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none":
            return Refusal(403, "origin", "web pages may not speak to the recorder")
        if not is_signed and not hmac.compare_digest(headers.get(TOKEN_HEADER.encode(), b""), self.token):
            return Refusal(403, "token", "the token is missing or wrong; use the profile: codex -p armarius")
        if _TARGET.fullmatch(target) is None or _leaves(target):
            return Refusal(400, "target", "the path is not one that could be forwarded")
        if b"upgrade" in headers:
            return Refusal(426, "upgrade", "no WebSocket here; send POST, with supports_websockets = false")
        if method in (b"CONNECT", b"TRACE"):
            return Refusal(405, "method", "this method is not forwarded")
        return None


def _leaves(target: bytes) -> bool:
    """Whether a path climbs out of what it begins with, in any spelling."""
    path = unquote(unquote(target.partition(b"?")[0].decode("latin-1")))
    return any(part in (".", "..") for part in re.split(r"[/\\]", path))


def forwarded_target(target: bytes, upstream: Upstream) -> bytes | None:
    """The target to ask `upstream` for: below `/v1` here, below its own path there. None: nothing of the kind."""
    path, mark, query = target.partition(b"?")
    prefix = _PREFIX.encode()
    if path != prefix and not path.startswith(prefix + b"/"):
        return None
    return (upstream.path.encode() + path[len(prefix) :] or b"/") + mark + query


class Route(msgspec.Struct, frozen=True):
    """Where requests go. Without an address that somebody named it is OpenAI's, as Codex itself would choose:
    a login with a ChatGPT plan has another address than one with a key.
    """

    named: Upstream | None = None

    def of(self, headers: dict[bytes, bytes]) -> Upstream:
        if self.named is not None:
            return self.named
        return _CHATGPT if _ACCOUNT in headers else _OPENAI

    @property
    def shown(self) -> str:
        return self.named.url if self.named else f"{OPENAI} for keys, {CHATGPT} for ChatGPT logins"


_ACCOUNT = b"chatgpt-account-id"
_OPENAI = parse_upstream(OPENAI)
_CHATGPT = parse_upstream(CHATGPT)
