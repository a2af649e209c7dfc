"""The file in the section on batches is one, and its keys are all that there are."""

import re
from pathlib import Path

import pytest

from armarius.batch.file import Item, read_plan

PAGE = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
SECTION = PAGE[PAGE.index("## Batches") :].split("\n## ")[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    [text] = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "client.md").write_text("Move it.")
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def test_the_file_of_the_page_is_read_as_the_page_says(file: Path) -> None:
    plan = read_plan(file).plan
    assert plan.order() == (("survey",), ("client", "bench"), ("follow-up",))
    survey, client, _, _ = plan.items
    assert (survey.sandbox, survey.checkout, client.sandbox, client.checkout) == (
        *("read-only", False),
        *("workspace-write", True),
    )
    assert (client.prompt, plan.workers, plan.budget.tokens) == ("Move it.", 3, 2_000_000)


def test_every_key_of_an_item_is_on_the_page() -> None:
    named = set(re.findall(r"`([a-z_]+)`|^([a-z_]+) = ", SECTION, re.MULTILINE))
    assert set(Item.__struct_fields__) - {name for pair in named for name in pair} == set()
