"""`armarius doctor mcp`: what a run would really have, on both builds of Codex."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.codex.mcp import mcp_visible
from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

PROGRAM = Path(__file__).parents[1] / "support" / "mcp_program.py"


def server(name: str, *words: str, command: str = sys.executable) -> str:
    arguments = [str(PROGRAM), *words]
    return f'[mcp_servers.{name}]\ncommand = "{command}"\nargs = {arguments}\nstartup_timeout_sec = 2\n'


@pytest.fixture
def desk(terminal: Terminal, codex: Path) -> Terminal:
    terminal.environ |= {"ARMARIUS_CODEX": str(codex)}
    off = server("off") + "enabled = false\n"
    broken = server("broken", command="/no/such/program")
    (terminal.codex_home / "config.toml").write_text(server("good") + broken + off + server("rude", "rude"))
    (terminal.codex_home / "with.config.toml").write_text(server("extra") + "[mcp_servers.off]\nenabled = true\n")
    return terminal


def test_only_a_server_that_answered_codex_is_visible(desk: Terminal, check: Callable[[Any], None]) -> None:
    done = desk.type("doctor", "mcp", "--json")
    assert done.code == 4, done.err
    check(done.answer)
    seen = {one["name"]: (one["is_visible"], tuple(one["tools"])) for one in done.answer["servers"]}
    assert seen == {"good": (True, ("lookup",)), "broken": (False, ()), "off": (False, ()), "rude": (False, ())}
    assert all(one["trouble"] for one in done.answer["servers"] if not one["is_visible"])
    one = desk.type("doctor", "mcp", "good")
    assert (one.code, one.out.splitlines()[1].split()) == (0, ["good", "visible", "lookup"])
    assert desk.type("doctor", "mcp", "god").code == 4


def test_a_profile_may_bring_one_along(desk: Terminal) -> None:
    done = desk.type("doctor", "mcp", "extra", "good", "off", "--profile", "with", "--json")
    assert done.code == 0, done.out + done.err
    assert all(one["is_visible"] for one in done.answer["servers"])
    assert desk.type("doctor", "mcp", "--profile", "gone").code == 3
    (desk.codex_home / "wide.config.toml").write_text('sandbox_mode = "workspace-write"\n')
    assert desk.type("doctor", "mcp", "--profile", "wide").code == 5


def test_what_needs_one_can_ask_for_it_by_name(desk: Terminal, codex: Path) -> None:
    environ = {"HOME": str(desk.home), "PATH": "/usr/bin:/bin"}
    found = [mcp_visible(codex, desk.codex_home, environ, desk.project, name) for name in ("good", "broken", "none")]
    assert [one.is_visible for one in found] == [True, False, False]
    assert "there is: broken, good, off, rude" in (found[2].trouble or "")


def test_a_run_that_needs_a_server_begins_only_when_codex_has_it(terminal: Terminal) -> None:
    with ModelServer() as model:
        servers = {
            "good": {"command": sys.executable, "args": [str(PROGRAM)]},
            "broken": {"command": "/no/such/program", "startup_timeout_sec": 2},
        }
        terminal.configure(model.base_url, mcp_servers=servers)
        for missing in ("broken", "none"):
            # The lease that was got first is given back.
            done = terminal.type(
                "run", "--needs", "mcp:good", "--needs", f"mcp:{missing}", "--needs", "port:9", "Hello"
            )
            assert (done.code, done.out, model.requests) == (4, "", 0), done.err
            assert missing in done.err
            assert "armarius doctor mcp" in done.err
        assert all(one["holders"] == [] for one in terminal.type("resources", "list", "--json").answer["resources"])
        handed_in = terminal.type("run", "--detach", "--needs", "mcp:none", "--json", "Hello")
        assert handed_in.code == 0, handed_in.err
        [run] = handed_in.answer["runs"]
        assert terminal.type("runs", "wait", run["id"]).code == 1
        assert "mcp-missing" in terminal.type("runs", "show", run["id"], "--json").out
        assert model.requests == 0
        done = terminal.type("run", "--needs", "mcp:good", "--json", "Hello")
        assert (done.code, model.requests) == (0, 1), done.err
    assert terminal.type("resources", "lease", "mcp:good", "--", "true").code == 2
