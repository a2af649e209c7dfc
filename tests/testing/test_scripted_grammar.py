from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.testing.benchmarks import load
from armarius.testing.grammar import read_rules
from armarius.testing.grammar_values import Line, Rules


def found(text: str) -> dict[str, Any]:
    """The rules that are not at their default."""
    rules = msgspec.structs.asdict(read_rules(text))
    return {name: value for name, value in rules.items() if value != getattr(Rules(), name)}


RISKS: dict[str, Any] = {"sections": ("Key Risks",)}
OPEN: dict[str, Any] = {"lines": (Line("Confidence"),)}
HIGH: dict[str, Any] = {"lines": (Line("Confidence", "high"),)}
LOW: dict[str, Any] = {"lines": (Line("Confidence", "low"),)}
SEARCH: dict[str, Any] = {"tools": ("search",)}


@pytest.mark.parametrize(
    "text",
    [
        'Include a section titled "Key Risks".',
        "Give each answer a section with the heading `Key Risks`.",
        "Every brief must contain a heading called **Key Risks**.",
        "- Add a `## Key Risks` heading near the end",
        "Always add a Key Risks section.",
        "When asked, have a section on key risks that lists two items.",
        "Do not omit a section headed 'Key Risks'.",
        'Never skip the "Key Risks" section.',
        "No brief is complete without a “Key Risks” section.",
        "1. Close with a part under the heading “Key Risks:”.",
        "ALWAYS INCLUDE A SECTION TITLED 'Key Risks'",
    ],
)
def test_a_section_is_asked_for_in_many_ways(text: str) -> None:
    assert found(text) == RISKS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("End with a line `Confidence: high`.", HIGH),
        ('Close each answer with a line that starts with "Confidence:", then your own estimate.', OPEN),
        ("State your confidence as `Confidence: <low|medium|high>`.", LOW),
        ("Finish with a line of its own that says **Confidence:** high, medium or low.", HIGH),
        ("End with a Confidence line.", OPEN),
        ("Write the word Confidence followed by a colon and one of low, medium or high.", LOW),
        ("State your confidence on its own line.", OPEN),
        ("Don't forget the 'Confidence: ...' line.", OPEN),
        ("Add a final line: Confidence: high", HIGH),
        ("Never leave out the line `Confidence = high`.", {"lines": (Line("Confidence", "high", "="),)}),
        ('Begin with the line "Confidence: high".', {"lines": (Line("Confidence", "high", first=True),)}),
        (
            "Every answer ends with a line labelled 'Verdict' and a line labelled 'Confidence'.",
            {"lines": (Line("Verdict"), Line("Confidence"))},
        ),
        (
            'Conclude with two labelled lines, "Verdict:" and "Confidence:".',
            {"lines": (Line("Verdict"), Line("Confidence"))},
        ),
    ],
)
def test_a_labelled_line_is_asked_for_in_many_ways(text: str, expected: dict[str, Any]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "unit", "most"),
    [
        ("Keep the whole answer under 1,200 characters.", "character", 1199),
        ("Keep the whole answer below 1050 characters, headings and all.", "character", 1049),
        ("Use no more than 150 words.", "word", 150),
        ("Limit answers to five sentences.", "sentence", 5),
        ("Answer in one paragraph.", "paragraph", 1),
        ("At most 80 words, please.", "word", 80),
        ("Do not exceed 900 characters.", "character", 900),
        ("Never write more than 900 chars.", "character", 900),
        ("Answers mustn't be longer than 2k characters.", "character", 2000),
        ("A 100-word limit applies.", "word", 100),
        ("900 characters or fewer.", "character", 900),
        ("Stay within a hundred words.", "word", 100),
        ("The answer must fit into 600 letters.", "character", 600),
        ("Your reply should have a maximum of 40 words.", "word", 40),
    ],
)
def test_a_ceiling_is_set_in_many_ways(text: str, unit: str, most: int) -> None:
    assert found(text) == {"ceilings": {unit: most}}


@pytest.mark.parametrize(
    ("text", "unit", "least"),
    [
        ("Write at least 2000 characters.", "character", 2000),
        ("Use more than 100 words.", "word", 101),
        ("No fewer than ten sentences.", "sentence", 10),
        ("Answers must not be under 300 characters.", "character", 300),
        ("A minimum of 3 paragraphs.", "paragraph", 3),
    ],
)
def test_a_floor_is_set_in_many_ways(text: str, unit: str, least: int) -> None:
    assert found(text) == {"floors": {unit: least}}


