"""Every command that a page shows works, in the order of the page; its tables are whole."""

import re
import subprocess
from pathlib import Path

import pytest

from armarius.mcp_server.tools import TOOLS
from armarius.plans.rules import RULES
from armarius.testing.model_server import ModelServer
from armarius.workflows.template import shipped
from support.pages import Reader, commands_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"plans": 6, "audit": 6, "policy": 6, "proof": 6, "memory": 3, "workflows": 3}
"""How many commands a page shows at least, so that a page whose blocks are not found is noticed."""


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for words in (("init", "-q"), ("commit", "-qm", "1", "--allow-empty")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(
    page: str, project: Path, private_home: dict[str, str], codex_wheel: Path
) -> None:
    lines = commands_of(text_of(page))
    assert len(lines) >= PAGES[page]
    reader = Reader(project, private_home, codex_wheel)
    with ModelServer() as server:
        reader.ask(server)
        for line in lines:
            reader.type(line)


def test_the_page_on_plans_names_every_rule() -> None:
    named = set(re.findall(r"P\d\d", text_of("plans")))
    for first, last in re.findall(r"P(\d\d)\u2013P(\d\d)", text_of("plans")):
        named |= {f"P{number:02}" for number in range(int(first), int(last) + 1)}
    assert named == RULES.keys()


def test_the_page_on_the_door_names_every_tool() -> None:
    table = text_of("mcp").partition("## The tools")[2].partition("\nName one")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(TOOLS)


def test_the_page_on_workflows_names_each_of_them() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text_of("workflows"), re.MULTILINE)) == set(shipped())
