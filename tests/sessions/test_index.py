"""The index follows the files, whatever happens to them, and reads no more than it must."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armarius.errors import DataError
from armarius.sessions.index_rows import Rows, Writer
from armarius.sessions.sync import Synced
from armarius.store.index_database import IndexDatabase
from armarius.store.queries import Query
from support.session_world import DATA, World, thread_id

FILES = sorted(path.name for path in DATA.glob("*.jsonl"))
MAIN = "0.169-three-turns.jsonl"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def counts(synced: Synced) -> tuple[int, int, int]:
    return synced.read, synced.moved, synced.gone


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def at(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def replace(path: Path, data: bytes) -> None:
    other = path.with_suffix(".tmp")
    other.write_bytes(data)
    other.replace(path)


def pack(path: Path) -> None:
    path.with_suffix(".jsonl.zst").write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()


def archive(world: World, path: Path) -> Path:
    return path.rename(world.path(folder="archived_sessions"))


def rewrite_the_middle(_: World, path: Path) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    spot = data.index(b"three" if b"three" in data[middle:] else b"turn", middle)
    path.write_bytes(data[:spot] + b"other"[: len(b"turn")] + data[spot + len(b"turn") :])
    at(path, 4_000_000_000)


def swap(world: World, path: Path) -> None:
    other = world.put("0.165-two-turns.jsonl", 2)
    world.sync()
    path.rename(path.with_suffix(".tmp"))
    other.rename(path)
    path.with_suffix(".tmp").rename(other)


def unpack_again(world: World, path: Path) -> None:
    data = path.read_bytes()
    pack(path)
    world.sync()
    path.write_bytes(data)
    path.with_suffix(".jsonl.zst").unlink()


def resume_packed(_: World, path: Path) -> None:
    data = path.read_bytes()
    pack(path)
    path.write_bytes(data)  # Codex unpacks a thread to go on with it, and both lie there for a while


def vanish_and_come_back(world: World, path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    world.sync()
    path.write_bytes(data)


CHANGES: dict[str, tuple[Callable[[World, Path], object], tuple[int, int, int]]] = {
    "nothing": (lambda _, path: path, (0, 0, 0)),
    "whole lines more": (lambda _, path: append(path, lines(path)[-1] * 2), (1, 0, 0)),
    "half a line more": (lambda _, path: append(path, lines(path)[-1][:-9]), (0, 0, 0)),
    "half of a character more": (lambda _, path: append(path, "…".encode()[:2]), (0, 0, 0)),
    "a bad line more": (lambda _, path: append(path, b"{nothing of use\n"), (1, 0, 0)),
    "shrunk by lines": (lambda _, path: path.write_bytes(b"".join(lines(path)[:9])), (1, 0, 0)),
    "shrunk to nothing": (lambda _, path: path.write_bytes(b""), (1, 0, 0)),
    "shrunk and grown": (lambda _, path: path.write_bytes(b"".join(lines(path)[:9] * 9)), (1, 0, 0)),
    "replaced by another": (
        lambda _, path: replace(path, (DATA / "0.169-tools.jsonl").read_bytes()),
        (1, 0, 0),
    ),
    "replaced by itself": (
        lambda _, path: (shutil.copy2(path, f"{path}.x"), Path(f"{path}.x").replace(path)),
        (0, 0, 0),
    ),
    "another middle of the same size": (rewrite_the_middle, (1, 0, 0)),
    "only touched": (lambda _, path: at(path, 4_000_000_000), (1, 0, 0)),
    "the clock put back": (lambda _, path: at(path, 1_000), (1, 0, 0)),
    "grown while the clock went back": (
        lambda _, path: (append(path, lines(path)[-1]), at(path, 1_000)),
        (1, 0, 0),
    ),
    "archived": (archive, (0, 1, 0)),
    "archived and grown": (lambda world, path: append(archive(world, path), b"{}\n"), (1, 1, 0)),
    "copied to the archive": (
        lambda world, path: (shutil.copy(path, world.path(folder="archived_sessions")), path.unlink()),
        (0, 1, 0),
    ),
    "compressed": (lambda _, path: pack(path), (0, 1, 0)),
    "compressed and archived": (lambda world, path: pack(archive(world, path)), (0, 1, 0)),
    "grown and compressed": (lambda _, path: (append(path, lines(path)[-1]), pack(path)), (1, 1, 0)),
    "unpacked again": (unpack_again, (0, 1, 0)),
    "unpacked beside its compressed form": (resume_packed, (1, 0, 0)),
    "gone": (lambda _, path: path.unlink(), (0, 0, 1)),
    "gone and there again": (vanish_and_come_back, (1, 0, 0)),
    "two files in each other's place": (swap, (2, 0, 0)),
    "a copy in another folder": (
        lambda world, path: shutil.copy(path, world.path(folder="sessions/2026/11/21")),
        (1, 0, 0),
    ),
    "a folder in its place": (lambda _, path: (path.unlink(), path.mkdir()), (0, 0, 1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_after_a_change_the_index_is_as_if_it_were_new(world: World, name: str) -> None:
    path = world.put(MAIN)
    world.put("0.169-tools.jsonl", 9)
    assert counts(world.sync()) == (2, 0, 0)
    change, expected = CHANGES[name]
    change(world, path)
    assert counts(world.sync()) == expected
    assert world.content() == world.fresh_content()
    assert counts(world.sync()) == (0, 0, 0)


def test_what_was_appended_is_all_that_is_read(world: World) -> None:
    path = world.put(MAIN)
    size = world.sync().bytes
    assert size == path.stat().st_size
    more = lines(path)[-3:]
    append(path, b"".join(more) + b'{"half')
    assert world.sync().bytes == sum(map(len, more))
    append(path, b" a line\n")
    assert world.sync().bytes == len(b'{"half a line\n')
    with world.opened() as index:
        assert index.trouble([world.place]).bad_lines == 1


def turn_of(number: int) -> bytes:
    """A whole turn with a command and what it cost, as Codex 0.169 writes one, in short."""
    turn, at = f"01a1f8dc-0000-7000-9000-{number:012x}", f"2026-11-20T12:{number % 60:02}:00.000Z"
    payloads = [
        ("event_msg", {"type": "task_started", "turn_id": turn}),
        ("turn_context", {"turn_id": turn, "model": "gpt-5.5"}),
        (
            "response_item",
            {
                "type": "function_call",
                "call_id": f"call_{number}",
                "name": "exec_command",
                "arguments": json.dumps({"cmd": f"echo {number}"}),
            },
        ),
        (
            "event_msg",
            {
                "type": "item_completed",
                "thread_id": thread_id(1),
                "turn_id": turn,
                "item": {"type": "CommandExecution", "id": f"call_{number}", "command": ["echo"], "exit_code": 0},
            },
        ),
        (
            "token_usage_record",
            {
                "response_id": f"resp_{number}",
                "turn_id": turn,
                "usage": {"input_tokens": number, "output_tokens": 1},
            },
        ),
        ("event_msg", {"type": "task_complete", "turn_id": turn}),
    ]
    return b"".join(
        json.dumps({"timestamp": at, "type": kind, "payload": payload}, separators=(",", ":")).encode() + b"\n"
        for kind, payload in payloads
    )


LATE = {
    "a turn ends again": (
        b'"type":"event_msg","payload":{"type":"turn_aborted","turn_id":"01a1f8dc-0000-7000-9000-%012x"}'
    ),
    "a response is told again": (
        b'"type":"token_usage_record","payload":{"response_id":"resp_%d","turn_id":"t","usage":{"input_tokens":9}}'
    ),
    "a call ends again": (
        b'"type":"event_msg","payload":{"type":"exec_command_end","call_id":"call_%d","exit_code":7,"command":[]}'
    ),
}


@pytest.mark.parametrize("late", LATE)
def test_what_is_long_past_is_known_however_often_the_file_grew(world: World, late: str) -> None:
    path = world.path()
    path.write_bytes(lines(world.put(MAIN, 1))[0])
    for number in range(0, 60, 6):
        append(path, b"".join(map(turn_of, range(number, number + 6))))
        world.sync()
    append(path, b'{"timestamp":"2026-11-20T14:00:00.000Z",%b}\n' % (LATE[late] % 3))
    assert counts(world.sync()) == (1, 0, 0)
    assert world.content() == world.fresh_content()


def saved_size(world: World) -> int:
    connection: Any = apsw.Connection(str(world.index_file))
    with contextlib.closing(connection):
        return connection.execute("SELECT length(saved) FROM reading").fetchall()[0][0]


@pytest.mark.parametrize("shape", ["many turns", "one turn"])
def test_what_reading_goes_on_from_does_not_grow_with_the_file(world: World, shape: str) -> None:
    path = world.path()
    data = [turn_of(number) for number in range(1_000)]
    if shape == "one turn":
        data = [b"".join(turn.splitlines(keepends=True)[2:5]) for turn in data]
        data[0] = turn_of(0)[: turn_of(0).rindex(b'{"timestamp"')] + data[0]
    sizes = list[int]()
    for turns in (data[:300], data[300:]):
        append(path, b"".join(turns))
        world.sync()
        sizes.append(saved_size(world))
    assert sizes[1] < 1.1 * sizes[0]
    assert world.content() == world.fresh_content()


@pytest.mark.parametrize("name", FILES)
def test_reading_in_steps_is_reading_at_once(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    data = (DATA / name).read_bytes()
    path = world.path()
    for end in range(0, len(data), max(1, len(data) // 23)):
        path.write_bytes(data[:end])
        world.sync()
    path.write_bytes(data)
    world.sync()
    assert world.content() == world.fresh_content()


def test_a_response_of_no_turn_is_the_same_whenever_it_was_read(world: World) -> None:
    two, goal = ((DATA / name).read_bytes() for name in ("0.118-two-turns.jsonl", "0.169-goal.jsonl"))
    path = world.path()
    for data in (two, goal[:41_472], goal[41_472:]):  # the last piece names another model
        append(path, data)
        world.sync()
    assert world.content() == world.fresh_content()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_appends_with_syncs_between_give_the_rows_of_one_sync(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    names = data.draw(st.lists(st.sampled_from(FILES), min_size=1, max_size=3))
    whole = b"".join((DATA / name).read_bytes() for name in names)  # also joined, as no Codex writes them
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    path = world.path()
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        append(path, whole[begin:end])
        world.sync()
    assert world.content() == world.fresh_content()


def test_a_response_counts_once_over_forks_and_copies(world: World) -> None:
    world.put(MAIN, 5)
    world.sync()
    alone = world.tokens()
    assert alone > 0
    world.put(MAIN, 6)  # a fork that holds what it was forked from
    world.put(MAIN, 4, folder="archived_sessions")
    world.sync()
    assert world.tokens() == alone
    with world.opened() as index:
        usage = index.usage_of_files()
        counted = [entry.thread_id for entry in index.entries([world.place]) if entry.file in usage]
    assert counted == [thread_id(4)]  # the oldest of them
    world.path(4, folder="archived_sessions").unlink()
    world.sync()
    assert world.tokens() == alone  # what was spent stays spent


def test_totals_that_were_named_after_their_place_count_for_each_thread(world: World) -> None:
    world.put("0.118-two-turns.jsonl", 1)
    world.sync()
    alone = world.tokens()
    assert alone > 0
    world.put("0.118-two-turns.jsonl", 2)
    world.sync()
    assert world.tokens() in (alone, 2 * alone)
    shutil.copy(world.path(1), world.path(1, folder="archived_sessions"))
    before = world.tokens()
    world.sync()
    assert world.tokens() == before


def test_what_is_gone_is_marked_until_it_is_forgotten(world: World) -> None:
    path = world.put(MAIN)
    world.sync()
    path.unlink()
    assert world.sync().gone == 1
    assert world.sync().gone == 0
    with world.opened() as index:
        [entry] = index.entries([world.place])
        assert entry.gone_at_us is not None
        assert index.forget_gone() == 1
        assert index.entries([world.place]) == []
        assert index.usage_of_files() == {}
    assert world.content() == world.fresh_content() == []


def test_a_home_that_is_not_asked_for_is_left_as_it_is(world: World, tmp_path: Path) -> None:
    world.put(MAIN)
    world.sync()
    other = World(tmp_path / "other")
    other.index_file = world.index_file
    other.put("0.169-tools.jsonl")
    assert counts(other.sync()) == (1, 0, 0)
    with world.opened() as index:
        assert len(index.entries([world.place])) == len(index.entries([other.place])) == 1
        assert len(index.entries([world.place, other.place])) == 2


@pytest.mark.parametrize("damage", ["no database", "empty", "a page", "another edition"])
def test_an_index_of_no_use_is_made_anew(world: World, damage: str) -> None:
    for number, name in enumerate(FILES):
        world.put(name, number)
    world.sync()
    before = world.content()
    file = world.index_file
    match damage:
        case "no database":
            file.write_bytes(b"this is no database " * 500)
        case "empty":
            file.write_bytes(b"")
        case "a page":
            data = file.read_bytes()
            for page in range(1, len(data) // 4096):
                data = data[: page * 4096] + b"\xff" * 512 + data[page * 4096 + 512 :]
            file.write_bytes(data)
        case _:
            IndexDatabase.open(file, "CREATE TABLE other (x)", "of another version").close()
    world.sync()
    assert world.content() == before


def test_the_index_is_its_owners_alone_and_holds_no_payloads(world: World) -> None:
    world.put(MAIN)
    world.sync()
    assert {path.stat().st_mode & 0o777 for path in world.index_file.parent.iterdir()} == {0o600}


def test_a_sync_beside_another_one_does_nothing_and_says_so(world: World) -> None:
    world.put(MAIN)
    with world.opened() as index:

        def meanwhile(files: int, size: int) -> None:
            assert (files, size) == (1, world.path().stat().st_size)
            with world.opened() as other:
                assert other.sync([world.place], world.clock, patience_ms=0) == Synced(waited=True)
                assert other.entries([world.place]) == []

        assert index.sync([world.place], world.clock, meanwhile).read == 1
        assert index.sync([world.place], world.clock, patience_ms=0).read == 0


def test_a_damaged_index_says_how_to_mend_it(world: World) -> None:
    world.put(MAIN)
    world.sync()
    with world.opened() as index:
        index.entries([world.place])
        data = world.index_file.read_bytes()
        world.index_file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with world.opened() as index, pytest.raises(DataError, match="--rebuild"):
        index.entries([world.place])


@pytest.mark.parametrize("number", ["9" * 400, str(1 << 64), str(-(1 << 63) - 1)])
@pytest.mark.parametrize(
    "record",
    [
        '"type":"event_msg","payload":{"type":"exec_command_end","call_id":"a","command":["x"],"exit_code":NUMBER}',
        '"ordinal":NUMBER,"type":"event_msg","payload":{"type":"user_message","message":"hi"}',
        '"type":"token_usage_record","payload":{"response_id":"a","turn_id":"b","usage":{"input_tokens":NUMBER}}',
    ],
    ids=["exit code", "ordinal", "tokens"],
)
def test_a_number_that_no_database_holds_is_a_bad_line(world: World, record: str, number: str) -> None:
    path = world.put(MAIN)
    world.put(FILES[0], 2)
    append(path, f'{{"timestamp":"2026-11-20T12:00:00.000Z",{record.replace("NUMBER", number)}}}\n'.encode())
    assert counts(world.sync()) == (2, 0, 0)
    with world.opened() as index:
        [bad] = [entry.summary.bad_lines for entry in index.entries([world.place]) if entry.thread_id == thread_id(1)]
    assert bad == 1


def test_what_fails_while_it_is_written_is_not_passed_over(tmp_path: Path) -> None:
    database = IndexDatabase.open(tmp_path / "index.sqlite", "CREATE TABLE nothing_that_is_written_to (x)", "a test")
    with contextlib.closing(database):
        with pytest.raises(Exception, match="no such table"), Writer(database, 1) as writer:
            writer.put(Rows((), (), (("put_turns", "[]"),), 0))
        assert not database.rows(Query("ask", "A test.", "SELECT * FROM nothing_that_is_written_to"))


def test_every_summary_comes_back_as_it_was_written(world: World) -> None:
    for number, name in enumerate(FILES):
        world.put(name, number)
    world.sync()
    with world.opened() as index:
        for entry in index.entries([world.place]):
            assert entry.summary.path == str(entry.path)
            assert entry.summary.offset == entry.size
            assert msgspec.structs.replace(entry.summary, path="").thread_id == entry.thread_id
