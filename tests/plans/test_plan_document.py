"""A plan is read without losing a byte, and written to only at its bottom."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import UsageError
from armarius.plans.closing import with_note
from armarius.plans.document import Kind, parse, text_of
from armarius.plans.folder import closing_of, progress_in
from armarius.plans.setup import slug_of

GOOD = Path(__file__).with_name("good_plan.md").read_text(encoding="utf-8")
NOTE = "Abandoned (2026-01-31 15:00Z), because nobody needs it"
LINES = st.lists(
    st.sampled_from(
        [
            "# T",
            "## Progress",
            "- [x] a",
            "  b",
            "```md",
            "```",
            "~~~",
            "    code",
            "",
            "<!--",
            "-->",
            "text",
            "===",
            "\r",
            "\x0c",
        ]
    )
).map("\n".join)


@given(LINES | st.text())
def test_what_is_parsed_is_printed_as_it_was(text: str) -> None:
    assert text_of(parse(text)) == text


@given(LINES | st.text(), st.sampled_from(["\n", "\r\n"]))
def test_a_note_leaves_every_byte_that_was_there(text: str, end: str) -> None:
    text = text.replace("\r", "").replace("\n", end)
    after = with_note(parse(text), NOTE)
    assert NOTE in after
    place = after.index(NOTE)
    kept = after[:place].rstrip("\r\n"), after[place + len(NOTE) :].lstrip("\r\n")
    assert text.startswith(kept[0])
    assert text.endswith(kept[1])
    assert (kept[0] + kept[1]).replace("\r", "").replace("\n", "") == text.replace("\r", "").replace("\n", "")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n"])
def test_a_note_is_read_again_whatever_ends_the_plan(end: str, tail: str) -> None:
    text = (GOOD.rstrip("\n") + tail).replace("\n", end)
    after = with_note(parse(text), NOTE)
    closing = closing_of(parse(after))
    assert closing is not None
    assert (closing.state, closing.at, closing.reason) == ("abandoned", "2026-01-31 15:00Z", "nobody needs it")
    assert after.endswith(NOTE + end)
    assert "\r\n" not in after if end == "\n" else after.count("\n") == after.count("\r\n")


def test_a_note_stands_within_the_fence_of_a_plan() -> None:
    after = with_note(parse(f"Look:\n\n```md\n{GOOD}```\nEnd.\n"), NOTE)
    assert after.endswith(f"\n{NOTE}\n```\nEnd.\n")
    assert closing_of(parse(after)) is not None


def test_a_note_in_a_comment_or_in_code_closes_nothing() -> None:
    for text in (f"<!-- {NOTE} -->", f"    {NOTE}", f"```\n{NOTE}\n```", f"- {NOTE}"):
        assert closing_of(parse(f"{GOOD}\n{text}\n")) is None


def test_lines_are_told_apart() -> None:
    text = "Title\n=====\n\n- a\n  b\n\n    $ run\n\n<!-- x\ny -->\n~~~sh\n# no\n~~~\n## Next ##\n"
    plan = parse(text)
    assert [line.kind for line in plan.lines] == [
        *(Kind.HEADING, Kind.COMMENT, Kind.BLANK, Kind.ITEM, Kind.TEXT, Kind.BLANK, Kind.CODE, Kind.BLANK),
        *(Kind.COMMENT, Kind.COMMENT, Kind.FENCE, Kind.CODE, Kind.FENCE, Kind.HEADING, Kind.BLANK),
    ]
    assert [(section.level, section.title) for section in plan.sections] == [(1, "Title"), (2, "Next")]


def test_progress_is_counted_and_the_next_step_is_the_first_open_one() -> None:
    assert progress_in(parse(GOOD)) == (
        2,
        3,
        "(2026-01-31 14:10Z) Add the flag (completed: the parser; remaining: the help text).",
    )


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Add a linter", "add-a-linter"),
        ("  Größe & Café: v2.0!  ", "groe-cafe-v2-0"),
        ("../../etc/passwd", "etc-passwd"),
        ("a" * 90, "a" * 60),
        ("CON", "con"),
    ],
)
def test_a_title_gives_the_name_of_a_file(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_a_title_without_letters_gives_none() -> None:
    with pytest.raises(UsageError, match="no letter"):
        slug_of("日本語 ___")
