"""Making a thread of `codex exec` visible, judged by the lists of both real Codex programs."""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from armarius.clock import SystemClock
from armarius.codex.app_server import Server
from armarius.codex.protocol import Method, Wire
from armarius.errors import ArmariusError
from armarius.sessions.folders import Place
from armarius.sessions.names import Named, find_named
from armarius.sessions.visible import Visibility, hide_again, make_visible
from armarius.store.foreign import read_foreign
from armarius.store.queries import Query
from armarius.testing.model_server import ModelServer
from support.codex_world import CodexWorld, wait_for

ROWS = Query("rows", "Every thread.", "SELECT * FROM threads ORDER BY id")


class ThreadList(Wire, frozen=True):
    source_kinds: tuple[str, ...] | None = None
    use_state_db_only: bool = False


class Threads(Wire, frozen=True):
    data: tuple[dict[str, Any], ...]


LIST = Method("thread/list", ThreadList, Threads)
AS_AN_EDITOR = (
    ThreadList(),
    ThreadList(source_kinds=("cli", "vscode")),
    ThreadList(use_state_db_only=True),
)
"""How editors ask: for what a person began, from the files and from the database."""


class Home:
    """A CODEX_HOME with threads of `codex exec` in it."""

    def __init__(self, world: CodexWorld, backups: Path) -> None:
        self.world = world
        self.backups = backups

    def work(self, *options: str) -> str:
        """One run of `codex exec`; its thread."""
        process = self.world.exec([{"sh": "echo hello"}, {"say": "done"}], *options)
        assert process.wait(60) == 0
        return max(path.stem[-36:] for path in (self.world.home / "sessions").rglob("*.jsonl"))

    def listed(self, question: ThreadList) -> list[str]:
        with Server(self.world.codex, environ=self.world.environ, cwd=self.world.project) as server:
            return [thread["id"] for thread in server.call(LIST, question).data]

    def lists(self) -> list[list[str]]:
        """What an editor lists, asked in each way."""
        with Server(self.world.codex, environ=self.world.environ, cwd=self.world.project) as server:
            return [[thread["id"] for thread in server.call(LIST, one).data] for one in AS_AN_EDITOR]

    def named(self, thread_id: str) -> Named:
        return find_named([Place("codex", self.world.home)], thread_id)

    def show(self, thread_id: str) -> Visibility:
        return make_visible(self.named(thread_id), self.backups, SystemClock())

    def hide(self, thread_id: str) -> Visibility:
        return hide_again(self.named(thread_id), self.backups, SystemClock())

    def fingerprint(self, thread_id: str) -> tuple[object, ...]:
        """Everything of a thread that is to be as it was."""
        path = self.named(thread_id).path
        seen = path.stat()
        rows = read_foreign(self.world.home / "state_5.sqlite", ROWS, dict[str, Any])
        assert rows.trouble == ""
        own = [row for row in rows.rows if row["id"] == thread_id]
        return hashlib.sha256(path.read_bytes()).hexdigest(), seen.st_mtime_ns, seen.st_ino, seen.st_size, own

    def locks(self) -> list[Path]:
        return list((self.world.home / "thread-writer-locks").glob("[!.]*.lock"))


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, codex: Path, model: ModelServer) -> Iterator[Home]:
    with CodexWorld(tmp_path, codex, model) as world:
        yield Home(world, tmp_path / "backups")


@pytest.fixture
def one_home(tmp_path: Path, codex_wheel: Path, model: ModelServer) -> Iterator[Home]:
    """The same with one build, for what does not differ between builds."""
    with CodexWorld(tmp_path, codex_wheel, model) as world:
        yield Home(world, tmp_path / "backups")


def code_of(done: Any, *arguments: Any) -> tuple[str, int]:
    with pytest.raises(ArmariusError) as caught:
        done(*arguments)
    return caught.value.code, caught.value.exit_code


def test_an_idle_thread_is_listed_and_taken_back_to_the_byte(home: Home) -> None:
    other, thread = home.work(), home.work()
    before, untouched = home.fingerprint(thread), home.fingerprint(other)
    assert home.lists() == [[], [], []]
    done = home.show(thread)
    assert (done.state, done.changed) == ("visible", True)
    assert home.lists() == [[thread], [thread], [thread]]
    assert home.listed(ThreadList(source_kinds=("exec",))) == [other]
    after = home.fingerprint(thread)
    assert after[0] != before[0]
    assert after[1:4] == before[1:4]
    assert home.show(thread).changed is False
    assert home.hide(thread).changed is True
    assert home.lists() == [[], [], []]
    assert (home.fingerprint(thread), home.fingerprint(other)) == (before, untouched)
    assert code_of(home.hide, thread) == ("not-made-visible", 1)
    assert (list(home.backups.iterdir()), home.locks()) == ([], [])


