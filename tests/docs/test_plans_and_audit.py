"""Every command that the pages on plans and on the record of streams show works, in the order of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from armarius.plans.rules import RULES
from armarius.testing.model_server import ModelServer

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", ["plans.md", "audit.md", "policy.md", "proof.md"])
def test_every_command_of_the_page_works(
    page: str, tmp_path: Path, private_home: dict[str, str], codex_wheel: Path
) -> None:
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "HEAD").touch()
    lines = commands(page)
    assert len(lines) >= 6
    with ModelServer() as server:
        provider = {"name": "s", "base_url": server.base_url, "wire_api": "responses"}
        config = {"model": "gpt-5.5", "model_provider": "s", "model_providers": {"s": provider}}
        Path(private_home["CODEX_HOME"], "config.toml").write_text(tomli_w.dumps(config))
        path = os.pathsep.join([str(Path(sys.executable).parent), str(codex_wheel.parent), private_home["PATH"]])
        for line in lines:
            shown = line.replace("codex exec", "codex exec --skip-git-repo-check")
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", shown],
                cwd=project,
                env=private_home | {"PATH": path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_page_on_plans_names_every_rule() -> None:
    text = (DOCS / "plans.md").read_text(encoding="utf-8")
    named = set(re.findall(r"P\d\d", text))
    for first, last in re.findall(r"P(\d\d)\u2013P(\d\d)", text):
        named |= {f"P{number:02}" for number in range(int(first), int(last) + 1)}
    assert named == RULES.keys()
