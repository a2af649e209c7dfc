"""`armarius watch` over real processes: Codex, git, files and locks."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from armarius.clock import SystemClock, rfc3339
from armarius.store.ledger import append_event, open_ledger
from armarius.testing.model_server import ModelServer
from support.run_world import script
from support.terminal import Terminal

THREAD = "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
OTHER = "01a1f8dc-b678-76e0-8319-c9bb383e41bd"
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
NAMES = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def now() -> str:
    return rfc3339(SystemClock().now_us())


def record(**payload: object) -> bytes:
    body = {"timestamp": now(), "type": "event_msg", "payload": payload}
    return msgspec.json.encode(body) + b"\n"


def started(turn: str) -> bytes:
    return record(type="task_started", turn_id=turn)


def completed(turn: str, words: str = "done") -> bytes:
    return record(type="task_complete", turn_id=turn, last_agent_message=words)


class Session:
    """A session file in a home, and its writer's lock."""

    def __init__(self, terminal: Terminal, thread: str = THREAD, *, source: str = "cli") -> None:
        self.path = (
            terminal.codex_home / "sessions" / "2026" / "11" / "20" / f"rollout-2026-11-20T10-00-00-{thread}.jsonl"
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        meta = {"id": thread, "timestamp": "2026-11-20T12:00:00Z", "cwd": "/work", "source": source}
        first = {"timestamp": "2026-11-20T12:00:00.000Z", "type": "session_meta", "payload": meta}
        self.write(msgspec.json.encode(first) + b"\n")
        locks = terminal.codex_home / "thread-writer-locks"
        locks.mkdir(exist_ok=True)
        self._lock = locks / f"{thread}.lock"
        self._held: int | None = None

    def write(self, *lines: bytes) -> None:
        with self.path.open("ab") as stream:
            stream.write(b"".join(lines))

    def hold(self) -> None:
        self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """As the kernel does when the writer was killed."""
        assert self._held is not None
        os.close(self._held)


def kinds(signals: list[dict[str, Any]]) -> list[str]:
    return [signal["kind"] for signal in signals]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *NAMES, *words], cwd=folder, env=os.environ | GIT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "core.logAllRefUpdates", "false")  # HEAD may move without an entry in a log
    git(folder, "commit", "-q", "--allow-empty", "-m", "the first one")
    return folder


# Sessions


def test_a_run_of_the_real_codex_is_one_line_at_its_end(codex: Path, terminal: Terminal, watch: Any) -> None:
    with ModelServer() as server:
        terminal.serve(server)
        watching = watch("--all", "--max-events", 1)
        prompt = script(
            {"sh": "echo Traceback; true"},
            {"say": "all is well", "phase": "final_answer"},
        )
        subprocess.run(
            [str(codex), "exec", "--skip-git-repo-check", prompt],
            env=terminal.environ,
            cwd=terminal.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=120,
        )
        signals = watching.rest()
    assert kinds(signals) == ["turn_completed", "cap_reached"]
    assert signals[0]["text"] == "all is well"
    assert signals[0]["cwd"] == str(terminal.project)


def test_a_failing_command_of_the_real_codex_is_told_before_the_turn_ends(
    codex: Path, terminal: Terminal, watch: Any
) -> None:
    with ModelServer() as server:
        terminal.serve(server)
        watching = watch("--all", "--until", "turn_completed")
        fail = f"{sys.executable} -c \"raise ValueError('boom')\""
        prompt = script({"sh": fail}, {"say": "ok", "phase": "final_answer"})
        subprocess.run(
            [str(codex), "exec", "--skip-git-repo-check", f"ValueError: never of the prompt\n{prompt}"],
            env=terminal.environ,
            cwd=terminal.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )
        signals = watching.rest()
    assert kinds(signals) == ["output_failure", "turn_completed"]
    assert signals[0]["text"] == "python: ValueError: boom"


