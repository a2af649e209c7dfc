"""`armarius doctor mcp`: what a run would really have, on both builds of Codex."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.codex.mcp import mcp_visible
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
