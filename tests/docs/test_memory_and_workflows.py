"""Every command that the pages on memory and workflows show works, in the order of the page; the tables are whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from armarius.mcp_server.tools import TOOLS
from armarius.testing.model_server import ModelServer
from armarius.workflows.template import shipped

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["memory.md", "workflows.md"])
def test_every_command_of_the_page_works(
    page: str, tmp_path: Path, private_home: dict[str, str], codex_wheel: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for words in (("init", "-q"), ("commit", "-qm", "1", "--allow-empty")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=project, check=True)
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(lines) >= 3
    with ModelServer() as server:
        provider = {"name": "s", "base_url": server.base_url, "wire_api": "responses"}
        config = {"model": "gpt-5.5", "model_provider": "s", "model_providers": {"s": provider}}
        Path(private_home["CODEX_HOME"], "config.toml").write_text(tomli_w.dumps(config))
        path = os.pathsep.join([str(Path(sys.executable).parent), str(codex_wheel.parent), private_home["PATH"]])
        for line in lines:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", line],
                cwd=project,
                env=private_home | {"PATH": path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_page_on_the_door_names_every_tool_and_the_one_on_workflows_each_of_them() -> None:
    table = (DOCS / "mcp.md").read_text().partition("## The tools")[2].partition("\nName one")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(TOOLS)
    assert set(re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "workflows.md").read_text(), re.MULTILINE)) == set(shipped())
