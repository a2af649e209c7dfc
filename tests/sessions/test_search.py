"""Any text can be searched for, and a snippet is what stands in the file now."""

import shutil
import unicodedata
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armarius.sessions.search import phrases
from support.session_world import World, as_thread, thread_id

LINE = '{{"timestamp":"2026-11-2{day}T10:00:0{n}.000Z","ordinal":{n},"type":"event_msg","payload":{payload}}}\n'


def session(number: int, *said: str, day: int = 0) -> str:
    """A rollout in which the user said this."""
    meta = (
        f'{{"timestamp":"2026-11-2{day}T10:00:00.000Z","ordinal":0,"type":"session_meta","payload":{{"id":'
        f'"{thread_id(number)}","timestamp":"2026-11-2{day}T10:00:00.000Z","cwd":"/x","originator":"codex_exec",'
        f'"cli_version":"0.169.0","source":"exec","history_mode":"paginated"}}}}\n'
    )
    turn = f"01a1f8e7-0000-7000-8000-{number:012x}"
    started = LINE.format(day=day, n=1, payload=f'{{"type":"task_started","turn_id":"{turn}"}}')
    return meta + started + "".join(item(number, n, words, day) for n, words in enumerate(said, start=2))


def item(number: int, n: int, words: str, day: int = 0) -> str:
    turn = f"01a1f8e7-0000-7000-8000-{number:012x}"
    payload = (
        f'{{"type":"item_completed","thread_id":"{thread_id(number)}","turn_id":"{turn}","item":{{"type":'
        f'"UserMessage","id":"{n}","content":[{{"type":"text","text":{quoted(words)}}}]}}}}'
    )
    return LINE.format(day=day, n=n, payload=payload)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


SAID = {
    1: "the quick brown fox jumps over foo_bar.py",
    2: "fox brown quick; naïve café AND (either) OR",
    3: "run `pytest -x tests/cli` in C:\\new folder: NOT near",
}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("fox", {1, 2}),
        ("FOX", {1, 2}),
        ("fox quick", {1, 2}),
        ("fox folder", set[int]()),
        ('"brown fox"', {1}),
        ('"fox brown"', {2}),
        ('"brown fox', {1}),
        ('brown "quick brown"', {1}),
        ("foo_bar", {1}),
        ("bar_foo", set[int]()),
        ("foo bar", {1}),
        ("foo_bar.py", {1}),
        ("qui*", {1, 2}),
        ("qui", set[int]()),
        ('"brown f"*', {1}),
        ("*", set[int]()),
        ("cafe", {2}),
        ("CAFÉ", {2}),
        (unicodedata.normalize("NFD", "café"), {2}),
        ("AND", {2}),
        ("either OR", {2}),
        ("NOT near", {3}),
        ("NOT fox", set[int]()),
        ("-x", {3}),
        ("tests/cli", {3}),
        ("C:\\new", {3}),
        ("text:fox", set[int]()),
        ("NEAR(quick fox)", set[int]()),
        ("'fox'", {1, 2}),
        ("fox; DROP TABLE words", set[int]()),
        ("!!! fox ???", {1, 2}),
        ("", set[int]()),
        ("  ", set[int]()),
        ('"', set[int]()),
        ('""""', set[int]()),
        ("\0fox\0", {1, 2}),
        ("fox\ud800", {1, 2}),
    ],
)
def test_words_are_found_as_they_are_typed(world: World, typed: str, expected: set[int]) -> None:
    for number, said in SAID.items():
        world.path(number).write_text(session(number, said))
    world.sync()
    assert {hit.thread_id for hit in world.find(typed)} == set(map(thread_id, expected))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("library"))
    for number, said in SAID.items():
        world.path(number).write_text(session(number, said))
    world.sync()
    return world


@given(typed=st.text(max_size=60) | st.text(alphabet='ab"*+-^:(){}NEARODT, \\', max_size=60))
def test_no_text_is_a_wrong_search(library: World, typed: str) -> None:
    library.find(typed)


