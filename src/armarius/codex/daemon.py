"""What a running app-server says of its threads, asked once and briefly.

Owns the few questions and what counts as an answer. Does not own the connection
(`unix_websocket`), starting an app-server, nor what a status means (`sessions`).
Invariant: it asks and never takes part. It subscribes to no thread and answers no request of the
server's, because the first answer counts and an approval is a person's; within its deadline it is
gone again, whatever the other side does. A dead socket, a foreign process and an answer of another
shape are all no evidence.

JSON-RPC without "jsonrpc", one message a frame: initialize, initialized, thread/loaded/list,
thread/list, and thread/read for what a list leaves out.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from armarius.codex.unix_websocket import UnixWebSocket

__all__ = ["ThreadStatus", "ask_statuses", "control_socket"]

_PAGE: Final = 100
_MOST_READ: Final = 64
"""Threads that are asked for one by one: those a list did not show, as sub-agents and ephemeral ones."""

_MOST_PAGES: Final = 50
_SOURCES: Final = (
    *("cli", "vscode", "exec", "appServer", "unknown"),
    *("subAgent", "subAgentReview", "subAgentCompact", "subAgentThreadSpawn", "subAgentOther"),
)
_CLIENT: Final = {"clientInfo": {"name": "armarius", "title": "Armarius", "version": "0"}}


class ThreadStatus(msgspec.Struct, frozen=True):
    """A thread's status in the app-server's words: `active` (with flags), `idle`, `systemError`, `notLoaded`."""

    kind: str
    flags: tuple[str, ...] = ()


class _Status(msgspec.Struct):
    type: str
    activeFlags: list[str] = []  # noqa: N815  # Codex's spelling


class _Thread(msgspec.Struct):
    id: str
    status: _Status


class _Loaded(msgspec.Struct):
    data: list[str]
    nextCursor: str | None = None  # noqa: N815


class _Page(msgspec.Struct):
    data: list[_Thread]
    nextCursor: str | None = None  # noqa: N815


class _Read(msgspec.Struct):
    thread: _Thread


class _Message(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None
    result: msgspec.Raw = msgspec.Raw()


def control_socket(codex_home: Path) -> Path:
    """Where the daemon of a CODEX_HOME listens."""
    return codex_home / "app-server-control" / "app-server-control.sock"


def ask_statuses(path: Path, *, timeout_s: float = 0.3) -> dict[str, ThreadStatus] | None:
    """The status of every thread that the app-server at `path` has loaded; None when none answers.

    It takes `timeout_s` at most. What was learnt until then is lost: half an answer would make
    threads look unloaded.
    """
    try:
        path.stat()
        from armarius.codex.unix_websocket import UnixWebSocket

        with UnixWebSocket(path, time.monotonic() + timeout_s) as socket:
            server = _Server(socket)
            server.ask("initialize", _CLIENT)
            server.tell("initialized")
            return _statuses(server)
    except (OSError, msgspec.MsgspecError):
        return None


class _Server:
    """The questions, one after the other."""

    def __init__(self, socket: "UnixWebSocket") -> None:
        self._socket = socket
        self._asked = 0

    def tell(self, method: str) -> None:
        self._socket.send(msgspec.json.encode({"method": method}))

    def ask(self, method: str, params: object) -> msgspec.Raw:
        """The result of a call; ValidationError when it was refused. What else is said is let pass."""
        self._asked += 1
        self._socket.send(msgspec.json.encode({"id": self._asked, "method": method, "params": params}))
        while True:
            message = msgspec.json.decode(self._socket.receive(), type=_Message)
            if message.method is None and message.id == self._asked:
                if not bytes(message.result):
                    raise msgspec.ValidationError(f"{method} was refused")
                return message.result


def _statuses(server: _Server) -> dict[str, ThreadStatus]:
    loaded = set(_loaded(server))
    found = dict[str, ThreadStatus]()
    cursor: str | None = None
    while loaded - found.keys():
        question = {"limit": _PAGE, "cursor": cursor, "sortKey": "updated_at", "sourceKinds": _SOURCES}
        page = msgspec.json.decode(server.ask("thread/list", question), type=_Page)
        here = {thread.id: _status(thread) for thread in page.data if thread.id in loaded}
        found |= here
        cursor = page.nextCursor
        if cursor is None or not here:  # those that are loaded were written to last, and so come first
            break
    for thread_id in sorted(loaded - found.keys())[:_MOST_READ]:
        answer = server.ask("thread/read", {"threadId": thread_id})
        found[thread_id] = _status(msgspec.json.decode(answer, type=_Read).thread)
    return found


def _loaded(server: _Server) -> Iterator[str]:
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        answer = server.ask("thread/loaded/list", {} if cursor is None else {"cursor": cursor})
        page = msgspec.json.decode(answer, type=_Loaded)
        yield from page.data
        cursor = page.nextCursor
        if cursor is None:
            return


def _status(thread: _Thread) -> ThreadStatus:
    return ThreadStatus(thread.status.type, tuple(thread.status.activeFlags))
