"""The app-server client against the real Codex, and against servers that misbehave."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from armarius.codex import hooks_protocol, protocol
from armarius.codex.app_server import RequestFailed, Server, environ_for
from armarius.codex.connection import Notification, ServerRequest
from armarius.codex.protocol import ItemChanged, StatusChanged, TextInput, ThreadStart, TurnChanged, TurnStart
from armarius.errors import HostError, NoAnswer
from support.run_world import TOOLS_PATH, World, script

Event = Notification | ServerRequest


@pytest.fixture
def codex_server(each_world: World) -> Iterator[Server]:
    environ = environ_for(each_world.codex_home, {"HOME": str(each_world.home), "PATH": TOOLS_PATH})
    with Server(each_world.binary.path, environ=environ, cwd=each_world.project) as server:
        yield server


@pytest.fixture
def never(tmp_path: Path) -> Iterator[str]:
    """What a scripted model waits for in vain; at the end it may go on."""
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDWR)
    yield str(fifo)
    os.write(end, b"go")
    os.close(end)


def open_thread(server: Server, world: World, approval: Any = "never") -> str:
    opened = server.call(protocol.THREAD_START, ThreadStart(str(world.project), "read-only", approval))
    assert (opened.sandbox["type"], opened.approval_policy) == ("readOnly", approval)
    return opened.thread.id


def say(server: Server, thread: str, prompt: str) -> str:
    return server.call(protocol.TURN_START, TurnStart(thread, (TextInput(prompt),))).turn.id


def until(server: Server, wanted: Callable[[Event], bool]) -> list[Event]:
    """The events up to the first that is wanted; fails when nothing comes for a long time."""
    seen = list[Event]()
    while not seen or not wanted(seen[-1]):
        event = server.next(30)
        assert event is not None, seen
        seen.append(event)
    return seen


def is_end(event: Event) -> bool:
    return isinstance(event, Notification) and event.method == "turn/completed"


def is_question(event: Event) -> bool:
    return isinstance(event, ServerRequest)


def end_of(events: list[Event]) -> TurnChanged:
    body = events[-1].body
    assert isinstance(body, TurnChanged)
    return body


def test_a_turn_runs_to_its_end(codex_server: Server, each_world: World) -> None:
    assert codex_server.codex_home == str(each_world.codex_home)
    assert each_world.binary.version in codex_server.user_agent
    thread = open_thread(codex_server, each_world)
    turn = say(codex_server, thread, script({"sh": "echo hello"}, {"say": "bye"}))
    events = until(codex_server, is_end)
    assert (end_of(events).thread_id, end_of(events).turn.id, end_of(events).turn.status) == (thread, turn, "completed")
    items = [
        event.body.item for event in events if event.method == "item/completed" and isinstance(event.body, ItemChanged)
    ]
    assert [item["text"] for item in items if item["type"] == "agentMessage"] == ["bye"]
    assert [item["aggregatedOutput"] for item in items if item["type"] == "commandExecution"] == ["hello\n"]
    untyped = {event.method for event in events if event.method in protocol.NOTIFICATIONS and event.body is None}
    assert untyped == set()
    assert list(codex_server.garbage) == []


def test_all_that_begin_at_once_in_a_home_without_a_database_come_up(each_world: World, tmp_path: Path) -> None:
    home = tmp_path / "new"
    home.mkdir()
    environ = environ_for(home, {"HOME": str(each_world.home), "PATH": TOOLS_PATH})
    together = threading.Barrier(4)

    def come_up(_: int) -> str:
        together.wait(60)
        with Server(each_world.binary.path, environ=environ, cwd=each_world.project) as server:
            return server.codex_home

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(come_up, range(4))) == [str(home)] * 4


def test_a_failed_turn_says_why(codex_server: Server, each_world: World) -> None:
    say(codex_server, open_thread(codex_server, each_world), script({"fault": "400"}))
    turn = end_of(until(codex_server, is_end)).turn
    assert turn.status == "failed"
    assert turn.error is not None
    assert turn.error.message


def test_an_approval_is_handed_on_and_waits_until_it_is_answered(codex_server: Server, each_world: World) -> None:
    thread = open_thread(codex_server, each_world, "on-request")
    say(codex_server, thread, script({"sh": "touch made", "ask": "May I?"}, {"say": "done"}))
    events = until(codex_server, is_question)
    states = [event.body.status for event in events if isinstance(event.body, StatusChanged)]
    assert states[-1].active_flags == ("waitingOnApproval",)
    question = events[-1]
    assert isinstance(question, ServerRequest)
    assert isinstance(question.body, protocol.ApprovalAsked)
    assert (question.body.thread_id, question.body.reason) == (thread, "May I?")
    assert "touch made" in (question.body.command or "")
    # Nothing more is said, for as long as one likes to wait: a question to the server itself is still answered.
    waited = [event.method for event in iter(lambda: codex_server.next(0.5), None)]
    assert "turn/completed" not in waited
    assert "serverRequest/resolved" not in waited
    assert not (each_world.project / "made").exists()
    codex_server.answer(question, {"decision": "decline"})
    assert end_of(until(codex_server, is_end)).turn.status == "completed"
    assert not (each_world.project / "made").exists()


def test_a_turn_is_steered_and_interrupted(codex_server: Server, each_world: World, never: str) -> None:
    thread = open_thread(codex_server, each_world)
    waiting = script({"wait": never}, {"say": "never"})
    turn = say(codex_server, thread, waiting)
    # Until then there is no turn that could be interrupted, though one may already steer it.
    until(codex_server, lambda event: event.method == "turn/started")
    steer = protocol.TurnSteer(thread, turn, (TextInput(waiting),))
    assert codex_server.call(protocol.TURN_STEER, steer).turn_id == turn
    with pytest.raises(RequestFailed) as refused:
        codex_server.call(protocol.TURN_STEER, protocol.TurnSteer(thread, "another", (TextInput("x"),)))
    assert refused.value.method == "turn/steer"
    codex_server.call(protocol.TURN_INTERRUPT, protocol.TurnInterrupt(thread, turn))
    assert end_of(until(codex_server, is_end)).turn.status == "interrupted"


def test_a_thread_is_taken_up_again_by_another_server(codex_server: Server, each_world: World) -> None:
    thread = open_thread(codex_server, each_world)
    say(codex_server, thread, script({"say": "one"}))
    until(codex_server, is_end)
    again = protocol.ThreadResume(thread, str(each_world.project), "read-only", "never")
    assert codex_server.call(protocol.THREAD_RESUME, again).thread.id == thread


def test_a_killed_server_is_an_error_and_no_wait(codex_server: Server, each_world: World) -> None:
    open_thread(codex_server, each_world)
    os.kill(codex_server.pid, signal.SIGKILL)
    with pytest.raises(HostError) as gone:
        until(codex_server, lambda _event: False)
    assert gone.value.code == "codex-gone"
    assert "-9" in gone.value.message
    with pytest.raises(HostError, match="ended"):
        open_thread(codex_server, each_world)


def test_leaving_the_block_ends_the_server_and_records_the_turn(each_world: World, never: str) -> None:
    environ = environ_for(each_world.codex_home, {"HOME": str(each_world.home), "PATH": TOOLS_PATH})
    with Server(each_world.binary.path, environ=environ, cwd=each_world.project) as server:
        opened = server.call(protocol.THREAD_START, ThreadStart(str(each_world.project), "read-only", "never"))
        say(server, opened.thread.id, script({"wait": never}, {"say": "never"}))
        until(server, lambda event: event.method == "turn/started")
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)
    assert opened.thread.path is not None
    assert '"turn_aborted"' in Path(opened.thread.path).read_text()


# ------------------------------------------------- servers that are not what they should be

_HELLO = """
import json, sys, time, os
def read(): return json.loads(sys.stdin.readline())
def write(text): sys.stdout.write(text); sys.stdout.flush()
def tell(**message): write(json.dumps(message) + "\\n")
tell(id=read()["id"], result={"userAgent": "fake", "codexHome": "/fake", "new": 1})
read()
"""


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Server]:
    """A server that says hello as it should and then does as it is told."""

    def start(behaviour: str, hello: str = _HELLO, **options: Any) -> Server:
        program = tmp_path / "codex"
        program.write_text(f"#!{sys.executable} -IS\n{hello}\n{behaviour}\n")
        program.chmod(0o755)
        return Server(program, environ={"PATH": TOOLS_PATH}, cwd=tmp_path, **options)

    return start


_LIST = hooks_protocol.HooksList(("/x",))


def test_garbage_between_the_lines_is_kept_and_the_answer_found(fake: Callable[..., Server]) -> None:
    behaviour = """
