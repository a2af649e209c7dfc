"""Clients that ask as Codex does, and say how long it took.

Owns the load and its times. Does not own who answers.
Invariant: a client has one request at a time; an answer counts when it is whole and has its last event. A
session grows by an item with each request, which repeats all that came before, as Codex does; after `turns` of
them a new one begins.

`python load.py JSON` prints one JSON object; the argument has `port`, `path`, `clients`, `requests`, `size`, `turns`,
`headers` and maybe `body`.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

__all__ = ["main"]

_WORDS = "The quick brown fox jumps over the lazy dog; def foo(x): return x and more words.\n"
_LAST = (b"response.completed", b"[DONE]")


def _item(name: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{name}",
        "role": "user",
        "content": [{"type": "input_text", "text": _WORDS * 6}],
    }


def _body(size: int, extra: dict[str, Any]) -> bytes:
    items: list[Any] = [_item(f"base{number}") for number in range(max(1, size // 610))]
    asked = {"model": "gpt-5.5", "stream": True, "store": False, "input": [*items, "GROWN"]} | extra
    return json.dumps(asked, separators=(",", ":")).encode().replace(b',"GROWN"', b"GROWN")


class _Client(asyncio.Protocol):
    def __init__(self, load: "_Load", number: int) -> None:
        self.load, self.number, self.turn = load, number, 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        if self.load.left <= 0:
            self.transport.close()
            return
        self.load.left -= 1
        self.turn += 1
        self.first, self.tail, self.begun = 0.0, b"", time.perf_counter()
        if self.turn % self.load.turns == 1 or self.load.turns == 1:
            self.session, self.grown = b"%d-%d" % (self.number, self.turn), b""
        else:
            self.grown += self.load.item.replace(b"TURN", b"%d" % self.turn)
        body = self.load.body.replace(b"GROWN", self.grown)
        self.transport.write(
            self.load.head.replace(b"SESSION", self.session).replace(b"SIZE", b"%d" % len(body)) + body
        )

    def data_received(self, data: bytes) -> None:
        if not self.first:
            self.first = time.perf_counter() - self.begun
        self.tail = (self.tail + data)[-6000:]
        if self.tail.endswith(b"0\r\n\r\n"):
            whole = time.perf_counter() - self.begun
            if any(last in self.tail for last in _LAST):
                self.load.firsts.append(self.first)
                self.load.wholes.append(whole)
            else:
                self.load.errors += 1
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.done.done():
            self.load.errors += self.load.left > 0
            self.done.set_result(None)


class _Load:
    def __init__(self, asked: dict[str, Any]) -> None:
        self.body = _body(asked["size"], asked.get("body", {}))
        headers = {"host": f"127.0.0.1:{asked['port']}", "content-type": "application/json"} | asked["headers"]
        headers |= {"accept": "text/event-stream", "content-length": "SIZE"}
        headers |= {"session-id": "SESSION", "thread-id": "SESSION"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.head = f"POST {asked['path']} HTTP/1.1\r\n{lines}\r\n".encode()
        self.item = b"," + json.dumps(_item("TURN"), separators=(",", ":")).encode()
        self.turns: int = asked["turns"]
        self.left: int = asked["requests"]
        self.errors = 0
        self.firsts, self.wholes = list[float](), list[float]()


async def _run(asked: dict[str, Any]) -> dict[str, float]:
    load = _Load(asked)
    loop = asyncio.get_running_loop()
    clients = [_Client(load, number) for number in range(asked["clients"])]
    begun = time.perf_counter()
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", asked["port"])
    await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - begun
    firsts, wholes = sorted(load.firsts) or [0.0], sorted(load.wholes) or [0.0]
    return {
        "answers": len(load.wholes),
        "errors": load.errors,
        "per_second": len(load.wholes) / took,
        "first_p50_ms": firsts[len(firsts) // 2] * 1e3,
        "first_p99_ms": firsts[len(firsts) * 99 // 100] * 1e3,
        "whole_p50_ms": wholes[len(wholes) // 2] * 1e3,
        "whole_p99_ms": wholes[len(wholes) * 99 // 100] * 1e3,
    }


def main() -> None:
    sys.stdout.write(json.dumps(uvloop.run(_run(json.loads(sys.argv[1])))) + "\n")


if __name__ == "__main__":
    main()
