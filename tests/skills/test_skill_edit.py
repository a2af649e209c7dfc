import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.skills.document import END, MAX_SKILL, START, Document, parse_document
from armarius.skills.edit import (
    MAX_RULE,
    MAX_RULES,
    Add,
    Delete,
    Edit,
    Replace,
    apply_edits,
    hidden_character,
)

FRONT = "---\nname: demo\ndescription: A demo\n---\n"


def skill(*rules: str) -> Document:
    entries = "".join(f"- {rule}\n" for rule in rules)
    return parse_document(f"{FRONT}# Demo\n\n{START}\n## Learned rules\n\n{entries}{END}\n".encode())


@pytest.mark.parametrize(
    ("edits", "rules"),
    [
        ([Add("c")], ("a", "b", "c")),
        ([Add("  c \r\n")], ("a", "b", "c")),
        ([Add("one\r\ntwo")], ("a", "b", "one\ntwo")),
        ([Replace("a", "c")], ("c", "b")),
        ([Replace("a", "A.")], ("A.", "b")),
        ([Delete("a")], ("b",)),
        ([Delete("a"), Delete("b")], ()),
        ([Add("x" * MAX_RULE)], ("a", "b", "x" * MAX_RULE)),
        ([Add("--json must be the default")], ("a", "b", "--json must be the default")),
        ([Add("- a nested entry\n- another")], ("a", "b", "- a nested entry\n- another")),
        ([Add("run\n\n```sh\nmake  \n```")], ("a", "b", "run\n\n```sh\nmake  \n```")),
        ([Add("x"), Delete("a"), Replace("b", "y")], ("y", "x")),
    ],
)
def test_fit_edits_are_made_byte_for_byte(edits: list[Edit], rules: tuple[str, ...]) -> None:
    applied = apply_edits(skill("a", "b"), edits, len(edits))
    assert applied.document.rules == rules
    assert applied.accepted == tuple(edits)
    assert applied.rejected == ()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Add("a"), "rule 1 says so already"),
        (Add(" A  b. "), "rule 2 says so already"),
        (Replace("a", "a"), "the rule says so already"),
        (Replace("a", "a  B"), "rule 1 says so already"),
        (Replace("twice", "x"), "ambiguous: 2 rules say exactly that"),
        (Delete("twice"), "ambiguous: 2 rules say exactly that"),
        (Delete("t"), "no rule says exactly that"),
        (Delete("A"), "no rule says exactly that"),
        (Delete(""), "no rule says exactly that"),
        (Replace("", "x"), "no rule says exactly that"),
        (Add(" \n"), "the rule is empty"),
        (Replace("a", ""), "the rule is empty"),
        (Add("x" * (MAX_RULE + 1)), "the rule has 1,501 characters, at most 1,500 are allowed"),
        (Add(f"x\n{END}\n# mine"), "the rule holds the marker of the learned block"),
        (Add("<!-- Armarius:Learned start -->"), "the rule holds the marker of the learned block"),
        (Add("x\n--- \nname: y"), "the rule holds a front-matter fence '---'"),
        (Add("ab\u202ecd"), "the rule holds the hidden character U+202E"),
        (Add("ab\u200bcd"), "the rule holds the hidden character U+200B"),
        (Add("ab\x1b[2Jcd"), "the rule holds the hidden character U+001B"),
        (Add("ab\rcd"), "the rule holds the hidden character U+000D"),
        (Add("ab\U000e0041cd"), "the rule holds the hidden character U+E0041"),
        (Add("ab\U000e0100cd"), "the rule holds the hidden character U+E0100"),
        (Add("ab\ud800cd"), "the rule holds the hidden character U+D800"),
    ],
)
def test_an_unfit_edit_is_rejected_with_its_reason_and_the_others_go_on(edit: Edit, reason: str) -> None:
    before = skill("a", "a b", "twice", "twice")
    applied = apply_edits(before, [edit, Add("good")], 2)
    assert [(one.edit, one.reason) for one in applied.rejected] == [(edit, reason)]
    assert applied.document.rules == (*before.rules, "good")
    assert apply_edits(before, [edit], 1).document is before


def test_only_the_first_edits_up_to_the_budget_are_tried() -> None:
    edits = [Add("a"), Add("b"), Add("c"), Delete("a")]
    applied = apply_edits(skill("a"), edits, 2)
    assert applied.document.rules == ("a", "b")
    assert [one.reason for one in applied.rejected] == [
        "rule 1 says so already",
        "over the budget of 2",
        "over the budget of 2",
    ]
    assert apply_edits(skill("a"), edits, 0).accepted == ()