asked = read()
write("not json\\n" + "y" * 5000 + "\\n")
tell(id=99, result=1)
tell(method="new/thing", params={"a": 1})
write(json.dumps({"id": asked["id"], "result": {"data": []}})[:10]); time.sleep(0.05)
write(json.dumps({"id": asked["id"], "result": {"data": []}})[10:] + "\\n")
read()
"""
    with fake(behaviour, longest_line=1000) as server:
        assert server.call(hooks_protocol.HOOKS_LIST, _LIST).data == ()
        event = server.next(0)
        assert isinstance(event, Notification)
        assert (event.method, event.params, event.body) == ("new/thing", {"a": 1}, None)
        assert [found.shown[:8] for found in server.garbage] == ["not json", "yyyyyyyy", '{"id": 9']


@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        ("read(); tell(id=2, error={'code': -32600, 'message': 'no'}); read()", RequestFailed, "codex-request"),
        ("read(); tell(id=2, result={'data': 5}); read()", HostError, "codex-protocol"),
        ("read(); sys.stderr.write('it hurts'); sys.exit(3)", HostError, "codex-gone"),
        ("read(); os.close(1); time.sleep(60)", HostError, "codex-gone"),
        ("time.sleep(60)", NoAnswer, "codex-silent"),
    ],
)  # fmt: skip
def test_every_bad_answer_is_a_clear_error(
    fake: Callable[..., Server], behaviour: str, kind: type[Exception], code: str
) -> None:
    with fake(behaviour) as server, pytest.raises(kind) as problem:
        server.call(hooks_protocol.HOOKS_LIST, _LIST, deadline_s=0.3 if kind is NoAnswer else 30)
    assert getattr(problem.value, "code", None) == code
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)


def test_the_last_words_of_a_server_that_never_says_hello_are_told(fake: Callable[..., Server]) -> None:
    with (
        pytest.raises(HostError, match=r"\(7\): bad config"),
        fake("", "import sys\nsys.exit(sys.stderr.write('bad\\nconfig') and 7)"),
    ):
        pass


def test_a_long_prompt_goes_to_a_server_that_talks_instead_of_listening(fake: Callable[..., Server]) -> None:
    behaviour = """
