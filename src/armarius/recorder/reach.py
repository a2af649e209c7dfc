"""A connection to a host that has several addresses, some of which may lead nowhere.

Owns which of them are tried, and when the next one is. Does not own what goes over the connection (server.py).
Invariant: an address that does not answer costs a part of a second, and not the connection; what was tried in vain is
closed.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

__all__ = ["reach"]

_Made = TypeVar("_Made", bound=asyncio.Protocol)
_Try: TypeAlias = asyncio.Task[tuple[asyncio.Transport, _Made]]

_HEAD_START_S = 0.25  # what RFC 8305 recommends


async def reach(
    make: Callable[[], _Made], host: str, port: int, tls: ssl.SSLContext | None, addresses: Sequence[str] | None = None
) -> _Made:
    """A protocol out of `make` that is connected to the first address that answers; OSError when none does."""
    loop = asyncio.get_running_loop()
    addresses = addresses or await _addresses_of(host, port)
    name = host if tls else None
    if len(addresses) == 1:
        return (await loop.create_connection(make, addresses[0], port, ssl=tls, server_hostname=name))[1]
    tries = list[_Try[_Made]]()
    try:
        for address in addresses:
            tries.append(loop.create_task(loop.create_connection(make, address, port, ssl=tls, server_hostname=name)))
            if (won := await _first(tries, _HEAD_START_S if len(tries) < len(addresses) else None)) is not None:
                tries.remove(won)
                return won.result()[1]
        raise tries[0].exception() or OSError("no address answers")
    finally:
        for other in tries:
            _give_up(other)


async def _addresses_of(host: str, port: int) -> Sequence[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _first(tries: list["_Try[_Made]"], seconds: float | None) -> "_Try[_Made] | None":
    """The first that is connected; None when the time is over, or all have failed."""
    clock = asyncio.get_running_loop().time
    deadline = None if seconds is None else clock() + seconds
    while waiting := [one for one in tries if not one.done()]:
        left = None if deadline is None else deadline - clock()
        done, _ = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        won = next((one for one in done if one.exception() is None), None)
        if won is not None or not done:
            return won
    return None


def _give_up(one: "_Try[_Made]") -> None:
    if not one.done():
        one.cancel()
    elif not one.cancelled() and one.exception() is None:
        one.result()[0].abort()  # it was second by a hair