@pytest.mark.parametrize(
    "edits",
    [
        [Add("x"), Add("X.")],
        [Delete("a"), Add("a")],
        [Delete("b"), Replace("a", "b")],
        [Replace("a", "b"), Replace("b", "a")],
    ],
)
def test_a_rule_is_named_by_one_edit_of_a_batch(edits: list[Edit]) -> None:
    applied = apply_edits(skill("a", "b"), edits, 9)
    assert applied.rejected[-1].edit == edits[1]
    assert applied.rejected[-1].reason == "an earlier edit of this batch names the same rule"


def test_a_full_block_takes_no_rule_unless_one_goes() -> None:
    full = skill(*(f"rule {number}" for number in range(MAX_RULES)))
    assert apply_edits(full, [Add("more")], 1).rejected[0].reason == f"the block is full: {MAX_RULES} rules"
    assert apply_edits(full, [Add("more"), Delete("rule 0")], 2).rejected == ()


def test_a_batch_that_makes_the_file_too_large_to_read_is_rejected_whole() -> None:
    before = parse_document((FRONT + "x" * (MAX_SKILL - len(FRONT) - 100)).encode())
    applied = apply_edits(before, [Add("y" * 200), Add("")], 2)
    assert applied.document is before
    assert "at most 262,144 are read" in applied.rejected[0].reason
    assert applied.rejected[1].reason == "the rule is empty"


def test_an_untouched_rule_keeps_its_own_lines() -> None:
    source = f"{FRONT}{START}\nkept prose\n\n-   a  \n\n- b\n\tby a tab\n\n{END}\nafter"
    after = apply_edits(parse_document(source.encode()), [Add("c"), Delete("a")], 2).document
    assert after.text == f"{FRONT}{START}\nkept prose\n\n- b\n\tby a tab\n\n- c\n{END}\nafter"


TEXTS = st.sampled_from(["a", "A", "b", "b.", "c", "--json", "a\nb", "", "x\u200b", "twice", "---"])
EDITS = st.lists(
    st.one_of(st.builds(Add, TEXTS), st.builds(Replace, anchor=TEXTS, text=TEXTS), st.builds(Delete, anchor=TEXTS)),
    max_size=6,
)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.sampled_from(["a", "A", "b", "twice", "--json", "c."]), max_size=4),
    EDITS,
    st.integers(0, 7),
    st.sampled_from([0, MAX_RULES - 5, MAX_RULES - 2]),
)
def test_applying_a_batch_twice_is_applying_it_once(
    rules: list[str], edits: list[Edit], budget: int, filler: int
) -> None:
    before = skill(*rules, *(f"filler {number}" for number in range(filler)))
    once = apply_edits(before, edits, budget)
    assert apply_edits(once.document, edits, budget).document == once.document
    assert len(once.accepted) + len(once.rejected) == len(edits)
    assert (once.document == before) == (not once.accepted)


def test_every_invisible_character_of_unicode_is_hidden_but_line_feed_and_tab() -> None:
    seen = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and not hidden_character(chr(code))
    ]
    # The Arabic, Syriac and Kaithi signs are format characters that are drawn.
    drawn = {
        "\u0600",
        "\u0601",
        "\u0602",
        "\u0603",
        "\u0604",
        "\u0605",
        "\u06dd",
        "\u070f",
        "\u0890",
        "\u0891",
    }
    drawn |= {"\u08e2", "\U000110bd", "\U000110cd"}
    assert {char for char in seen if not 0x13430 <= ord(char) <= 0x1343F} == {"\t", "\n", *drawn}


@pytest.mark.parametrize("text", ["", "plain\n\ttext", "naïve 漢字 עברית हिन्दी", "⚠️ ✅", "`--json` — “x”"])
def test_what_a_reader_sees_is_not_hidden(text: str) -> None:
    assert hidden_character(text) is None


def test_edits_travel_as_json_and_unknown_fields_are_refused() -> None:
    edits: list[Edit] = [Add("x"), Replace("a", "b"), Delete("c")]
    sent = msgspec.json.encode(edits)
    assert msgspec.json.decode(sent, type=list[Edit]) == edits
    assert msgspec.json.decode(sent)[1] == {"op": "replace", "anchor": "a", "text": "b"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'[{"op":"add","text":"x","target":"/etc"}]', type=list[Edit])