def test_a_search_may_be_as_long_as_anybody_pastes(library: World) -> None:
    assert library.find(" ".join(f"w{n}" for n in range(10_000))) == []
    assert library.find("a" * 1_000_000) == []
    assert library.find('"' + "a b " * 10_000 + '"') == []
    assert len(phrases("x " * 10_000)) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.text(st.characters(exclude_categories=["Cs", "Cc", "Mn", "Mc", "Me"]), min_size=1, max_size=60))
def test_whatever_was_said_is_found_by_its_own_words(tmp_path_factory: pytest.TempPathFactory, said: str) -> None:
    world = World(tmp_path_factory.mktemp("said"))
    world.path().write_text(session(1, said), encoding="utf-8")
    world.sync()
    hits = world.find(said)
    assert [hit.source for hit in hits] == ["present"] * bool(phrases(said))


def test_a_snippet_shows_the_words_where_they_stand(world: World) -> None:
    before, after = "lorem " * 500, "ipsum " * 500
    world.path().write_text(session(1, f"{before}the needle\nin here {after}", "no more"))
    world.sync()
    [hit] = world.find("needle")
    assert (hit.source, hit.kind) == ("present", "user")
    assert "the needle in here ipsum" in hit.snippet
    assert hit.snippet.startswith("… ")
    assert hit.snippet.endswith(" …")
    with world.path().open("rb") as file:
        file.seek(hit.byte)
        assert b"needle" in file.read(hit.size)


def test_commands_are_found_too(world: World) -> None:
    world.put("0.169-tools.jsonl")
    world.sync()
    found = [hit for hit in world.find("echo") if hit.kind == "command"]
    assert len(found) == 2
    assert all("echo" in hit.snippet and hit.source == "present" for hit in found)


def test_a_snippet_of_a_compressed_file_is_read_from_it(world: World) -> None:
    path = world.path()
    path.write_text(session(1, "x" * 100_000, "a needle"))
    path.with_suffix(".jsonl.zst").write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    world.sync()
    [hit] = world.find("needle")
    assert (hit.source, hit.snippet) == ("present", "a needle")


def test_a_source_that_is_gone_or_another_is_marked_and_shows_nothing(world: World) -> None:
    for number in (1, 2, 3):
        world.path(number).write_text(session(number, "a needle"))
    world.sync()
    world.path(1).unlink()  # since the last sync
    world.path(2).write_bytes(as_thread("0.169-tools.jsonl", 2))
    found = {hit.thread_id: (hit.source, hit.snippet) for hit in world.find("needle")}
    expected = {1: ("gone", ""), 2: ("changed", ""), 3: ("present", "a needle")}
    assert found == {thread_id(number): hit for number, hit in expected.items()}
    world.sync()
    found = {hit.thread_id: hit.source for hit in world.find("needle")}
    assert found == {thread_id(1): "gone", thread_id(3): "present"}


def test_the_newer_of_two_like_matches_comes_first(world: World) -> None:
    for number, day in ((1, 0), (2, 5), (3, 2)):
        world.path(number).write_text(session(number, "a needle", day=day))
    world.sync()
    assert [hit.thread_id for hit in world.find("needle")] == [thread_id(number) for number in (2, 3, 1)]


def test_what_was_said_in_a_longer_session_is_found_after_any_number_of_syncs(world: World) -> None:
    path = world.path()
    path.write_text(session(1, "zero"))
    for n in range(3, 9):
        world.sync()
        with path.open("a") as file:
            file.write(item(1, n, f"number{n} needle"))
    world.sync()
    assert [len(world.find(f"number{n}")) for n in range(3, 9)] == [1] * 6
    assert len(world.find("needle")) == 6
    shutil.copy(path, world.path(2))
    world.sync()
    assert len(world.find("needle")) == 12
