from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.evolve.judge import (
    OPERATORS,
    Check,
    Contains,
    Exact,
    Judge,
    MaxChars,
    MinChars,
    MinCitations,
    NoRefusal,
    NotContains,
    Regex,
    SectionContains,
    SectionPresent,
    SectionText,
    ToolCalled,
    ToolNotCalled,
    score,
)

NO_TOOLS: frozenset[str] = frozenset()


def holds(check: Check, answer: str, *tools: str) -> bool:
    return score(Judge("rule", (check,)), answer, frozenset(tools)).hard


# The table is the meaning of the operators: check, answer, whether it holds.
MEANING: list[tuple[Check, str, bool]] = [
    (Regex("[Cc]onfidence\\s*[:=]"), "So.\nConfidence : high", True),
    (Regex("[Cc]onfidence\\s*[:=]"), "So, with confidence.", False),
    (Regex("^- .{15,}$"), "Risks\n- the market may be gone\nend", True),
    (Regex("^- .{15,}$"), "Risks\r\n- the market may be gone\r\nend", True),
    (Regex("^- .{15,}$"), "Risks - the market may be gone", False),
    (Regex("a.b"), "a\nb", False),
    (Regex("(?i)^yes|no$"), "x\nYES\ny", True),
    (Regex("(?i)^yes|no$"), "x\nit is no\ny", True),
    (Regex("é+"), "crééé", True),
    (Regex("^caf.$"), "cafe\u0301", True),
    (Regex("cafe\u0301s?"), "caf\u00e9", True),
    (Contains("caf\u00e9"), "cafe\u0301", True),
    (NotContains("cafe\u0301"), "caf\u00e9", False),
    (Exact("caf\u00e9"), "cafe\u0301", True),
    (MaxChars(4), "cafe\u0301", True),
    (Contains("Key"), "\uff2bey", False),
    (SectionPresent("Caf\u00e9"), "## Cafe\u0301\nx", True),
    (SectionPresent("Risks"), "\ufeff# Risks\nx", True),
    (Contains("Risk"), "a Risk", True),
    (Contains("Risk"), "a risk", False),
    (Contains("a\r\nb"), "a\nb", True),
    (Contains("a\nb"), "a\rb", True),
    (Contains("a b"), "a\nb", False),
    (NotContains("TODO"), "done", True),
    (NotContains("TODO"), "TODO: x", False),
    (NotContains("x\r\ny"), "x\r\ny", False),
    (Exact("15"), " 15\n", True),
    (Exact(" a\r\nb\n"), "a\nb", True),
    (Exact("5"), "the answer is 15", False),
    (Exact("no"), "I do not know", False),
    (Exact("Yes"), "yes", False),
    (MaxChars(3), "abc", True),
    (MaxChars(3), "  abc \n", True),
    (MaxChars(3), "漢字😀", True),
    (MaxChars(3), "a\r\nb", True),
    (MaxChars(3), "abcd", False),
    (MinChars(3), "abc", True),
    (MinChars(3), "ab \n\n", False),
    (MinCitations(2), "One [1] and two [2].", True),
    (MinCitations(2), "One [1] and again [1].", False),
    (MinCitations(3), "Many [1, 2,3].", True),
    (MinCitations(2), "Footnotes[^1] and [^2]", True),
    (MinCitations(2), "See https://a.org/x and <https://b.org>.", True),
    (MinCitations(2), "See https://a.org/x, https://a.org/x/ and https://A.org/x#part.", False),
    (MinCitations(2), "As shown [1].\n\n[1] https://a.org", False),
    (MinCitations(2), "[one](https://a.org) [two](http://b.org/?q=1)", True),
    (MinCitations(1), "`a[0]` and\n```\nhttps://a.org [1]\n```", False),
    (MinCitations(1), "<!-- [1] https://a.org\n-->\nno source", False),
    (MinCitations(1), "[x] [ ] [2024] [1", False),
    (NoRefusal(), "Ship it. I can't recommend waiting.", True),
    (NoRefusal(), "I cannot recommend the free tier.", True),
    (NoRefusal(), "Sorry is a strong word. I will help you.", True),
    (NoRefusal(), "Advice: I cannot help but notice the trend.", True),
    (NoRefusal(), "I can't help with that.", False),
    (NoRefusal(), "I\u2019m sorry, but I can\u2019t assist with that request.", False),
    (NoRefusal(), "**I'm sorry**, I am unable to provide advice.", False),
    (NoRefusal(), "Unfortunately, I cannot\ncomplete this.", False),
    (NoRefusal(), "As an AI language model, I cannot give financial advice.", False),
    (NoRefusal(), "My apologies — I must decline.", False),
    (NoRefusal(), "I won't be able to. " * 100, True),
]


