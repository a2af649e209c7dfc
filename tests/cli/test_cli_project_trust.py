"""A cloned repository brings programs along for Codex to start; a run starts none, on both builds and both drivers."""

from pathlib import Path

import pytest
import tomli_w

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

SAY = 'SCRIPT:[{"say": "done"}]'


@pytest.mark.parametrize("flags", [(), ("--approval", "on-request")])
def test_a_run_that_writes_trusts_no_project_and_starts_nothing_of_it(
    terminal: Terminal, codex: Path, flags: tuple[str, ...]
) -> None:
    terminal.environ |= {"ARMARIUS_CODEX": str(codex)}
    began = terminal.home / "began"
    server = {"command": "/bin/sh", "args": ["-c", f"touch {began}"], "startup_timeout_sec": 1}
    (terminal.project / ".codex").mkdir()
    (terminal.project / ".codex" / "config.toml").write_text(tomli_w.dumps({"mcp_servers": {"x": server}}))
    config = terminal.codex_home / "config.toml"
    with ModelServer() as model:
        terminal.serve(model)
        before = config.read_bytes()
        for _ in range(2):
            done = terminal.type("run", "--sandbox", "workspace-write", *flags, SAY)
            assert (done.code, done.out) == (0, "done\n"), done.err
        assert (config.read_bytes(), began.exists()) == (before, False)
        # What the owner has said holds, and shows what would have happened.
        terminal.configure(model.base_url, projects={str(terminal.project): {"trust_level": "trusted"}})
        assert terminal.type("run", "--sandbox", "workspace-write", *flags, SAY).code == 0
        assert began.exists()
