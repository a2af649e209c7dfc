import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.testing.pattern import compiled, example_of
from armarius.testing.reflector import is_reflection, reflect


def prompt(*failed: dict[str, Any], skill: str = "# Skill\n", budget: int = 4) -> str:
    brief = {
        "skill": skill,
        "edit_budget": budget,
        "failures": [{"task": "t", "answer": "a", "failed": [check]} for check in failed],
        "preferences": "",
    }
    return f"Think.\nARMARIUS REFLECTION v1\n\n```json\n{json.dumps(brief)}\n```\n\nAnswer in JSON."


def rules(text: str) -> list[str]:
    edits = json.loads(reflect(text))["edits"]
    assert all(set(edit) == {"op", "anchor", "text", "why", "tasks"} for edit in edits)
    assert all((edit["op"], edit["anchor"]) == ("add", None) for edit in edits)
    return [edit["text"] for edit in edits]


PLAN = 'Give each answer a section with the heading "Plan".'


@pytest.mark.parametrize(
    ("check", "rule"),
    [
        (
            {"op": "section_present", "arg": "Key Risks"},
            'Give each answer a section with the heading "Key Risks".',
        ),
        (
            {"op": "regex", "arg": r"[Cc]onfidence\s*[:=]"},
            'Close each answer with a line that starts with "Confidence:", then your own estimate.',
        ),
        ({"op": "regex", "arg": r"^## Plan$"}, 'Close each answer with a line that reads "## Plan".'),
        ({"op": "regex", "arg": r"\AIn short"}, 'Begin the answer with "In short".'),
        ({"op": "regex", "arg": r"\AOnly this\Z"}, ""),
        ({"op": "regex", "arg": r"over and out\Z"}, 'Finish the answer with "over and out".'),
        ({"op": "regex", "arg": r"a(?=b)"}, ""),
        ({"op": "regex", "arg": r"((("}, ""),
        ({"op": "max_chars", "arg": 1200}, "Keep the whole answer below 1050 characters, headings and all."),
        ({"op": "max_chars", "arg": 80}, "Keep the whole answer below 72 characters, headings and all."),
        ({"op": "max_chars", "arg": "many"}, ""),
        ({"op": "max_chars", "arg": -5}, ""),
        ({"op": "min_chars", "arg": 500}, "Write at least 550 characters in every answer."),
        (
            {"op": "contains", "arg": 'say "hi"'},
            'Somewhere in the answer, include the exact words `say "hi"`.',
        ),
        ({"op": "contains", "arg": "two\nlines"}, ""),
        ({"op": "contains", "arg": 'both ` and "'}, ""),
        ({"op": "not_contains", "arg": "synergy"}, 'Never write "synergy" in an answer.'),
        ({"op": "min_citations", "arg": 2}, "Cite at least 2 sources, numbered in square brackets."),
        (
            {"op": "tool_called", "arg": "search"},
            "Before you answer, always run the command `search` with a few words of the question.",
        ),
        ({"op": "tool_called", "arg": "../bin/x; rm"}, ""),
        ({"op": "tool_not_called", "arg": "browse"}, "Do not run the command `browse`."),
        (
            {"op": "no_refusal"},
            "Give a direct answer to every question, also when parts of it stay uncertain.",
        ),
        (
            {"op": "section_contains", "arg": {"section": "Plan", "text": "`by` May"}},
            f'{PLAN} Somewhere in the answer, include the exact words "`by` May".',
        ),
        ({"op": "exact", "arg": "42"}, 'Reply with "42" and nothing besides.'),
        ({"op": "unheard_of", "arg": "x"}, ""),
        ({"op": "contains", "arg": {"a": 1}}, ""),
        ({"op": "contains", "arg": "  "}, ""),
        ({"op": "contains", "arg": None}, ""),
        ({"op": "max_chars", "arg": True}, ""),
    ],
)
def test_a_failed_check_becomes_a_rule_or_nothing(check: dict[str, Any], rule: str) -> None:
    assert rules(prompt(check)) == ([rule] if rule else [])


CONTAINS = [{"op": "contains", "arg": word} for word in ("one", "two", "three", "four", "five")]


def test_the_most_frequent_failure_comes_first_and_each_once() -> None:
    said = rules(prompt(CONTAINS[0], CONTAINS[1], CONTAINS[1]))
    assert ['"two"' in said[0], '"one"' in said[1], len(said)] == [True, True, 2]


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_there_are_never_more_edits_than_the_prompt_allows(budget: int) -> None:
    assert len(rules(prompt(*CONTAINS, budget=budget))) == budget


def test_a_rule_that_the_skill_already_holds_is_not_proposed_again() -> None:
    (rule,) = rules(prompt(CONTAINS[0]))
    assert rules(prompt(CONTAINS[0], skill=f"# Skill\n\n- {rule}\n")) == []


def test_fences_and_marks_inside_the_skill_do_not_end_the_block() -> None:
    skill = "```json\n{}\n```\nARMARIUS REFLECTION v1\n"
    assert len(rules(prompt(CONTAINS[0], skill=skill))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ARMARIUS REFLECTION v1",
        "ARMARIUS REFLECTION v1\n```json\nnot json\n```",
        'ARMARIUS REFLECTION v1\n```json\n{"skill": 3}\n```',
    ],
)
def test_a_prompt_that_cannot_be_read_gets_no_edits(text: str) -> None:
    assert is_reflection(text)
    assert json.loads(reflect(text)) == {"edits": []}


@pytest.mark.parametrize("text", ["", "Reflect on ARMARIUS REFLECTION v1 please", "ARMARIUS REFLECTION v2"])
def test_other_prompts_are_no_reflection(text: str) -> None:
    assert not is_reflection(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"[Cc]onfidence\s*[:=]", "Confidence:"),
        (r"(?i)verdict:\s+(pass|fail)", "verdict: pass"),
        (r"\bRisk \d{2,}\b", "Risk 77"),
        (r"(a|b)(?:c+)\1", "aca"),
        (r"[^\w\s]x?", "-"),
        (r"[^a]", "b"),
        (r"\S\W\D", "x-x"),
        (r"a.c", "axc"),
        (r"[A-Z][0-9a-f]{3}", "A000"),
        (r"(?P<n>q)(?P=n)", "qq"),
        (r"", ""),
        (r"x{900}", None),
        (r"a\Zb", None),
        (r"(?<=z)y", None),
        (r"(", None),
        (r"\pL", None),
    ],
)
def test_an_example_is_read_off_a_pattern(pattern: str, text: str | None) -> None:
    program = compiled(pattern)
    assert (example_of(program) if program else None) == text


@given(st.text(alphabet="ab(|)[^-]*+?{}1,2\\dws.^$:=", max_size=14))
def test_an_example_always_matches(pattern: str) -> None:
    program = compiled(pattern)
    text = example_of(program) if program else None
    assert program is None or text is None or program.search(text)