@pytest.mark.parametrize(
    "text",
    [
        "Use the search tool before answering.",
        "Before you answer, always run the command `search` with a few words of the question.",
        "Call `search` first.",
        "Never answer without running `search`.",
        "Do not answer before you have consulted the search tool.",
        "Always start with a call to `search`.",
        "The `search` tool must be used before every answer.",
        "Query the `search` command for facts.",
        "Look the question up with `search` first.",
        "If you are unsure, invoke `search --all <topic>`.",
        "Don't reply until you've run `search`.",
    ],
)
def test_a_tool_is_asked_for_in_many_ways(text: str) -> None:
    assert found(text) == SEARCH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Somewhere, include the exact words "as of today".', {"include": ("as of today",)}),
        ('Mention "risk appetite" and "runway".', {"include": ("risk appetite", "runway")}),
        ("Use the phrase 'on balance' once.", {"include": ("on balance",)}),
        ('The phrase "on balance" must appear.', {"include": ("on balance",)}),
        ('Never mention "synergy".', {"avoid": ("synergy",)}),
        ("Avoid the word `leverage`.", {"avoid": ("leverage",)}),
        ('Do not write "synergy" or "leverage".', {"avoid": ("synergy", "leverage")}),
        ('Begin the answer with "In short,".', {"opening": "In short,"}),
        ('Start every reply with the phrase "Dear reader".', {"opening": "Dear reader"}),
        ('End with "That is all"', {"closing": "That is all"}),
        ('The last line must be "Over and out".', {"closing": "Over and out"}),
        ("Cite at least three sources.", {"sources": 3}),
        ("Be exhaustive and leave nothing out.", {"long": True}),
        ("Write multiple paragraphs.", {"long": True}),
    ],
)
def test_wording_and_general_length_are_asked_for(text: str, expected: dict[str, Any]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Use British spelling.",
        "Consider the audience and be polite.",
        "Cover the key risks in your discussion.",
        "Search your memory for similar cases.",
        "Prefer active voice, and explain your reasoning.",
        "If the question is about money, mention numbers.",
        "The command of language matters here.",
        "Lines should be short.",
        "Use any available tools.",
        "Summarise each option in one sentence.",
        "Include risks.",
        "Confidence matters.",
        "## Always run the search tool",
        "```\nrun the search tool\nConfidence: high\n```",
        "<!-- Use the search tool. -->",
        "---\nname: x\ndescription: Use the search tool.\ntriggers:\n  - 'include the word \"x\"'\n---\n",
    ],
)
def test_what_is_not_in_the_grammar_changes_nothing(text: str) -> None:
    assert found(text) == {}


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ('Add a "Key Risks" section.', 'Do not add a "Key Risks" section.', {}),
        ('Do not add a "Key Risks" section.', 'Add a "Key Risks" section.', RISKS),
        ('Add a "Key Risks" section.', "Write without any headings.", {}),
        ('Add a "Key Risks" section.', "Do not use the heading 'Summary'.", RISKS),
        ('End with "Confidence: low".', 'End with "Confidence: high".', HIGH),
        ('End with "Confidence: high".', "Omit the Confidence line.", {}),
        ('End with "Confidence: high".', "There is no need for labelled lines.", {}),
        ("Use the search tool.", "Do NOT look anything up, search, or use any tools — just reply.", {}),
        ("Do NOT look anything up, search, or use any tools — just reply.", "Run `search` first.", SEARCH),
        ("Use the search tool.", "There is no need to run `search`.", {}),
        ("Use the search tool.", "Tools are not allowed.", {}),
        ("Use the search tool.", "Do not use the browse tool.", SEARCH),
        ("Write at most 100 words.", "Write at most 50 words.", {"ceilings": {"word": 50}}),
        ("Write at most 100 words.", "Be exhaustive.", {"long": True}),
        ("Be exhaustive.", "Stay under 100 words.", {"long": True, "ceilings": {"word": 99}}),
        ("Be exhaustive.", "Be concise.", {}),
        ("Be exhaustive.", "Don't be exhaustive.", {}),
        ("Write at least 900 words.", "Keep it short.", {}),
        ('Mention "runway".', 'Never mention "runway".', {"avoid": ("runway",)}),
        ('Never mention "runway".', 'Mention "runway".', {"include": ("runway",)}),
        ('Begin with "A".', 'Begin with "B".', {"opening": "B"}),
        ("Cite three sources.", "Do not give any references.", {}),
    ],
)
def test_later_text_overrides_earlier_text(earlier: str, later: str, expected: dict[str, Any]) -> None:
    assert found(f"{earlier}\n\n{later}") == expected
    assert found(f"- {earlier}\n- {later}") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do not use headings, but end with Confidence: high", HIGH),
        ('Avoid the word "very", then run `search`.', SEARCH | {"avoid": ("very",)}),
        ("Run `search` first; never answer in more than 3 sentences.", SEARCH | {"ceilings": {"sentence": 3}}),
        (
            'Give a "Key Risks" section and end with the line "Confidence: low", within 90 words.',
            RISKS | LOW | {"ceilings": {"word": 90}},
        ),
        ("Be thorough but stay under 1k characters.", {"long": True, "ceilings": {"character": 999}}),
    ],
)
def test_one_sentence_may_hold_several_rules_of_either_kind(text: str, expected: dict[str, Any]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Include a section titled "Main Dangers".', {"sections": ("Main Dangers",)}),
        ('End with the line "Certainty: high".', {"lines": (Line("Certainty", "high"),)}),
        ("Run `lookup` first.", {"tools": ("lookup",)}),
        ("Stay under 5000 characters.", {"ceilings": {"character": 4999}}),
    ],
)
def test_a_wrong_rule_is_obeyed_to_the_letter(text: str, expected: dict[str, Any]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ("seed-missing-structure", {}),
        ("seed-no-brain-first", {}),
        ("seed-no-verdict", {}),
        ("seed-verbose", {"long": True}),
    ],
)
def test_the_deficient_skills_ask_for_what_they_say(seed: str, expected: dict[str, Any]) -> None:
    assert found(load(seed).skill.decode()) == expected


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(read_rules(text), Rules)


@given(st.lists(st.sampled_from(sorted("abc \n\"'`*_#-:.,;!?—<>()10[]|=\ue000\ue001\ue002\ue003")), max_size=40))
def test_any_heap_of_marks_is_read(marks: list[str]) -> None:
    assert isinstance(read_rules("run `x` " + "".join(marks) + ' section "y"'), Rules)
