"""Every command that the README shows works, in the order in which it shows them."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from support.pages import Reader

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(console|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    found = list[str]()
    for kind, text in BLOCK.findall(README):
        lines = text.splitlines()
        found += [line.removeprefix("$ ") for line in lines if kind == "sh" or line.startswith("$ ")]
    table = re.findall(r"\| `(python [^`]+)` \|", README)
    return found + table


def test_the_readme_is_short_and_shows_a_whole_example_early() -> None:
    assert len(README.split()) <= 600
    first = "\n".join(README.splitlines()[:30])
    for step in ("tasks.json", "sleep run --backend codex", "sleep adopt", "sleep rollback"):
        assert step in first


def test_every_command_in_the_readme_works(tmp_path: Path, private_home: dict[str, str]) -> None:
    project = tmp_path / "project"
    skill = project / ".agents" / "skills" / "writer"
    skill.mkdir(parents=True)
    seed = benchmarks.load("seed-missing-structure")
    (skill / "SKILL.md").write_bytes(seed.skill)
    rows = [msgspec.to_builtins(task) for task in seed.training]
    tasks = {"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows}
    (project / "tasks.json").write_text(json.dumps(tasks))
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    (project / "answer.schema.json").write_text(json.dumps(schema))
    reader = Reader(project, private_home)
    with ModelServer() as server:
        reader.ask(server)
        ran = list[str]()
        for line in commands():
            if line.startswith(("make ", "python ")):
                continue  # in a test of their own
            reader.type(line)
            ran.append(line)
    assert len(ran) >= 11
    assert (skill / "SKILL.md").read_bytes() == seed.skill, "adopted, then rolled back"
    assert "title" in json.loads((project / "run.json").read_text())["parsed"]


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith(("make ", "python "))])
def test_every_measurement_in_the_readme_can_be_made(line: str, private_home: dict[str, str]) -> None:
    reader = Reader(ROOT, private_home)
    if line.startswith("python benchmarks/"):
        line += " --trials 20" if "gatebench" in line else " --runs 1"
    if line.startswith("make "):
        make = reader.type(line.replace("make ", "make --dry-run "))
        line = make.splitlines()[-1]  # what make would run at last: the demo itself
        assert "armarius demo --all" in line
        return  # it takes a minute: tests/long/whole_demo.py
    reader.type(line, allowed=(0, 1))  # a goal may be missed on a busy machine
