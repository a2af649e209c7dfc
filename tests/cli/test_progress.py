"""The table of a batch on a terminal: painted in one place, never wider, nothing of it obeyed."""

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.batch.batch import ItemEnd
from armarius.cli.progress import Table, clipped, end_text
from armarius.runs.request import Problem
from armarius.testing.clock import FakeClock

TOKEN = re.compile(r"\x1b\[(\d*)([FKJ])|(\n)|([^\x1b\n]+)")


def painted(out: io.StringIO) -> list[str]:
    """What a terminal shows in the end, which knows what the table uses: lines up, wipe the rest of line or screen."""
    lines, row, column = [""], 0, 0
    text = out.getvalue()
    assert "".join(match[0] for match in TOKEN.finditer(text)) == text, "something else is in it"
    for up, act, end, said in TOKEN.findall(text):
        if act == "F":
            row, column = row - int(up), 0
            assert row >= 0, "it went above its own first line"
        elif act == "K":
            lines[row] = lines[row][:column]
        elif act == "J":
            lines = [*lines[:row], lines[row][:column]]
        elif end:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column] + said + lines[row][column + len(said) :]
            column += len(said)
    return lines[:-1]


def table(*items: str, width: int = 60, height: int = 10) -> tuple[Table, io.StringIO, FakeClock]:
    out, clock = io.StringIO(), FakeClock()
    return Table(items, clock, out, lambda: (width, height)), out, clock


def test_every_item_has_its_row_and_is_painted_where_it_was() -> None:
    shown, out, _ = table("a", "b", "c")
    shown.tick()
    shown.started("a", "run_1")
    shown.waits("b", "gpu:1 is leased to process 7")
    shown.ended(ItemEnd("a", "succeeded", run="run_1", duration_us=2_500_000), None)
    shown.ended(ItemEnd("c", "blocked", blocked_by=("x",)), None)
    assert [line.split(maxsplit=1) for line in painted(out)] == [
        ["a", "succeeded in 2.5 s as run_1"],
        ["b", "waiting  gpu:1 is leased to process 7"],
        ["c", "blocked by x"],
        ["1", "succeeded, 1 waiting, 1 blocked"],
    ]
    shown.clear()
    assert painted(out) == []


def test_what_goes_on_and_what_went_wrong_is_shown_when_there_is_no_room_for_all() -> None:
    shown, out, _ = table(*(f"i{n}" for n in range(100)), height=8)
    for n in range(90):
        shown.ended(ItemEnd(f"i{n}", "succeeded"), None)
    shown.started("i95", "run_1")
    shown.ended(ItemEnd("i97", "failed"), None)
    lines = painted(out)
    assert len(lines) <= 6
    assert {"i95", "i97"} <= {line.split()[0] for line in lines}
    assert lines[-1].endswith("not shown)")


HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\r\x9b31m\u202e\u2066\u200b\U000e0041\x00 x\ny\tz"


@pytest.mark.parametrize("width", [4, 20, 80])
def test_a_hostile_text_is_seen_and_not_obeyed(width: int) -> None:
    shown, out, _ = table("a", width=width)
    shown.waits("a", HOSTILE)
    shown.ended(ItemEnd("a", "failed", problem=Problem("x", HOSTILE * 50)), None)
    own = out.getvalue().replace("\x1b[K", "").replace("\x1b[J", "")
    own = own.replace("\x1b[2F", "")
    assert all(character == "\n" or unicodedata.category(character)[0] != "C" for character in own)
    assert all(columns(line) < width for line in own.split("\n"))


def columns(text: str) -> int:
    zero = {"Mn", "Me"}
    wide = {"W", "F"}
    return sum(
        0 if unicodedata.category(c) in zero else 2 if unicodedata.east_asian_width(c) in wide else 1 for c in text
    )


@given(st.text(), st.integers(0, 40))
def test_no_text_is_wider_than_it_may_be(text: str, width: int) -> None:
    shown = clipped(text, width)
    assert columns(shown) <= width
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("a", 0, ""),
    ],
)
def test_wide_characters_count_as_two(text: str, width: int, shown: str) -> None:
    assert clipped(text, width) == shown


def test_the_time_of_what_runs_goes_on() -> None:
    shown, out, clock = table("a")
    shown.started("a", "run_1")
    clock.advance(65_000_000)
    shown.tick()
    assert "running  65 s  run_1" in painted(out)[0]


def test_an_end_says_whether_it_was_so_before() -> None:
    assert end_text(ItemEnd("a", "succeeded", run="run_1", is_kept=True)) == "succeeded before as run_1"
