"""Requests of our own to a server that the user named: a hub of skills, a service that improves them.

Owns which addresses may be asked, and asking them. Does not own what for.
Invariant: a name is resolved once for each request, its addresses are checked, and it is those that are connected
to. Private networks are asked only where the user allows the host by name; what no server of anybody's has
(link-local, metadata, multicast) never. No redirect is followed and no answer is read beyond its limit.
"""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from armarius.errors import DataError, HostError, Refused, UsageError
from armarius.skills.hub import Read
from armarius.store.objects import Found, Missing

__all__ = ["Endpoint", "Outbound", "Reply", "hub_reader", "parse_endpoint"]

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9a-fA-F:.]{2,45}")
_CONNECT_S = 15.0


class Endpoint(msgspec.Struct, frozen=True):
    """A server, and what its paths begin with."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def shown(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


class Reply(msgspec.Struct, frozen=True):
    """An answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_endpoint(text: str) -> Endpoint:
    """An address: https, or http on this machine; without a user, a query or a fragment."""
    hint = "give one such as https://hub.example.com/team"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("address", f"{text!r} is no address: {error}", hint) from error
    path = parts.path.rstrip("/")
    if not text.isprintable() or parts.scheme not in ("http", "https") or _HOST.fullmatch(host) is None:
        raise UsageError("address", f"{text!r} is no address of a server", hint)
    if parts.username is not None or parts.query or parts.fragment or _PATH.fullmatch(path) is None or ".." in path:
        raise UsageError("address", "an address here has no user, query, fragment or `..`", hint)
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise Refused("address-plain", f"http://{host} would carry sessions in the open", "use https")
    return Endpoint(parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], path)


class Outbound:
    """Asks one endpoint. `allowed` are hosts that may be on a private network; `token` goes to this endpoint alone."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        allowed: frozenset[str] = frozenset(),
        token: str | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._allowed, self._token, self._resolve = allowed, token, resolve or _resolve

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = 1 << 20,
        seconds: float = 30.0,
    ) -> Reply:
        """An answer, whatever its status; HostError without one, Refused for an address that may not be asked."""
        endpoint = self.endpoint
        sent = {"accept": "application/json"} | ({"authorization": f"Bearer {self._token}"} if self._token else {})
        sent |= {"content-type": "application/json"} if body is not None else {}
        try:
            with contextlib.closing(self._connected(seconds)) as connection:
                connection.request(method, endpoint.path + path, body, sent | dict(headers or {}))
                answer = connection.getresponse()
                data = answer.read(limit + 1)
                fields = {name.lower(): value for name, value in answer.getheaders()}
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            raise HostError("no-answer", f"{endpoint.shown}: {reason}", "check the address and the network") from error
        if len(data) > limit:
            raise DataError("too-large", f"{endpoint.shown}{path} has more than {limit:,} bytes", "shorten it")
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST and answer.status != _UNCHANGED:
            raise Refused("redirect", f"{endpoint.shown}{path} leads elsewhere", "name the final address")
        return Reply(answer.status, fields, data)

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        endpoint = self.endpoint
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=seconds)
        plain = self._opened(min(seconds, _CONNECT_S))
        try:
            if endpoint.scheme == "https":
                plain = ssl.create_default_context().wrap_socket(plain, server_hostname=endpoint.host)
            plain.settimeout(seconds)
        except BaseException:
            plain.close()
            raise
        connection.sock = plain
        return connection

    def _opened(self, seconds: float) -> socket.socket:
        """A connection to the first address that answers; each has its part of the time."""
        addresses = self._addresses()
        trouble = OSError("no address answers")
        for address in addresses:
            try:
                return socket.create_connection((address, self.endpoint.port), timeout=seconds / len(addresses))
            except OSError as error:
                trouble = error
        raise trouble

    def _addresses(self) -> Sequence[str]:
        """The addresses that may be connected to; all that the host has must be fit, or none is taken."""
        endpoint = self.endpoint
        addresses = self._resolve(endpoint.host, endpoint.port)
        for text in addresses:
            if not self._is_fit(text):
                raise Refused(
                    "address-private",
                    f"{endpoint.host} is {text}, which is no public address",
                    f"allow it with --allow-host {endpoint.host}, if it is a server of yours",
                )
        if not addresses:
            raise HostError("no-address", f"{endpoint.host} has no address", "check the name")
        return addresses

    def _is_fit(self, text: str) -> bool:
        address: Any = ipaddress.ip_address(text.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
            return False
        if address.is_loopback:
            return self.endpoint.host in _LOOPBACK
        return address.is_global or self.endpoint.host in self._allowed


_UNCHANGED = 304


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def hub_reader(outbound: Outbound) -> Read:
    """Reads a hub of skills below an endpoint."""

    def read(key: str, limit: int, etag: str | None) -> Found | None:
        reply = outbound.ask(
            "GET", f"/{key.replace(' ', '%20')}", headers={"if-none-match": etag} if etag else {}, limit=limit
        )
        match reply.status:
            case 200:
                return Found(reply.body, reply.headers.get("etag"))
            case 304:
                return None
            case 404:
                raise Missing("object-missing", f"{outbound.endpoint.shown}/{key} does not exist", "check the address")
            case status:
                raise HostError("no-answer", f"{outbound.endpoint.shown}/{key}: status {status}", "check the hub")

    return read
