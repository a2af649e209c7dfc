"""A host with several addresses is reached though some of them lead nowhere."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import uvloop

from armarius.recorder.reach import reach


@pytest.fixture
def port() -> Iterator[int]:
    """127.0.0.2 answers there, 127.0.0.1 does not: its queue is full, so that the kernel lets everybody wait."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        number = silent.getsockname()[1]
        stack.enter_context(socket.create_server(("127.0.0.2", number)))
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.1", number))
        yield number


def reached(port: int, *addresses: str) -> str:
    """The address of whom `reach` came to."""

    async def run() -> str:
        got = await reach(Noting, "example.invalid", port, None, addresses)
        peer = got.transport.get_extra_info("peername")[0]
        got.transport.abort()
        return peer

    return uvloop.run(asyncio.wait_for(run(), 20))


class Noting(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.2",),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.3", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.2", "127.0.0.1"),
        ("127.0.0.3", "127.0.0.2"),
    ],
)
def test_an_address_that_refuses_or_says_nothing_does_not_stand_in_the_way(
    port: int, addresses: tuple[str, ...]
) -> None:
    assert reached(port, *addresses) == "127.0.0.2"


@pytest.mark.parametrize("addresses", [("127.0.0.3",), ("127.0.0.3", "127.0.0.4")])
def test_where_nobody_answers_the_reason_is_that_of_the_first(port: int, addresses: tuple[str, ...]) -> None:
    with pytest.raises(ConnectionRefusedError):
        reached(port, *addresses)