@pytest.mark.parametrize(("check", "answer", "held"), MEANING)
def test_an_operator_means_what_the_table_says(check: Check, answer: str, held: bool) -> None:  # noqa: FBT001 - a table
    assert holds(check, answer) is held


RISKS = "## Key Risks\n- churn\n\n### Detail\ndeep\n\n## Next\n- later\n"

# Title, answer, whether there is such a section.
HEADINGS: list[tuple[str, str, bool]] = [
    ("Key Risks", RISKS, True),
    ("key  RISKS:", RISKS, True),
    ("Risks", RISKS, False),
    ("Key Risks", "# KEY RISKS #", True),
    ("Key Risks", "###### 3. Key risks:", True),
    ("Key Risks", "   ### **Key Risks** ###", True),
    ("Key Risks", "## 2.1 `Key` *Risks*\uff1a", True),
    ("Key Risks", "## ⚠️ Key Risks", True),
    ("Key Risks", "##\tKey Risks", True),
    ("Key Risks", "####### Key Risks", False),
    ("Key Risks", "#Key Risks", False),
    ("Key Risks", "text\n\n    ## Key Risks", False),
    ("Key Risks", "## Key Risks and more", False),
    ("Key Risks", "The Key Risks are many.", False),
    ("Key Risks", "- ## Key Risks", False),
    ("Key Risks", "Key Risks\n===", True),
    ("Key Risks", "Key Risks\r\n---\r\ntext", True),
    ("Key Risks", "Key\nRisks\n---", True),
    ("Key Risks", "Key\n    Risks\n=", True),
    ("Key Risks", "x\n\n    Key Risks\n---", False),
    ("Key Risks", "x\n   ### Key Risks", True),
    ("Key Risks", "## _Key Risks_", True),
    ("Key Risks", "x\n  ```\n## Key Risks\n  ```", False),
    ("Key Risks", "<!--\nx\n## Key Risks\n-->", False),
    ("Key Risks", "<!--\nx\n-->\n## Key Risks", True),
    ("Plan B. Costs", "## Plan B. Costs", True),
    ("Plan Costs", "## Plan B. Costs", False),
    ("Key Risks", "Key Risks\n\n---", False),
    ("Key Risks", "- Key Risks\n---", False),
    ("Key Risks", "> Key Risks\n---", False),
    ("Key Risks", "text\n\n---\nKey Risks\n---\n", True),
    ("Key Risks", "Key Risks\n- - -", False),
    ("Key Risks", "**Key Risks**", True),
    ("Key Risks", "text\n**Key Risks:**\n- a", True),
    ("Key Risks", "**Key Risks**:", True),
    ("Key Risks", "1. __Key Risks__", True),
    ("Key Risks", "**1. Key Risks**", True),
    ("Key Risks", "**Key Risks** are many", False),
    ("Key Risks", "**Key** and **Risks**", False),
    ("Key Risks", "```\n## Key Risks\n```", False),
    ("Key Risks", "~~~md\n```\n## Key Risks\n~~~", False),
    ("Key Risks", "````\n```\n## Key Risks\n````\n", False),
    ("Key Risks", "```\nunclosed\n## Key Risks", False),
    ("Key Risks", "```\ncode\n```\n## Key Risks", True),
    ("Key Risks", "```not `code`\n## Key Risks", True),
    ("Key Risks", "<!--\n## Key Risks\n-->", False),
    ("Key Risks", "<!-- note -->\n## Key Risks", True),
    ("2026 plan", "## 2026 Plan", True),
    ("2026 plan", "## 2025 Plan", False),
    ("Риски", "## РИСКИ", True),
]


@pytest.mark.parametrize(("title", "answer", "held"), HEADINGS)
def test_a_section_is_there_when_a_reader_sees_its_heading(title: str, answer: str, held: bool) -> None:  # noqa: FBT001 - a table
    assert holds(SectionPresent(title), answer) is held


