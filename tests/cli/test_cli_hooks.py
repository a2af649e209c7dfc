"""`armarius install hooks` and `armarius uninstall hooks`, as somebody types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal


@pytest.fixture
def machine(terminal: Terminal, model: ModelServer, codex_wheel: Path) -> Terminal:
    assert model.base_url
    terminal.environ["ARMARIUS_CODEX"] = str(codex_wheel)
    (terminal.codex_home / "hooks.json").write_text('{"hooks": {"Stop": []}}')
    return terminal


def both(machine: Terminal) -> list[bytes]:
    return [(machine.codex_home / name).read_bytes() for name in ("hooks.json", "config.toml")]


def test_a_person_sees_what_is_done_and_how_it_is_undone(machine: Terminal) -> None:
    before = both(machine)
    dry = machine.type("install", "hooks", "--dry-run")
    assert "Nothing was changed" in dry.out
    assert both(machine) == before
    done = machine.type("install", "hooks")
    assert (done.code, done.err) == (0, "")
    assert '+{"hooks": {"Stop": [{"hooks"' in done.out
    assert f"{machine.codex_home}/hooks.json:stop:0:0  sha256:" in done.out
    assert str(machine.state / "hooks" / "events.jsonl") in done.out
    assert "nothing changed" in machine.type("install", "hooks").out
    gone = machine.type("uninstall", "hooks")
    assert (gone.code, both(machine)) == (0, before)
    assert '-{"hooks": {"Stop": [{"hooks"' in gone.out
    assert "nothing changed" in machine.type("uninstall", "hooks").out


def test_a_program_gets_one_object(machine: Terminal, check: Callable[[Any], None]) -> None:
    home = f"--codex-home={machine.codex_home}"
    installed = machine.type("install", "hooks", "--json", home).answer
    check(installed)
    removed = machine.type("uninstall", "hooks", "--json", home).answer
    check(removed)
    assert (installed["action"], installed["changed"], len(installed["trust"])) == ("install", True, 8)
    assert (removed["action"], removed["changed"], removed["trust"]) == ("uninstall", True, installed["trust"])


def test_what_is_not_ours_to_edit_is_refused(machine: Terminal) -> None:
    (machine.codex_home / "hooks.json").write_text("\x1b[31mnot json")
    for action in ("install", "uninstall"):
        done = machine.type(action, "hooks", "--json")
        assert (done.code, done.error["code"]) == (5, "hooks-file")
        assert done.error["hint"]
        assert "\x1b" not in machine.type(action, "hooks").err


def test_a_home_that_is_not_there_is_said_to_be_missing(machine: Terminal, tmp_path: Path) -> None:
    done = machine.type("install", "hooks", "--json", environ={"CODEX_HOME": str(tmp_path / "none")})
    assert (done.code, done.error["code"]) == (4, "codex-home")
    assert machine.type("uninstall", "hooks", "--codex-home", str(tmp_path / "none")).code == 2
    assert json.loads((machine.codex_home / "hooks.json").read_text()) == {"hooks": {"Stop": []}}