WRITER_IS_KILLED = """
import os, signal, sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("UPDATE threads SET source = source")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_database_whose_last_user_was_killed_is_told_all_the_same(one_home: Home) -> None:
    thread = one_home.work()
    assert one_home.lists() == [[], [], []]
    database = one_home.world.home / "state_5.sqlite"
    killed = subprocess.run([sys.executable, "-c", WRITER_IS_KILLED, str(database)], check=False)
    assert killed.returncode == -signal.SIGKILL
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    assert read_foreign(database, ROWS, dict[str, Any]).trouble
    one_home.show(thread)
    assert one_home.lists() == [[thread], [thread], [thread]]


def test_a_visible_thread_goes_on_as_before_and_is_still_taken_back(home: Home) -> None:
    thread = home.work()
    path = home.named(thread).path
    before = path.read_bytes()
    home.show(thread)
    again = home.world.start(*("exec", "--json", "--skip-git-repo-check", "resume", thread, 'SCRIPT:[{"say":"again"}]'))
    assert again.wait(60) == 0
    grown = path.read_bytes()
    home.hide(thread)
    assert path.read_bytes()[: len(before)] == before
    assert path.read_bytes()[len(before) :] == grown[len(before) :]
    assert home.lists() == [[], [], []]


def test_a_thread_that_somebody_has_open_is_left_alone(one_home: Home, tmp_path: Path) -> None:
    thread = one_home.work()
    bell = tmp_path / "bell"
    os.mkfifo(bell)
    end = os.open(bell, os.O_RDWR)
    script = json.dumps([{"wait": str(bell)}, {"say": "done"}])
    one_home.world.start("exec", "--json", "--skip-git-repo-check", "resume", thread, f"SCRIPT:{script}")
    wait_until_held(one_home, thread)
    assert code_of(one_home.show, thread) == ("thread-live", 5)
    assert b'"source":"exec"' in one_home.named(thread).path.read_bytes().split(b"\n")[0]
    assert not one_home.backups.exists()
    os.write(end, b"go")
    os.close(end)


def wait_until_held(home: Home, thread: str) -> None:
    wait_for(lambda: (lock := home.world.look().locks.get(thread)) is not None and lock.is_held, "writer")


def test_what_no_run_of_codex_exec_began_is_refused(one_home: Home) -> None:
    thread = one_home.work()
    path = one_home.named(thread).path
    first, rest = path.read_bytes().split(b"\n", 1)
    for source in ('"vscode"', '{"subagent":"review"}', "7"):
        path.write_bytes(first.replace(b'"source":"exec"', f'"source":{source}'.encode()) + b"\n" + rest)
        assert code_of(one_home.show, thread) == ("source-other", 5)
    for broken in (b"", b"{", b'{"payload":[]}', b"\xff\xfe"):
        path.write_bytes(broken + b"\n" + rest)
        assert code_of(one_home.show, thread)[0] == "not-a-session"
    assert not one_home.backups.exists()


def test_only_the_word_that_says_how_it_began_is_changed(one_home: Home) -> None:
    thread = one_home.work()
    path = one_home.named(thread).path
    first, rest = path.read_bytes().split(b"\n", 1)
    decoy = first.replace(b'"payload":{', b'"payload":{"git":{"source":"exec"},"note":"\\"source\\":\\"exec\\"",', 1)
    path.write_bytes(decoy + b"\n" + rest)
    one_home.show(thread)
    payload = json.loads(path.read_bytes().split(b"\n", 1)[0])["payload"]
    assert (payload["source"], payload["git"]) == ("cli", {"source": "exec"})
    one_home.hide(thread)
    assert path.read_bytes() == decoy + b"\n" + rest


def test_a_file_that_was_exchanged_is_not_written_into(one_home: Home) -> None:
    thread = one_home.work()
    path = one_home.named(thread).path
    one_home.show(thread)
    changed = path.read_bytes().replace(b'"ordinal":0', b'"ordinal":1', 1)
    path.write_bytes(changed.replace(b'"cli" ', b'"tui" '))
    kept = path.read_bytes()
    assert code_of(one_home.hide, thread) == ("session-changed", 3)
    assert path.read_bytes() == kept


KILLED = """
import os, signal, sys
from pathlib import Path
from armarius.clock import SystemClock
from armarius.sessions import visible
from armarius.sessions.folders import Place
from armarius.sessions.names import find_named
home, thread, backups, verb, moment = sys.argv[1:]
calls = 0
def watch(event, arguments):
    global calls
    writes = event == "open" and arguments[2] & 3 and str(arguments[0]).startswith((home, backups))
    if writes or event in ("os.rename", "os.remove", "os.utime"):
        calls += 1
        if calls == int(moment):
            os.kill(os.getpid(), signal.SIGKILL)
named = find_named([Place("codex", Path(home))], thread)
sys.addaudithook(watch)
getattr(visible, verb)(named, Path(backups), SystemClock())
"""


def test_a_kill_at_any_moment_loses_nothing_and_can_be_finished_or_undone(one_home: Home) -> None:
    thread = one_home.work()
    before = one_home.fingerprint(thread)
    killed = {"make_visible": 0, "hide_again": 0}
    for verb in killed:
        for moment in itertools.count(1):
            if verb == "hide_again":
                one_home.show(thread)
            words = (str(one_home.world.home), thread, str(one_home.backups), verb, str(moment))
            done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, capture_output=True)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            killed[verb] += 1
            if moment % 2:
                assert one_home.show(thread).state == "visible"
            if (one_home.backups / f"{thread}.json").exists():
                one_home.hide(thread)
            assert one_home.fingerprint(thread) == before
        if (one_home.backups / f"{thread}.json").exists():
            one_home.hide(thread)
    assert min(killed.values()) >= 4, killed


@pytest.mark.parametrize("cut", [1, 8, 13])
def test_a_write_that_was_torn_is_recognised_and_mended(one_home: Home, cut: int) -> None:
    thread = one_home.work()
    path = one_home.named(thread).path
    before = path.read_bytes()
    one_home.show(thread)
    after = path.read_bytes()
    at = before.index(b'"source":"exec"')
    torn = after[: at + cut] + before[at + cut :]
    path.write_bytes(torn)
    one_home.hide(thread)
    assert path.read_bytes() == before