@pytest.mark.parametrize(
    ("section", "text", "answer", "held"),
    [
        ("Key Risks", "churn", RISKS, True),
        ("Key Risks", "deep", RISKS, True),
        ("Key Risks", "later", RISKS, False),
        ("Key Risks", "Churn", RISKS, False),
        ("Key Risks", "Key Risks", RISKS, False),
        ("Detail", "deep", RISKS, True),
        ("Detail", "later", RISKS, False),
        ("Absent", "churn", RISKS, False),
        ("A", "x", "# A\nno\n# B\nx\n# A\nx", True),
        ("A", "y", "A\n===\nx\n## B\ny", True),
        ("A", "y", "A\n---\nx\n### B\ny", True),
        ("A", "y", "A\n===\nx\n\nB\n---\ny", True),
        ("A", "-", "A\n---\ny", False),
        ("A", "x", "**A**\nx\n**B**\ny", True),
        ("A", "y", "**A**\nx\n**B**\ny", False),
        ("A", "y", "# A\n**B**\ny", True),
        ("A", "y", "A\n---\ny\n\nB\n===\n", True),
        ("A", "B", "A\n---\ny\n\nB\n===\n", False),
        ("A", "code", "# A\n```\ncode\n```", True),
    ],
)
def test_a_section_reaches_to_the_next_heading_of_its_level(
    section: str,
    text: str,
    answer: str,
    held: bool,  # noqa: FBT001 - a table
) -> None:
    assert holds(SectionContains(SectionText(section, text)), answer) is held


def test_only_tools_that_were_executed_count_as_called() -> None:
    claims = "I called search. TOOL_CALL: search"
    assert not holds(ToolCalled("search"), claims)
    assert holds(ToolCalled("search"), "", "search", "read")
    assert not holds(ToolCalled("search"), claims, "Search", "research")
    assert holds(ToolNotCalled("search"), claims)
    assert not holds(ToolNotCalled("search"), claims, "search")


ALL_CHECKS: tuple[Check, ...] = (
    SectionPresent("A"),
    SectionContains(SectionText("A", "b")),
    Regex("a+"),
    MaxChars(10),
    MinChars(1),
    Contains("a"),
    NotContains("zzz"),
    Exact("a"),
    NoRefusal(),
    MinCitations(1),
    ToolCalled("search"),
    ToolNotCalled("write"),
)


BEYOND_THE_WORDS = {"command", "file", "json_schema", "qrels", "rubric"}
"""Told in `test_checks.py`."""


def test_every_operator_has_its_check() -> None:
    assert {check.op for check in ALL_CHECKS} | BEYOND_THE_WORDS == set(OPERATORS)
    assert len(OPERATORS) == len(ALL_CHECKS) + len(BEYOND_THE_WORDS) == 17


@pytest.mark.parametrize("answer", ["", " \n\t", "\u2003\r\n"])
def test_an_empty_answer_passes_nothing_that_looks_at_it(answer: str) -> None:
    found = score(Judge("rule", ALL_CHECKS), answer, frozenset({"search"}))
    assert [result.op for result in found.results if result.held] == ["tool_called", "tool_not_called"]
    assert {result.reason for result in found.results[:-2]} == {"the answer is empty"}


def test_hard_is_all_and_soft_is_the_share() -> None:
    judge = Judge("rule", (Contains("a"), Contains("b"), Contains("c"), MaxChars(3)))
    some = score(judge, "ab!", NO_TOOLS)
    assert (some.hard, some.soft) == (False, 0.75)
    assert [result.held for result in some.results] == [True, True, False, True]
    every = score(judge, "abc", NO_TOOLS)
    assert (every.hard, every.soft) == (True, 1.0)


