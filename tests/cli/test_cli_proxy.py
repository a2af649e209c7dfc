"""`armarius proxy`, as somebody types it."""

import json
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.recorder.pull import synced_skills
from armarius.skills.hub import FolderSource
from armarius.testing.model_server import ModelServer
from support.recorder_world import Client
from support.terminal import ARMARIUS, Terminal

FEW_FILES = ("/bin/sh", "-c", 'ulimit -Sn 256 && exec "$@"', "sh")
"""As a desktop starts programs."""


def test_from_nothing_to_a_recorded_session_and_back(terminal: Terminal, check: Callable[[Any], None]) -> None:
    terminal.codex_home.mkdir(parents=True, exist_ok=True)
    before = sorted(terminal.codex_home.iterdir())
    assert "install" in terminal.type("proxy", "status").out
    assert terminal.type("proxy", "doctor").code == 4
    with ModelServer() as model:
        serving = subprocess.Popen(
            [
                *FEW_FILES,
                *ARMARIUS,
                "proxy",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                model.base_url,
                "--json",
            ],
            env=terminal.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert serving.stdout
        try:
            state = json.loads(serving.stdout.readline())
            check(state)
            soft, hard = resource.prlimit(serving.pid, resource.RLIMIT_NOFILE)
            assert soft >= min(2048, hard), "two connections for each of a thousand streams"
            listen = state["listen"].removeprefix("http://").removesuffix("/v1")
            done = terminal.type("proxy", "install", "--listen", listen, "--json")
            check(done.answer)
            assert done.answer["changed"]
            token = (terminal.state / "recorder" / "token").read_text()
            asked = {"model": "m", "input": [{"type": "message", "role": "user", "content": "SCRIPT:[]"}]}
            with Client(int(listen.rpartition(":")[2])) as client:
                client.ask(asked, x_armarius_token=token, session_id="s1", authorization="Bearer sk-none").answer()
            status = terminal.type("proxy", "status", "--json")
            check(status.answer)
            assert (status.answer["state"]["requests"], status.answer["state"]["recorded"]) == (1, 1)
            diagnosis = terminal.type("proxy", "doctor", "--json")
            check(diagnosis.answer)
            assert (diagnosis.code, diagnosis.answer["failed"]) == (0, False)
            assert {finding["verdict"] for finding in diagnosis.answer["findings"]} <= {"ok", "warn"}
        finally:
            serving.send_signal(signal.SIGTERM)
            _, err = serving.communicate(timeout=30)
        assert (serving.returncode, err) == (0, "")
    recorded = terminal.type("proxy", "sessions", "--json")
    check(recorded.answer)
    [session] = recorded.answer["sessions"]
    assert (session["session"], session["turns"][0]["said"], session["ends"]) == ("s1", ["SCRIPT:[]"], {"completed": 1})
    assert "SCRIPT:[]" in terminal.type("proxy", "sessions").out
    check(terminal.type("proxy", "uninstall", "--json").answer)
    assert sorted(terminal.codex_home.iterdir()) == before


def tree(folder: Path) -> dict[str, str | bytes]:
    """Everything below a folder: where links lead, what files say."""
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def skill(folder: Path, name: str) -> Path:
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\ndescription: about {name}\n---\n# It\n")
    return folder


@pytest.mark.parametrize("own", [(), ("mine",)])
def test_uninstall_takes_out_the_skills_that_were_pulled_and_nothing_else(
    terminal: Terminal, tmp_path: Path, own: tuple[str, ...]
) -> None:
    home, recorder, team = terminal.codex_home, terminal.state / "recorder", tmp_path / "team"
    home.mkdir(parents=True, exist_ok=True)
    for name in own:
        skill(home / "skills", name)
        (home / "skills" / "elsewhere").symlink_to(skill(tmp_path, "elsewhere"))
    before = tree(home)
    for name in ("pdf", "review"):
        skill(team, name)
    managed = synced_skills(home, recorder)
    managed.sync(FolderSource(team))
    assert managed.names() == ["pdf", "review"]
    dry = terminal.type("proxy", "uninstall", "--dry-run", "--json").answer
    assert (dry["changed"], dry["skills"], managed.names()) == (True, ["pdf", "review"], ["pdf", "review"])
    told = terminal.type("proxy", "uninstall").out
    assert "pdf, review" in told
    assert str(home) in told
    assert tree(home) == before
    assert (home / "skills").exists() == bool(own)
    assert "nothing changed" in terminal.type("proxy", "uninstall").out


def test_uninstall_leaves_a_skill_of_the_team_that_was_edited_here_and_says_so(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.codex_home.mkdir(parents=True, exist_ok=True)
    managed = synced_skills(terminal.codex_home, terminal.state / "recorder")
    skill(tmp_path / "team", "pdf")
    managed.sync(FolderSource(tmp_path / "team"))
    managed.path("pdf").write_text("edited\n")
    assert "pdf was edited here; it stays" in terminal.type("proxy", "uninstall").out
    assert managed.path("pdf").read_text() == "edited\n"


def test_what_stands_between_codex_and_the_recorder_is_said_with_the_way_out(terminal: Terminal) -> None:
    terminal.codex_home.mkdir(parents=True, exist_ok=True)
    through = {"HTTP_PROXY": "http://me:secret@proxy.example:3128"}
    done = terminal.type("proxy", "install", "--listen", "127.0.0.1:9", environ=through)
    assert (done.code, "NO_PROXY" in done.err, "secret" in done.out + done.err) == (0, True, False)
    assert "armarius proxy serve --listen 127.0.0.1:9`" in done.out
    assert "armarius proxy serve --listen 127.0.0.1:9`" in terminal.type("proxy", "status").out
    (terminal.codex_home / "config.toml").write_text('profile = "armarius"\n')
    answer = terminal.type("proxy", "doctor", "--json", environ=through).answer
    failed = {finding["check"]: finding["hint"] for finding in answer["findings"] if finding["verdict"] == "fail"}
    assert failed["way"] == "put 127.0.0.1 into NO_PROXY where codex is started"
    assert failed["recorder"] == "run `armarius proxy serve --listen 127.0.0.1:9`"
    assert failed["leftovers"] == "run `armarius proxy install`"
    assert (
        terminal.type(
            "proxy", "install", "--listen", "127.0.0.1:9", environ=through | {"NO_PROXY": "::1,127.0.0.1"}
        ).err
        == ""
    )
    assert (terminal.codex_home / "config.toml").read_text() == ""


def test_an_address_that_others_could_reach_is_refused_by_policy(terminal: Terminal) -> None:
    done = terminal.type("proxy", "serve", "--listen", "0.0.0.0:8377", "--json")
    assert (done.code, done.error["code"]) == (5, "listen-beyond")
    done = terminal.type("proxy", "serve", "--upstream", "http://example.org/v1", "--json")
    assert (done.code, done.error["code"]) == (5, "upstream-plain")


def test_what_a_session_says_of_itself_reaches_no_terminal_raw(terminal: Terminal) -> None:
    """Threat 26: words of a user or an agent with escapes in them."""
    journal = terminal.state / "recorder" / "journal"
    journal.mkdir(parents=True)
    item = {"type": "message", "role": "user", "content": "\x1b]52;c;x\x07\u202eevil\r"}
    line = {
        "id": "e",
        "at_us": 1,
        "identity": {"session": "s"},
        "path": "/responses",
        "status": 200,
        "end": "completed",
    }
    (journal / "journal_1.jsonl").write_text(json.dumps(line | {"input": [item]}) + "\nbroken\x1b[2J\n")
    for words in (("proxy", "sessions"), ("proxy", "sessions", "--json")):
        done = terminal.type(*words)
        assert done.code == 0
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(done.out + done.err)
    assert "journal_1.jsonl:2" in terminal.type("proxy", "sessions").err