def test_the_watch_of_a_named_thread_ends_when_it_rests(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    watching = watch(THREAD[:13])
    session.write(completed("t1"), started("t2"), completed("t2", "really done"))
    assert [signal["text"] for signal in watching.rest()] == ["done", "really done"]


def test_the_watch_of_all_goes_on_and_sees_sessions_that_begin_later(terminal: Terminal, watch: Any) -> None:
    watching = watch("--all")
    first = Session(terminal)
    first.write(started("t1"), completed("t1"))
    assert watching.next()["thread"] == THREAD
    second = Session(terminal, OTHER)
    second.write(started("t2"), completed("t2"))
    assert watching.next()["thread"] == OTHER
    assert watching.interrupt() == 130


def test_a_cap_says_so_and_what_it_left_is_said_by_the_next_watch(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    cursor = terminal.project / "cursor.json"
    watching = watch("--all", "--max-events", 2, "--cursor", cursor)
    session.write(
        *(line for number in range(5) for line in (started(f"t{number}"), completed(f"t{number}", str(number))))
    )
    first = watching.rest()
    assert [signal["text"] for signal in first[:2]] == ["0", "1"]
    assert kinds(first)[2:] == ["cap_reached"]
    session.write(started("t5"), completed("t5", "5"))
    again = watch("--all", "--max-events", 4, "--cursor", cursor)
    assert [signal["text"] for signal in again.rest()[:-1]] == ["2", "3", "4", "5"]


def test_until_ends_at_its_kind_and_at_once_when_that_holds_already(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    watching = watch("--all", "--until", "turn_failed")
    session.write(completed("t1"), started("t2"))
    failure = {"message": "boom", "codex_error_info": "other"}
    session.write(record(type="task_complete", turn_id="t2", last_agent_message=None, error=failure))
    assert kinds(watching.rest()) == ["turn_completed", "turn_failed"]
    done = terminal.type("watch", "--json", THREAD, "--until", "idle")
    assert (done.code, done.answer["kind"]) == (0, "idle")


def test_a_timeout_without_a_signal_is_no_answer(terminal: Terminal) -> None:
    Session(terminal)
    done = terminal.type("watch", "--json", THREAD, "--timeout", "0.1")
    assert (done.code, done.out, done.error["code"]) == (6, "", "watch-timeout")


def test_a_killed_writer_is_a_crash_and_ends_the_watch(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    session.hold()
    watching = watch(THREAD)
    session.let_go()
    [signal] = watching.rest()
    assert (signal["kind"], signal["source"], signal["confidence"]) == ("crashed", "rollout+lock", "high")


def test_a_call_that_asks_to_leave_the_sandbox_is_a_hint_of_waiting(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    session.hold()
    watching = watch(THREAD, "--until", "turn_completed")
    asked = json.dumps({"cmd": "rm -r build", "sandbox_permissions": "require_escalated", "justification": "clean"})
    call = {"type": "function_call", "name": "exec_command", "arguments": asked, "call_id": "c1"}
    line = {"timestamp": now(), "type": "response_item", "payload": call}
    session.write(msgspec.json.encode(line) + b"\n")
    signal = watching.next()
    assert (signal["kind"], signal["confidence"]) == ("waiting_approval", "low")
    assert "rm -r build" in signal["text"]
    answer = {
        "type": "function_call_output",
        "call_id": "c1",
        "output": "Exit code: 0\nWall time: 0 seconds\nOutput:\n",
    }
    session.write(msgspec.json.encode(line | {"payload": answer}) + b"\n")
    assert watching.next()["kind"] == "resumed"
    session.write(completed("t1"))
    assert kinds(watching.rest()) == ["turn_completed"]


def test_an_approval_that_a_hook_told_of_is_a_signal(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    session.hold()
    watching = watch(THREAD, "--until", "waiting_approval")
    hooks = terminal.state / "hooks"
    hooks.mkdir(parents=True)
    event = {"at_us": SystemClock().now_us(), "event": "PermissionRequest", "session_id": THREAD, "turn_id": "t1"}
    (hooks / "events.jsonl").write_bytes(msgspec.json.encode(event) + b"\n")
    [signal] = watching.rest()
    assert (signal["source"], signal["confidence"]) == ("hook", "medium")


def test_a_quiet_turn_is_stalled_once(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    watching = watch(THREAD, "--stall", "0.2")
    assert watching.next()["kind"] == "stalled"
    session.write(completed("t1"))
    assert kinds(watching.rest()) == ["turn_completed"]


def test_a_goal_in_the_database_of_codex_that_ends_is_told(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"))
    schema = "CREATE TABLE thread_goals (thread_id TEXT, goal_id TEXT, objective TEXT, status TEXT, token_budget INT,"
    schema += " tokens_used INT, time_used_seconds INT, created_at_ms INT, updated_at_ms INT);"
    path = terminal.codex_home / "goals_1.sqlite"
    row = f"INSERT INTO thread_goals VALUES ('{THREAD}', 'g', 'ship it', 'active', 9, 0, 0, 1000, 1000)"
    ask(path, schema, row)
    watching = watch(THREAD)
    ask(path, "UPDATE thread_goals SET status = 'budget_limited', updated_at_ms = 2000")
    signal = watching.next()
    assert (signal["kind"], signal["old"], signal["new"]) == (
        *("goal_ended", "active: ship it"),
        "budget_limited: ship it",
    )
    session.write(completed("t1"))
    assert kinds(watching.rest()) == ["turn_completed"]


def ask(path: Path, *statements: str) -> None:
    connection: Any = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_run_of_ours_that_passes_its_budget_is_told(terminal: Terminal, watch: Any) -> None:
    ledger = open_ledger(terminal.state / "ledger.sqlite", SystemClock())
    append_event(ledger, at_us=1, subject="run_1", kind="run_ended", body={"state": "timed_out"})
    watching = watch("--all", "--max-events", 2)
    append_event(ledger, at_us=2, subject="run_2", kind="run_started", body={"attempt": 1})
    append_event(ledger, at_us=3, subject="run_2", kind="run_budget_passed", body={"tokens": 5000})
    append_event(ledger, at_us=4, subject="run_3", kind="run_ended", body={"state": "timed_out"})
    first, second, _ = watching.rest()
    ledger.close()
    assert (first["kind"], first["subject"], "tokens 5000" in first["text"]) == ("budget_passed", "run_2", True)
    assert (second["kind"], second["subject"]) == ("budget_passed", "run_3")


# Repositories and values


def test_head_that_moves_is_told_with_its_commit_and_git_is_the_authority(repository: Path, watch: Any) -> None:
    fence = repository / "fence"
    fence.write_text("up")
    watching = watch("--repo", repository, "--value", f"{fence}:.+")
    git(repository, "commit", "-q", "--allow-empty", "-m", "a second one\n\nwith more")
    signal = watching.next()
    assert signal["new"] == git(repository, "rev-parse", "HEAD")
    assert signal["text"].endswith("a second one")
    git(repository, "pack-refs", "--all")
    git(repository, "reset", "-q", "--soft", "HEAD")
    fence.write_text("down")
    assert watching.next()["kind"] == "value_changed"
    git(repository, "update-ref", "refs/heads/main", "HEAD~1")
    assert watching.next()["new"] == git(repository, "rev-parse", "HEAD")
    assert watching.interrupt() == 130


def test_head_of_a_worktree_is_its_own(repository: Path, tmp_path: Path, watch: Any) -> None:
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", "-b", "side", str(tree))
    watching = watch("--repo", tree, "--max-events", 1)
    git(repository, "commit", "-q", "--allow-empty", "-m", "not of the worktree")
    git(tree, "commit", "-q", "--allow-empty", "-m", "of the worktree")
    first, _ = watching.rest()
    assert first["text"].endswith("of the worktree")
    assert first["new"] == git(tree, "rev-parse", "HEAD")


def test_a_value_is_told_when_it_is_another_one(terminal: Terminal, watch: Any) -> None:
    log = terminal.project / "train.log"
    log.write_text("loss=0.9\n")
    same = terminal.project / "same"
    same.write_text("as before")
    watching = watch("--value", "same:.*", "--value", r"train.log:loss=(\S+)", "--max-events", 2)
    same.write_text("as before\n")
    new = log.with_name("new")
    new.write_text("loss=0.9\nloss=0.5\n")
    new.replace(log)
    first = watching.next()
    with log.open("a") as stream:
        stream.write("something else\nloss=0.1\n")
    second, _ = watching.rest()
    assert [(one["old"], one["new"]) for one in (first, second)] == [("0.9", "0.5"), ("0.5", "0.1")]


def test_what_moved_while_nobody_watched_is_told_by_a_cursor(repository: Path, terminal: Terminal, watch: Any) -> None:
    value = terminal.project / "v"
    value.write_text("1")
    words = ("--repo", repository, "--value", "v:.+", "--cursor", terminal.project / "cursor.json")
    assert watch(*words).interrupt() == 130
    git(repository, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    value.write_text("2")
    signals = watch(*words, "--max-events", 2).rest()
    assert kinds(signals) == ["head_moved", "value_changed", "cap_reached"]


# Pushes


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    """A webhook on loopback, and the bodies that came."""
    bodies = list[bytes]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/signals", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_gets_the_signal_and_one_that_fails_is_named_once(
    terminal: Terminal, watch: Any, hook: tuple[str, list[bytes]]
) -> None:
    url, bodies = hook
    session = Session(terminal)
    watching = watch("--all", "--max-events", 2, "--exec", "tee -a pushed", "--exec", "false", "--webhook", url)
    session.write(started("t1"), completed("t1"), started("t2"), completed("t2"))
    printed = watching.rest()
    assert watching.complaints().count("--exec false: false ended with 1") == 1
    pushed = (terminal.project / "pushed").read_bytes().replace(b"}{", b"}\n{").splitlines()
    assert [json.loads(line)["id"] for line in pushed] == [signal["id"] for signal in printed]
    assert [json.loads(body)["id"] for body in bodies] == [signal["id"] for signal in printed]


# What is refused


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ((), 2, "watch"),
        (("--all", THREAD), 2, "watch"),
        (("--value", "no-regex"), 2, "value-spec"),
        (("--value", "file:("), 2, "value-pattern"),
        (("--until", "tea"), 2, "usage"),
        (("--all", "--max-events", "0"), 2, "usage"),
        (("--all", "--exec", "'"), 2, "exec"),
        (("--all", "--webhook", "https://127.0.0.1/"), 2, "webhook"),
        (("--all", "--webhook", "http://192.0.2.1/"), 5, "webhook-remote"),
        (("no-such-thread",), 3, "thread-unknown"),
        (("--repo", "/"), 3, "repository"),
    ],
)
def test_what_cannot_be_watched_is_refused(words: tuple[str, ...], code: int, error: str, terminal: Terminal) -> None:
    done = terminal.type("watch", "--json", *words)
    assert (done.code, done.error["code"]) == (code, error)


def test_a_cursor_that_is_none_is_refused(terminal: Terminal) -> None:
    (terminal.project / "c").write_text('{"schema": "armarius.signal.v1"}')
    done = terminal.type("watch", "--json", "--all", "--cursor", "c")
    assert (done.code, done.error["code"]) == (3, "cursor")


def test_nothing_is_written_into_the_home_of_codex(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    session.write(started("t1"), completed("t1"))
    before = {path: path.stat().st_mtime_ns for path in terminal.codex_home.rglob("*")}
    watching = watch("--all")
    assert watching.interrupt() == 130
    assert {path: path.stat().st_mtime_ns for path in terminal.codex_home.rglob("*")} == before


def test_a_line_for_people_is_one_line_without_control_characters(terminal: Terminal) -> None:
    session = Session(terminal)
    session.write(started("t1"), completed("t1", "one\ntwo \x1b]0;evil\x07 three"))
    done = terminal.type("watch", THREAD, "--until", "idle")
    assert done.code == 0
    assert done.out.count("\n") == 1
    assert "\x1b" not in done.out
    assert "idle" in done.out


def test_what_nobody_could_read_is_said_by_the_next_watch(terminal: Terminal, watch: Any) -> None:
    session = Session(terminal)
    cursor = terminal.project / "cursor.json"
    terminal.type("watch", "--all", "--cursor", str(cursor), "--timeout", "0.1")
    session.write(*(line for turn in "ab" for line in (started(turn), completed(turn, turn))))
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "armarius", "watch", "--all", "--cursor", str(cursor)]
    subprocess.run(words, env=terminal.environ, stdout=writer, check=False, timeout=60)
    os.close(writer)
    again = watch("--all", "--max-events", 2, "--cursor", cursor)
    assert [signal["text"] for signal in again.rest()[:2]] == ["a", "b"]
