"""`policy` and `doctor config`, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from support.terminal import Terminal

Check = Callable[[Any], None]


def test_rules_are_written_checked_tried_and_explained(terminal: Terminal, codex_wheel: Path, check: Check) -> None:
    terminal.environ["ARMARIUS_CODEX"] = str(codex_wheel)
    nothing = terminal.type("policy", "check", "--json")
    assert (nothing.code, nothing.error["code"]) == (3, "rules-none")
    written = terminal.type("policy", "init", "--json")
    check(written.answer)
    file = terminal.codex_home / "rules" / "armarius.rules"
    assert (written.code, written.answer["file"]) == (0, str(file))
    checked = terminal.type("policy", "check", "--for-worker", "--strict", "--json")
    check(checked.answer)
    assert (checked.code, checked.answer["findings"]) == (0, [])
    tried = terminal.type("policy", "test", "--json")
    check(tried.answer)
    assert tried.code == 0
    explained = terminal.type("policy", "explain", "--json", "--", "codex", "login", "--with-api-key")
    check(explained.answer)
    assert explained.answer["decision"] == "forbidden"
    broad = terminal.project / "broad.rules"
    broad.write_text('prefix_rule(pattern=["bash"], decision="allow")\n')
    said = terminal.type("policy", "check", "broad.rules")
    assert (said.code, "broad" in said.out, "outside of the sandbox" in said.out) == (1, True, True)
    file.write_text("# mine\n")
    assert terminal.type("policy", "init").code == 5


@pytest.mark.parametrize("is_trusted", [True, False])
def test_each_key_comes_with_the_file_that_codex_takes_it_from(
    terminal: Terminal, codex_wheel: Path, check: Check, *, is_trusted: bool
) -> None:
    terminal.environ["ARMARIUS_CODEX"] = str(codex_wheel)
    own = terminal.codex_home / "config.toml"
    level = {"trust_level": "trusted" if is_trusted else "untrusted"}
    config: dict[str, Any] = {"model": "own", "model_reasoning_effort": "low", "features": {"hooks": False}}
    config |= {"projects": {str(terminal.project): level}}
    config |= {"mcp_servers": {"x": {"command": "true", "env": {"WORD": "swordfish"}}}}
    own.write_text(tomli_w.dumps(config))
    (terminal.project / ".codex").mkdir()
    (terminal.project / ".codex" / "config.toml").write_text('model_reasoning_effort = "high"\n')
    done = terminal.type("doctor", "config", "--json")
    assert (done.code, done.err) == (0, "")
    check(done.answer)
    found = {one["key"]: one for one in done.answer["settings"]}
    assert (found["model"]["value"], found["model"]["where"]) == ('"own"', str(own))
    effort = found["model_reasoning_effort"]
    if is_trusted:
        assert (effort["value"], effort["origin"], effort["under"]) == ('"high"', "project", [str(own)])
    else:
        assert (effort["value"], effort["origin"], effort["under"]) == ('"low"', "user", [])
    assert "swordfish" not in json.dumps(done.answer)
    assert {one["name"]: one["is_on"] for one in done.answer["features"]}["hooks"] is False
    shown = terminal.type("doctor", "config")
    assert (shown.code, "swordfish" in shown.out, "* model_reasoning_effort" in shown.out) == (0, False, True)
