"""`armarius exec`: somebody's own codex command line in a lane."""

import json
import os
import pty
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.store.ledger import events_after, open_ledger
from armarius.testing.model_server import ModelServer
from support.auth_server import write_login
from support.terminal import ARMARIUS, Done, Terminal

EXEC = ("codex", "exec", "--json", "--skip-git-repo-check")
LATER = 4_102_444_800


class Lane:
    """A lane with a key, whose provider is the scripted model, and one with a plan. Their state has a short path."""

    def __init__(self, terminal: Terminal, state: Path, codex: Path, server: ModelServer) -> None:
        self.terminal = terminal
        self.state = state
        self.server = server
        terminal.environ |= {"ARMARIUS_HOME": str(state), "ARMARIUS_CODEX": str(codex)}
        self.type("lanes", "add", "keys", "--kind", "api", "--tokens-per-day", "1000000")
        self.type("lanes", "add", "plan")
        home = state / "lanes" / "keys"
        with (home / "config.toml").open("a") as file:
            file.write(f'model = "gpt-5.5"\nopenai_base_url = "{server.base_url}"\n[analytics]\nenabled = false\n')
        (home / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test-keys"}))
        (home / "auth.json").chmod(0o600)
        write_login(state / "lanes" / "plan", LATER)

    def type(self, *words: str, **environ: str) -> Done:
        return self.terminal.type(*words, environ=environ)

    def events(self) -> list[str]:
        ledger = open_ledger(self.state / "ledger.sqlite", SystemClock())
        found = events_after(ledger, 0, 100)
        ledger.close()
        return [event.kind for event in found]


@contextmanager
def lane_on(terminal: Terminal, codex: Path) -> Generator[Lane]:
    folder = Path(tempfile.mkdtemp(prefix="al"))
    with ModelServer() as server:
        yield Lane(terminal, folder / "h", codex, server)
    shutil.rmtree(folder)


@pytest.fixture
def lane(terminal: Terminal, codex_newest: Path) -> Iterator[Lane]:
    with lane_on(terminal, codex_newest) as lane:
        yield lane


@pytest.fixture
def each_lane(terminal: Terminal, codex: Path) -> Iterator[Lane]:
    with lane_on(terminal, codex) as lane:
        yield lane


def test_the_command_is_codex_s_own_and_so_is_its_exit_code(each_lane: Lane) -> None:
    lane = each_lane
    good = lane.type("exec", "--lane", "keys", "--", *EXEC, 'SCRIPT:[{"say":"as it is"}]')
    assert good.code == 0
    said = [json.loads(line) for line in good.out.splitlines()]
    assert said[-1]["type"] == "turn.completed"
    assert lane.type("exec", "--lane", "keys", "--", *EXEC, 'SCRIPT:[{"fault":"400"}]').code == 1
    assert lane.type("exec", "--lane", "keys", "--", "codex", "exec", "--no-such-flag").code == 2
    assert lane.events() == ["exec_started", "exec_ended"] * 3
    assert lane.type("runs", "list", "--json").answer["runs"] == []
    assert list((lane.state / "lanes" / "keys" / "sessions").rglob("*.jsonl"))


REFUSED = (
    (("codex", "login", "--with-api-key"), "exec-login"),
    (("codex", "exec", "--oss", "hi"), "exec-provider"),
    (("codex", "exec", "-c", "model_provider=evil", "hi"), "override-config"),
    (("codex", "-c", 'model_providers.x.base_url="http://e.example.org"', "exec", "hi"), "override-config"),
    (("codex", "exec", "--sandbox=danger-full-access", "hi"), "sandbox-danger"),
)


def test_what_would_change_who_pays_is_refused_before_anything_is_started(lane: Lane) -> None:
    for words, code in REFUSED:
        done = lane.type("exec", "--lane", "plan", "--", *words, "--json")
        assert (done.code, done.error["code"]) == (5, code), words
    ambient = lane.type("exec", "--lane", "plan", "--", "codex", "--version", CODEX_API_KEY="sk-ambient")
    assert (ambient.code, "CODEX_API_KEY is set beside a ChatGPT login" in ambient.err) == (5, True)
    (lane.state / "lanes" / "plan" / "evil.config.toml").write_text('model_provider = "evil"\n')
    assert lane.type("exec", "--lane", "plan", "--", "codex", "-p", "evil", "exec", "hi").code == 5
    assert lane.type("exec", "--", "ls").code == 2
    assert lane.type("exec").code == 2
    assert lane.server.requests == 0


def test_no_key_of_the_caller_reaches_codex(lane: Lane) -> None:
    words = ("codex", "sandbox", "--", "/usr/bin/env")
    shown = lane.type("exec", "--lane", "keys", "--", *words, OPENAI_API_KEY="sk-ambient", SOME_TOKEN="t", LANG="C")
    assert "sk-ambient" not in shown.out + shown.err
    assert "SOME_TOKEN" not in shown.out


def test_the_terminal_is_codex_s_and_signals_are_handed_on(lane: Lane) -> None:
    pid, end = pty.fork()
    if pid == 0:
        os.chdir(lane.terminal.project)
        words = (
            "exec",
            "--lane",
            "keys",
            "--",
            "codex",
            "sandbox",
            "--",
            "/bin/sh",
            "-c",
            "test -t 1 && echo terminal",
        )
        os.execve(ARMARIUS[0], [*ARMARIUS, *words], lane.terminal.environ)
    said = b""
    try:
        while piece := os.read(end, 4096):
            said += piece
    except OSError:  # how a terminal says that nobody is left at its other end
        pass
    _, status = os.waitpid(pid, 0)
    os.close(end)
    assert (os.waitstatus_to_exitcode(status), b"terminal" in said) == (0, True), said


def test_a_signal_is_handed_on_and_is_the_exit_code(lane: Lane) -> None:
    words = ("exec", "--lane", "keys", "--", *EXEC, 'SCRIPT:[{"wait":60},{"say":"late"}]')
    process = lane.terminal.start(*words)
    while lane.server.requests < 1:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert lane.events() == ["exec_started", "exec_ended"]
