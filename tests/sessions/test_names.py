"""Every way to name a thread, as one table."""

import json
from pathlib import Path

import pytest

from armarius.errors import DataError
from armarius.sessions.folders import Place
from armarius.sessions.names import find_named, thread_names
from support.session_world import World, thread_id

ONE, TWO, THREE = thread_id(0x111), thread_id(0x112), thread_id(0x2FF)


def line(thread: str, name: str, at: str = "2026-11-20T12:00:00.000000001Z") -> str:
    return json.dumps({"id": thread, "thread_name": name, "updated_at": at}) + "\n"


NAMES = (
    line(ONE, "old name", "2026-11-20T11:00:00Z")
    + line(ONE, "my thread", "2026-11-20T12:00:00Z")
    + line(ONE, "late written", "2026-11-20T10:00:00Z")
    + line(TWO, "Twins")
    + line(THREE, "Twins")
    + line(thread_id(0x999), "of a thread that is gone")
    + '{"no": "name"}\nno json\n\xff\n{"id": "x", "thread_name": "hal'
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for number in (0x111, 0x112):
        world.put("0.169-tools.jsonl", number)
    world.put("0.169-tools.jsonl", 0x2FF, folder="archived_sessions")
    (world.home / "session_index.jsonl").write_bytes(NAMES.encode("latin-1"))
    return world


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (ONE, ONE),
        (ONE.upper(), ONE),
        (f"codex://threads/{TWO}", TWO),
        (f"codex://threads/{TWO}/", TWO),
        (THREE[:-1], THREE),
        (f" {ONE} ", ONE),
        ("my thread", ONE),
        ("MY THREAD", ONE),
    ],
)
def test_a_name_means_its_thread(world: World, typed: str, expected: str) -> None:
    found = find_named([world.place], typed)
    assert (found.thread_id, found.place, found.is_archived) == (expected, world.place, expected == THREE)
    assert found.path.name.endswith(f"{expected}.jsonl")
    assert found.name == {ONE: "my thread"}.get(expected, "Twins")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (thread_id(0)[:30], "thread-ambiguous", f"begins 3 sessions: {ONE}, {TWO}, {THREE}"),
        ("Twins", "thread-ambiguous", f"is the name of 2 sessions: {TWO}, {THREE}"),
        ("my thraed", "thread-unknown", "did you mean 'my thread'?"),
        ("old name", "thread-unknown", "see `armarius sessions list`"),
        (f"{THREE[:-1]}e", "thread-unknown", f"did you mean '{THREE}'?"),
        ("of a thread that is gone", "thread-unknown", "no session"),
        ("", "thread-unknown", "see `armarius sessions list`"),
        ("codex://threads/", "thread-unknown", "see `armarius sessions list`"),
        ("*", "thread-unknown", "no session '*'"),
        ("\0", "thread-unknown", "no session"),
        ("\udcff", "thread-unknown", "no session"),
        ("x" * 100_000, "thread-unknown", "xxx…' under"),
        ("/no/such/file.jsonl", "thread-unknown", "no session"),
    ],
)
def test_what_means_nothing_or_too_much_is_refused(world: World, typed: str, code: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        find_named([world.place], typed)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_a_path_names_its_file_whatever_else_is_called_so(world: World, tmp_path: Path) -> None:
    inside = world.path(0x111)
    assert find_named([world.place], str(inside)).place == world.place
    assert find_named([world.place], str(inside)).name == "my thread"
    outside = tmp_path / inside.name
    outside.write_bytes(inside.read_bytes())
    assert find_named([world.place], str(outside)) == find_named([], str(outside))
    assert (find_named([], str(outside)).thread_id, find_named([], str(outside)).path) == (ONE, outside)
    stranger = tmp_path / "some.jsonl"
    stranger.touch()
    assert (find_named([], str(stranger)).thread_id, find_named([], str(stranger)).path) == ("", stranger)


def test_of_several_files_of_a_thread_the_one_it_lives_in_is_meant(world: World) -> None:
    world.put("0.169-tools.jsonl", 0x2FF)
    assert find_named([world.place], THREE).path == world.path(0x2FF)
    elsewhere = World(world.home.parent / "elsewhere")
    elsewhere.put("0.169-tools.jsonl", 0x777)
    assert find_named([world.place, elsewhere.place], thread_id(0x777)).place == elsewhere.place


def test_the_newest_name_wins_and_what_is_no_name_is_passed_over(world: World, tmp_path: Path) -> None:
    assert thread_names(world.place)[ONE] == "my thread"
    assert thread_names(Place("codex", tmp_path / "nowhere")) == {}
    (world.home / "session_index.jsonl").unlink()
    (world.home / "session_index.jsonl").mkdir()
    assert thread_names(world.place) == {}