@pytest.mark.parametrize(
    ("check", "answer", "reason"),
    [
        (MaxChars(3), "x" * 1532, "1,532 characters, at most 3"),
        (MinChars(9), "ab", "2 characters, at least 9"),
        (Contains("a\nb"), "x", "'a\\nb' is missing"),
        (NotContains("x"), "x", "'x' is there"),
        (SectionPresent("Key Risks"), "x", "section 'Key Risks' is missing"),
        (SectionContains(SectionText("A", "b")), "x", "section 'A': the section itself is missing"),
        (SectionContains(SectionText("A", "b")), "# A\nx", "section 'A': 'b' is missing"),
        (Regex("a" * 100), "x", f"a match of '{'a' * 60}…' is missing"),
        (Exact("a"), "b", "the answer is not 'a'"),
        (NoRefusal(), "I cannot help with it.", "it refuses: 'i cannot help'"),
        (ToolCalled("search"), "x", "search was not called"),
        (ToolNotCalled("read"), "x", "read was called"),
        (MinCitations(2), "[1]", "1 sources cited, at least 2"),
    ],
)
def test_a_failed_check_says_what_was_seen(check: Check, answer: str, reason: str) -> None:
    (result,) = score(Judge("rule", (check,)), answer, frozenset({"read"})).results
    assert (result.held, result.reason) == (False, reason)


ANSWERS = st.text() | st.text(st.sampled_from("# \n\t-=*_`~<>!ab1.[],^:/") | st.characters(categories=["Cs"]))


@settings(deadline=None)
@given(ANSWERS, st.frozensets(st.text(max_size=8)))
def test_no_text_makes_a_judge_raise(answer: str, tools: frozenset[str]) -> None:
    found = score(Judge("rule", ALL_CHECKS), answer, tools)
    assert len(found.results) == len(ALL_CHECKS)
    assert found.hard == (found.soft == 1)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*a){12}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_would_backtrack_for_ever_comes_to_an_end(pattern: str) -> None:
    assert not holds(Regex(pattern), "a" * 100_000 + "!")


@pytest.mark.parametrize(
    "piece",
    ["# a\n", "a\n", "**", "```\n", "<!--\n", "\n===", "- ", "[1", "https://", "`", " ", "#", "I'm sorry "],
)
def test_a_long_answer_of_any_one_piece_comes_to_an_end(piece: str) -> None:
    assert not score(Judge("rule", ALL_CHECKS), piece * 20_000 + "!", NO_TOOLS).hard


@pytest.mark.parametrize("pattern", ["(", "a**", "(?=a)", "(?!a)", "(a)\\1", "[z-a]", "a{2000}", "\\", "(?P<n>a"])
def test_a_pattern_that_re2_refuses_cannot_be_built(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"invalid pattern .*RE2"):
        Regex(pattern)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", [".*", "^", "$", "a*", "|x", "(?:)", "(?i)x?", ".", r"\S", "(?s).+", r"[\s\S]*"])
def test_a_pattern_that_every_answer_holds_cannot_be_built(pattern: str) -> None:
    with pytest.raises(ValueError, match="is found in every answer"):
        Regex(pattern)


@pytest.mark.parametrize(
    ("pattern", "held", "missed"),
    [
        (r"\A[^!]*\z", "calm", "loud!"),
        ("^$", "a\n\nb", "a"),
        (r"\A.*\z", "a line", "two\nlines"),
        (".{9}", "long " * 2, "a"),
    ],
)
def test_a_pattern_that_the_empty_text_would_hold_may_tell_answers_apart(pattern: str, held: str, missed: str) -> None:
    assert (holds(Regex(pattern), held), holds(Regex(pattern), missed)) == (True, False)


@pytest.mark.parametrize(
    ("checks", "shape_only"),
    [
        ((MaxChars(1200),), True),
        ((MaxChars(1200), MinChars(1), NoRefusal()), True),
        ((MaxChars(1200), Contains("x")), False),
        ((ToolCalled("search"),), False),
        ((SectionPresent("A"),), False),
    ],
)
def test_checks_of_shape_alone_are_told_apart(checks: tuple[Check, ...], shape_only: bool) -> None:  # noqa: FBT001 - a table
    assert Judge("rule", checks).shape_only is shape_only


def test_a_judge_is_named_by_its_content() -> None:
    judge = Judge("rule", (Contains("é"), MaxChars(9)))
    assert judge.hash == "sha256:b07ad63bcd41acccd09781f4497d17bbe68386f3af2419ab343b636dbadfc138"
    same = msgspec.json.decode(
        '{"checks":[{"arg":"é","op":"contains"},{"op":"max_chars","arg":9}],"kind":"rule"}', type=Judge
    )
    assert same.hash == judge.hash
    others: list[Any] = [(MaxChars(9), Contains("é")), (Contains("é"),), (Contains("é"), MinChars(9))]
    assert len({judge.hash, *(Judge("rule", checks).hash for checks in others)}) == 4
