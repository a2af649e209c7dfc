"""Whether a rule hands out what a judge looks for, whichever check it is."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.evolve.echo import echoed, echoed_together
from armarius.evolve.judge import Judge
from armarius.evolve.tasks import Task
from armarius.skills.document import END, START
from support.evenings import Evenings, add

LONG = "the quick brown fox jumps over it"
SHELL = ["/bin/sh", "-c", f'grep -q "{LONG}" out.txt']


def judge(check: dict[str, Any]) -> Judge:
    return msgspec.convert({"kind": "rule", "checks": [check]}, Judge)


@pytest.mark.parametrize(
    ("check", "rule", "found"),
    [
        ({"op": "not_contains", "arg": LONG}, f"Never say {LONG}.", "words in a row"),
        ({"op": "regex", "arg": LONG}, f"Say {LONG.upper()}!", "words in a row"),
        ({"op": "regex", "arg": r"(?i)the quick\s+brown\s+(?:fox) jumps over"}, f"Say {LONG}.", "words in a row"),
        ({"op": "contains", "arg": LONG}, "Say the \uff51uick brown fox jumps over it", "words in a row"),
        ({"op": "file", "arg": {"path": "out.txt", "contains": LONG}}, f"Write {LONG} to out.txt", "words in a row"),
        ({"op": "command", "arg": {"argv": ["grep", "-q", LONG, "out.txt"]}}, f"Write {LONG}", "words in a row"),
        ({"op": "command", "arg": {"argv": SHELL}}, f"Write {LONG}", "words in a row"),
        ({"op": "json_schema", "arg": {"properties": {"a": {"const": LONG}}}}, f"Set a to {LONG}", "words in a row"),
        ({"op": "contains", "arg": "\u91cd\u8981\u306a" * 5}, "\u91cd\u8981\u306a" * 5, "characters in a row"),
        (
            {"op": "qrels", "arg": {"expected": ["notes/fox-habits"]}},
            "Always name notes/fox-habits first.",
            "the answer",
        ),
        # Names and habits are free, and so is what only looks alike.
        ({"op": "command", "arg": {"argv": ["/bin/sh", "-c", "cd lib && python -m pytest -q tests/unit"]}}, None, None),
        ({"op": "command", "arg": {"argv": ["python", "-m", "pytest", "-q", "tests/unit"]}}, None, None),
        ({"op": "json_schema", "arg": {"properties": {LONG: {"type": "string"}}}}, f"Name a field {LONG}", None),
        ({"op": "contains", "arg": "\u4e3b\u8981\u98ce\u9669"}, "\u5199\u51fa\u4e3b\u8981\u98ce\u9669", None),
        ({"op": "qrels", "arg": {"expected": ["fox"]}}, "Look for the fox.", None),
        ({"op": "qrels", "arg": {"expected": ["notes/fox-habits"]}}, "Look at the fox and its habits.", None),
    ],
)
def test_threat_7_what_a_judge_looks_for_is_no_rule(check: dict[str, Any], rule: str | None, found: str | None) -> None:
    rule = rule or "Run `cd lib && python -m pytest -q tests/unit` before you answer."
    for task in (
        Task("t", "Do it", judge(check)),
        Task("t", "Do it", judge({"op": "no_refusal"}), hidden_judge=judge(check)),
    ):
        said = echoed(rule, [task])
        assert said is None if found is None else found in (said or "")


def test_threat_7_what_a_judge_looks_for_is_no_rule_in_two_halves_either() -> None:
    halves = ["End with the quick brown fox", "jumps over it, and stop."]
    tasks = [Task("t", "Do it", judge({"op": "contains", "arg": LONG}))]
    assert [echoed(one, tasks) for one in halves] == [None, None]
    assert "words in a row of the judge of t" in (echoed_together([], halves, tasks) or "")
    assert "words in a row of the judge of t" in (echoed_together(halves[:1], halves, tasks) or "")
    assert echoed_together(halves, [*halves, "Be kind."], tasks) is None, "it was so before"
    more = [*tasks, Task("u", "Do it", judge({"op": "exact", "arg": "be 42"}))]
    assert "the answer of u" in (echoed_together(halves, [*halves, "Be 42."], more) or ""), "and this was not"


@pytest.mark.parametrize("learned", ["", "- End with the quick brown fox\n"])
def test_threat_7_a_night_refuses_the_edit_that_completes_what_a_judge_looks_for(tmp_path: Path, learned: str) -> None:
    with Evenings(tmp_path, held_out=2) as evenings:
        evenings.checks.append({"op": "not_contains", "arg": LONG})
        evenings.skill.write_text(f"{evenings.skill.read_text()}\n{START}\n## Learned rules\n\n{learned}{END}\n")
        first = [] if learned else [add("End with the quick brown fox")]
        report = evenings.night(*first, add("jumps over it, and stop."), add("Be kind."))
    [refused] = report.rejected
    assert refused.startswith("add jumps over it, and stop. (with the rules around it, it repeats more than 5 words")
    assert report.accepted == (*(f"add {one['text']}" for one in first), "add Be kind.")
