"""Whether a rule hands out what a judge looks for, whichever check it is."""

from typing import Any

import msgspec
import pytest

from armarius.evolve.echo import echoed
from armarius.evolve.judge import Judge
from armarius.evolve.tasks import Task

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
