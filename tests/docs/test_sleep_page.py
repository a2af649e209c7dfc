"""What the page on sleep says of task files and plans is so."""

import re
from pathlib import Path

from armarius.evolve.judge import OPERATORS
from armarius.evolve.tasks import parse_tasks
from armarius.gate.power import plan_for

PAGE = (Path(__file__).parents[2] / "docs" / "sleep.md").read_text(encoding="utf-8")


def test_the_task_file_of_the_page_is_one() -> None:
    [text] = re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)
    file = parse_tasks(text.encode())
    assert (file.reviewed, [task.task_id for task in file.tasks]) == (True, ["brief-1"])


def test_every_check_has_a_row() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} == set(OPERATORS)


def test_the_chances_of_ten_tasks_are_those_of_the_gate() -> None:
    plan = plan_for(10)
    found = {chance.gain: f"{chance.in_the_end:.2f}"[1:] for chance in (plan.useless, *plan.chances)}
    assert f"adopted with probability {found[0.0]} within" in PAGE
    assert f"+20\npoints with {found[0.2]}, one worth +40 points with {found[0.4]}" in PAGE
