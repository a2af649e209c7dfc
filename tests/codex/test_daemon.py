"""A living app-server is asked what its threads do, and notices nothing of it; a hostile one learns nothing."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from armarius.codex.daemon import ThreadStatus, ask_statuses
from armarius.testing.model_server import ModelServer
from armarius.thread import State
from support.codex_world import Client, CodexWorld

PATIENCE_S = 60
ASKS = [{"sh": "touch asked", "ask": "May I?"}, {"say": "done"}]


@pytest.fixture
def world(tmp_path: Path, codex: Path) -> Iterator[CodexWorld]:
    with ModelServer() as server, CodexWorld(tmp_path, codex, server) as world:
        yield world


@pytest.fixture
def daemon(world: CodexWorld) -> Path:
    return world.start_daemon()


def asks(path: Path) -> dict[str, ThreadStatus]:
    found = ask_statuses(path, timeout_s=PATIENCE_S)
    assert found is not None
    return found


def test_a_wait_for_an_approval_is_seen_and_left_to_the_one_who_was_asked(world: CodexWorld, daemon: Path) -> None:
    assert asks(daemon) == {}
    with Client(daemon) as client:
        started = client.call("thread/start", cwd=str(world.project), sandbox="read-only", approvalPolicy="on-request")
        thread_id = started["thread"]["id"]
        assert asks(daemon) == {thread_id: ThreadStatus("idle")}

        client.turn(thread_id, ASKS)
        request = client.until("item/commandExecution/requestApproval")
        for _ in range(3):  # it can be asked again and again
            assert asks(daemon) == {thread_id: ThreadStatus("active", ("waitingOnApproval",))}
        found = world.standing()
        assert (found.state, found.source, found.confidence) == (State.WAITING_APPROVAL, "app_server", "high")
        assert found.disagreements == ()

        told = [message.get("method") for message in client.heard]
        assert "serverRequest/resolved" not in told
        assert not (world.project / "asked").exists()
        client.answer(request, "decline")
        client.until("turn/completed")
        assert asks(daemon) == {thread_id: ThreadStatus("idle")}
        found = world.standing()
        assert (found.state, found.source) == (State.IDLE, "app_server")


def test_without_an_app_server_to_ask_the_call_itself_is_a_hint(world: CodexWorld, daemon: Path) -> None:
    with Client(daemon) as client:
        started = client.call("thread/start", cwd=str(world.project), sandbox="read-only", approvalPolicy="on-request")
        client.turn(started["thread"]["id"], ASKS)
        client.until("item/commandExecution/requestApproval")
        daemon.unlink()  # the way to it: it lives on, as one that an editor started for itself
        found = world.standing()
        assert (found.state, found.source, found.confidence) == (State.WAITING_APPROVAL, "rollout+lock", "low")


def test_a_question_to_the_person_is_seen_and_left_to_them(world: CodexWorld, daemon: Path) -> None:
    option = {"label": "yes", "description": "go on"}
    question = {"id": "q", "header": "Go", "question": "Shall I?", "options": [option, option | {"label": "no"}]}
    call = {"name": "request_user_input", "arguments": {"questions": [question]}}
    with Client(daemon) as client:
        options = {"features.default_mode_request_user_input": True}
        thread_id = client.call("thread/start", cwd=str(world.project), config=options)["thread"]["id"]
        client.turn(thread_id, [{"call": call}, {"say": "done"}])
        client.until("item/tool/requestUserInput")
        assert asks(daemon) == {thread_id: ThreadStatus("active", ("waitingOnUserInput",))}
        found = world.standing()
        assert (found.state, found.source, found.disagreements) == (State.WAITING_INPUT, "app_server", ())
        daemon.unlink()
        found = world.standing()
        assert (found.state, found.source, found.confidence) == (State.WAITING_INPUT, "rollout+lock", "medium")


def test_threads_that_no_list_shows_are_asked_for_one_by_one(world: CodexWorld, daemon: Path) -> None:
    with Client(daemon) as client:
        started = client.call("thread/start", cwd=str(world.project), ephemeral=True)
        assert asks(daemon) == {started["thread"]["id"]: ThreadStatus("idle")}


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Path]:
    """The test's folder by its descriptor, because a socket's name has room for a hundred bytes."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield Path(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)


def test_a_dead_socket_is_no_evidence(near: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(near / "dead.sock"))
    assert ask_statuses(near / "dead.sock") is None
    assert ask_statuses(near / "missing.sock") is None
    (near / "file.sock").write_text("no socket")
    assert ask_statuses(near / "file.sock") is None


@contextlib.contextmanager
def serving(path: Path, serve: Callable[[socket.socket], None]) -> Generator[None]:
    """Somebody who listens at `path` and talks to the first who comes as `serve` does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # it may hang up on us
                serve(connection)
                connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def frames(*texts: bytes) -> Callable[[socket.socket], None]:
    """A server that shakes hands, and answers each message with the next of `texts`."""

    def serve(connection: socket.socket) -> None:
        protocol = ServerProtocol()
        left = list(texts)
        while data := connection.recv(1 << 16):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif left:
                    protocol.send_text(left.pop(0))
            for out in protocol.data_to_send():
                connection.sendall(out)

    return serve


def raw(data: bytes, *, for_ever: bool = False) -> Callable[[socket.socket], None]:
    """A server that says `data` to everybody."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        while for_ever:
            connection.sendall(data)

    return serve


HELLO = b'{"id":1,"result":{}}'
LOADED = b'{"id":2,"result":{"data":["a"],"nextCursor":null}}'
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n"


@pytest.mark.parametrize(
    "serve",
    [
        raw(b""),
        raw(b"\xff" * 1000),
        raw(b"x" * (1 << 16), for_ever=True),
        raw(b"HTTP/1.1 200 OK\r\n\r\n"),
        raw(SWITCH + b"\r\n"),
        raw(SWITCH + b"X: y\r\n" * 100_000),
        frames(),
        frames(b"no json"),
        frames(b"\xff\xfe"),
        frames(b"[" * 100_000),
        frames(b'{"id":1,"error":{"code":-1,"message":"no"}}'),
        frames(HELLO, b"", b'{"id":2,"result":{"data":[{}]}}'),
        frames(HELLO, b"", b'{"id":2,"result":null}'),
        frames(HELLO, b"", LOADED, b'{"id":3,"result":{"data":[{"id":"a","status":"idle"}]}}'),
        frames(HELLO, b"", LOADED, b'{"id":3,"result":{"data":[],"nextCursor":"x"}}', b'{"id":4,"result":{}}'),
        frames(b'{"id":"x","method":"item/commandExecution/requestApproval","params":{}}'),
    ],
)
def test_a_hostile_answer_is_no_evidence(near: Path, serve: Callable[[socket.socket], None]) -> None:
    with serving(near / "d.sock", serve):
        assert ask_statuses(near / "d.sock", timeout_s=0.3) is None


def test_a_server_that_speaks_as_codex_does_is_understood(near: Path) -> None:
    """The same server as the hostile ones, so that those are not refused for another reason."""
    asked = b'{"id":2,"method":"item/commandExecution/requestApproval","params":{}}'
    status = b'{"id":3,"result":{"data":[{"id":"a","status":{"type":"active","activeFlags":["waitingOnUserInput"]}}]}}'
    with serving(near / "d.sock", frames(HELLO, asked, LOADED, status)):
        assert asks(near / "d.sock") == {"a": ThreadStatus("active", ("waitingOnUserInput",))}