for _ in range(2000): tell(method="chatter", params="z" * 1000)
asked = read()
length = len(asked["params"]["input"][0]["text"])
tell(id=asked["id"], result={"turn": {"id": str(length), "status": "inProgress"}})
read()
"""
    with fake(behaviour) as server:
        assert say(server, "t", "p" * 2_000_000) == "2000000"
        assert sum(1 for _ in iter(lambda: server.next(0), None)) == 2000


def test_children_of_a_server_do_not_outlive_it(fake: Callable[..., Server]) -> None:
    behaviour = """
import subprocess
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
tell(method="child", params=child.pid)
read()
"""
    with fake(behaviour) as server:
        event = server.next(30)
        assert event is not None
        child = os.pidfd_open(event.params)
    assert select.select([child], [], [], 30)[0], "the child lives on"
    os.close(child)


# ----------------------------------------------------------- what Codex says of itself


def test_a_server_dies_with_the_armarius_that_started_it(each_world: World) -> None:
    program = (
        "import sys, os, json; from pathlib import Path\n"
        "from armarius.codex.app_server import Server\n"
        "binary, environ, cwd = json.loads(sys.argv[1])\n"
        "with Server(binary, environ=environ, cwd=Path(cwd)) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environ = environ_for(each_world.codex_home, {"HOME": str(each_world.home), "PATH": TOOLS_PATH})
    order = json.dumps([each_world.binary.path, environ, str(each_world.project)])
    with subprocess.Popen(
        [sys.executable, "-c", program, order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        handle = os.pidfd_open(pid)
        other.kill()
    assert select.select([handle], [], [], 30)[0], "the server outlived its Armarius"
    os.close(handle)
