"""Which programs a recorded command ran, and when two witnesses agree on one."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.evolve.witness import called, make_tools, read_testimony
from armarius.thread import Command, Item, ItemStatus, StreamSpot, Thread, Turn, TurnState, UserMessage

SPOT = StreamSpot("exec", 1)


def command(script: str, exit_code: int | None = 0) -> Command:
    return Command("c", script, SPOT, status=ItemStatus.COMPLETED, exit_code=exit_code)


RAN = [
    "search risks",
    "if search risks; then echo found; fi",
    "while search risks; do break; done",
    "  search",
    "search 'key risks; and more' 2>&1",
    "cd /srv && search risks",
    "ls; search risks",
    "ls\nsearch risks",
    "# look it up\nsearch risks",
    "ls # all of it\nsearch risks # now",
    "echo '#1' && search risks",
    "cd /srv && \\\n  search risks",
    "search \\\n  risks",
    "cat <<EOF > notes\nnothing\nEOF\nsearch risks",
    "true || search risks",
    "ls | search -",
    "search risks | head -1",
    "search risks &",
    "(search risks)",
    "{ search risks; }",
    "echo $(search risks)",
    "answer=$(search risks)",
    "TOPIC=risks LANG=C search",
    "time search risks",
    "command search risks",
    "exec search risks",
    "! search risks",
    "if true; then search risks; fi",
    "for word in a b; do search $word; done",
    "se'ar'ch risks",
    'search "it said: \\"search\\""',
]
NOT_RAN = [
    "",
    "echo search",
    "echo 'first; search risks'",
    'echo "ls && search risks"',
    "printf 'search\\n' > witness",
    "grep search notes.md",
    "ls search",
    "cat ./search",
    "research risks",
    "search-all risks",
    "searches",
    "search_=1 ls",
    "search=1",
    "ls # search risks",
    "# search risks",
    "ls # then\n# search risks",
    "echo 'one\nsearch risks'",
    "echo one \\\n search risks",
    "echo '' search",
    "ls > search",
    "ls 2>&1 > search",
    "command -v search",
    "which search",
    "type search",
    "echo 'an open quote; search risks",
    "\\",
]
MISSED = [
    # Run, and not seen: the check then fails, which is the side on which no agent gains anything.
    "/opt/bin/search risks",
    "bash -c 'search risks'",
    "env search risks",
    "xargs search < words",
    'echo "$(search risks)"',
]


@pytest.mark.parametrize("script", RAN)
def test_a_program_is_seen_where_a_shell_would_run_it(script: str) -> None:
    assert called("search", command(script))


@pytest.mark.parametrize("script", NOT_RAN)
def test_a_word_that_is_no_program_is_not_taken_for_one(script: str) -> None:
    assert not called("search", command(script))


@pytest.mark.parametrize("script", MISSED)
def test_what_hides_a_program_hides_it_from_us(script: str) -> None:
    assert not called("search", command(script))


@pytest.mark.parametrize("exit_code", [1, 127, -9, None])
def test_a_command_that_failed_or_never_ended_does_not_count(exit_code: int | None) -> None:
    assert not called("search", command("search risks", exit_code))


@given(st.text())
def test_no_script_is_too_odd_to_be_read(script: str) -> None:
    assert called("search", command(script)) in (True, False)


def thread(*turns: tuple[Item, ...]) -> Thread:
    made = tuple(Turn(id=str(n), state=TurnState.COMPLETED, items=items) for n, items in enumerate(turns))
    return Thread(id="t", path="", turns=made)


@pytest.mark.parametrize(
    ("told", "scripts", "agreed", "disagree"),
    [
        ("search\n", ["search risks"], {"search"}, False),
        ("search\nsearch\n", ["search a", "search b"], {"search"}, False),
        ("search\nlookup\n", ["search a && lookup b"], {"search", "lookup"}, False),
        ("", ["search risks"], set[str](), True),
        ("search\n", ["echo search"], set[str](), True),
        ("search\n", [], set[str](), True),
        ("lookup\n", ["search risks"], set[str](), True),
        ("sh\nrm\n\xff\n", ["sh -c ls"], set[str](), False),
        ("", [], set[str](), False),
    ],
)
def test_a_tool_was_called_when_both_witnesses_say_so(
    tmp_path: Path, *, told: str, scripts: list[str], agreed: set[str], disagree: bool
) -> None:
    log = tmp_path / "witness.log"
    log.write_bytes(told.encode("latin-1"))
    seen = read_testimony(log, thread(tuple(map(command, scripts))), ["search", "lookup"])
    assert (seen.agreed, seen.reported != seen.recorded) == (agreed, disagree)


@pytest.mark.parametrize(
    ("told", "script"), [("search\n", "env search risks"), ("search\n", "echo nothing"), ("", "search risks")]
)
def test_one_witness_is_enough_for_a_tool_that_must_not_be_called(tmp_path: Path, told: str, script: str) -> None:
    log = tmp_path / "witness.log"
    log.write_text(told)
    seen = read_testimony(log, thread((command(script),)), ["search", "lookup"])
    assert (seen.agreed, seen.called(set()), seen.called({"search"})) == (set(), set(), {"search"})


def test_only_the_last_turn_counts_and_a_missing_log_is_no_report(tmp_path: Path) -> None:
    log = tmp_path / "witness.log"
    log.write_text("search\n")
    earlier = thread((command("search risks"),), (UserMessage("u", "again", SPOT),))
    assert read_testimony(log, earlier, ["search"]).agreed == frozenset()
    assert read_testimony(log, thread(), ["search"]).agreed == frozenset()
    missing = read_testimony(tmp_path / "none", thread((command("search"),)), ["search"])
    assert (missing.reported, missing.recorded) == (frozenset(), {"search"})


def test_a_tool_reports_itself_and_answers_in_a_folder_with_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a 'quoted' $HOME; name"
    folder.mkdir()
    bin_folder, fifo = make_tools(folder, ["search", "look.up"])
    assert make_tools(folder, ["search", "look.up"]) == (bin_folder, fifo), "a world may be made again"
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    for name in ("search", "look.up"):
        done = subprocess.run([bin_folder / name, "key", "risks"], capture_output=True, text=True, check=True)
        assert done.stdout == f"{name}: nothing was found for: key risks\n"
    assert os.read(reader, 100) == b"search\nlook.up\n"
    os.close(reader)
