"""A WebSocket over a Unix socket, with one deadline for all of it.

Owns the connection: who is at the other end, the handshake, text messages and their bounds. Does
not own what is said.
Invariant: no call outlives the deadline or takes in more than MOST_BYTES, whatever the other side
does; nobody but a process of the same user is spoken to; no thread is started.
"""

import os
import socket
import stat
import struct
import sys
import time
from pathlib import Path
from typing import Final, Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

__all__ = ["MOST_BYTES", "UnixWebSocket"]

MOST_BYTES: Final = 32 << 20
_LONGEST_MESSAGE: Final = 8 << 20
_CHUNK: Final = 1 << 16
_UCRED: Final = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class UnixWebSocket:
    """An open connection; OSError when there is nobody, somebody else, no time, or too much said."""

    def __init__(self, path: Path, deadline: float) -> None:
        """Connect and shake hands before `deadline`, in seconds of the monotonic clock."""
        self._deadline = deadline
        self._taken = 0
        self._parts = bytearray()
        self._messages = list[str]()
        self._is_open = False
        self._protocol = ClientProtocol(parse_uri("ws://localhost/"), max_size=_LONGEST_MESSAGE)
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._connect(path)
            self._protocol.send_request(self._protocol.connect())
            while not self._is_open:
                self._exchange()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, text: bytes) -> None:
        self._protocol.send_text(text)
        self._flush()

    def receive(self) -> str:
        """The next message."""
        while not self._messages:
            self._exchange()
        return self._messages.pop(0)

    def _connect(self, path: Path) -> None:
        # The path may be longer than a socket's name can be; what it links to is short.
        real = os.path.realpath(path)
        seen = os.stat(real)  # noqa: PTH116  # of this very string
        if not stat.S_ISSOCK(seen.st_mode) or seen.st_uid != os.geteuid():
            raise ConnectionRefusedError(f"{real} is no socket of this user")
        self._socket.settimeout(self._left())
        self._socket.connect(real)
        if sys.platform == "linux":
            told = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            if _UCRED.unpack(told)[1] != os.geteuid():
                raise ConnectionRefusedError(f"another user listens at {real}")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._socket.settimeout(self._left())
            self._socket.sendall(data)

    def _exchange(self) -> None:
        """Send what is due, take in what is there."""
        self._flush()
        self._socket.settimeout(self._left())
        data = self._socket.recv(_CHUNK)
        self._taken += len(data)
        if not data or self._taken > MOST_BYTES:
            raise ConnectionAbortedError("the other side hung up, or talked too much")
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._take(event)
        if self._protocol.handshake_exc or self._protocol.close_expected():
            raise ConnectionAbortedError("the other side is no WebSocket, or closed it")

    def _take(self, event: object) -> None:
        if isinstance(event, Response):
            self._is_open = self._protocol.handshake_exc is None
        elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts += event.data
            if event.fin:
                self._messages.append(bytes(self._parts).decode(errors="replace"))
                self._parts.clear()
