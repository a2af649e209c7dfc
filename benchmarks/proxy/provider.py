"""A provider that costs next to nothing: one answer of 68 events, at once or paced.

Owns the bytes and the pace. Does not own who asks.
Invariant: every answer is the same; it is made once.

`python provider.py` prints its port. A request whose `user` is `paced` gets its first event after 50 ms
and one more every 20 ms, as from a model that says 50 tokens a second.
"""

import asyncio
import json
import sys
from typing import Any, Final

import uvloop

__all__ = ["EVENTS", "main"]

_FIRST_S: Final = 0.05
_NEXT_S: Final = 0.02
_COUNT: Final = 68


def _events() -> list[bytes]:
    texts = [f"some words of an answer, piece {number} of them " for number in range(_COUNT - 6)]
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    whole: dict[str, Any] = item | {"content": [{"type": "output_text", "text": "".join(texts), "annotations": []}]}
    usage = {"input_tokens": 4_800, "output_tokens": 62, "total_tokens": 4_862}
    usage |= {"input_tokens_details": {"cached_tokens": 4_000}, "output_tokens_details": {"reasoning_tokens": 0}}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.5"}
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": response | {"status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
        *({"type": "response.output_text.delta", **at, "delta": text} for text in texts),
        {"type": "response.output_text.done", **at, "text": "".join(texts)},
        {"type": "response.content_part.done", **at, "part": whole["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {
            "type": "response.completed",
            "response": response | {"status": "completed", "output": [whole], "usage": usage},
        },
    ]
    numbered = (event | {"sequence_number": number} for number, event in enumerate(said))
    return [f"event: {one['type']}\ndata: {json.dumps(one, separators=(',', ':'))}\n\n".encode() for one in numbered]


EVENTS: Final = _events()
_CHUNKS: Final = [b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS]
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nx-request-id: req_1\r\n\r\n"
)
_ALL: Final = _HEAD + b"".join(_CHUNKS) + b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """Reads as little of a request as it can: its end, and whether it wants to be paced."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.left = b""
        self.tasks = set[asyncio.Task[None]]()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.left += data
        while (end := self.left.find(b"\r\n\r\n")) >= 0:
            head = self.left[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
            if len(self.left) < end + 4 + size:
                return
            body, self.left = self.left[end + 4 : end + 4 + size], self.left[end + 4 + size :]
            if b'"user":"paced"' in body or b'"user": "paced"' in body:
                task = asyncio.get_running_loop().create_task(self._pace())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            else:
                self.transport.write(_ALL)

    async def _pace(self) -> None:
        await asyncio.sleep(_FIRST_S)
        self.transport.write(_HEAD + _CHUNKS[0])
        for chunk in _CHUNKS[1:]:
            await asyncio.sleep(_NEXT_S)
            self.transport.write(chunk)
        self.transport.write(b"0\r\n\r\n")


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    uvloop.run(_serve())


if __name__ == "__main__":
    assert len(EVENTS) == _COUNT
    main()
