"""Following a thread: what is news, wherever its file goes."""

import shutil
from pathlib import Path

import pytest
import zstandard

from armarius.rollouts.reader import read_rollout
from armarius.sessions.follow import Follower, News
from armarius.sessions.names import Named
from armarius.thread import Command, ItemStatus

DATA = Path(__file__).parents[1] / "data" / "rollouts" / "0.169-tools.jsonl"
LINES = DATA.read_bytes().splitlines(keepends=True)
THREAD = "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
NAME = f"rollout-2026-11-20T12-09-36-{THREAD}.jsonl"


def every(path: Path) -> list[str]:
    return [item.id for turn in read_rollout(path).turns for item in turn.items]


def ids(news: list[News]) -> list[str]:
    return [each.item.id for each in news]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A session file that stands where a command has begun and not ended."""
    path = tmp_path / "sessions" / NAME
    path.parent.mkdir()
    for count in range(1, len(LINES)):
        path.write_bytes(b"".join(LINES[:count]))
        items = [item for turn in read_rollout(path).turns for item in turn.items]
        if any(isinstance(item, Command) and item.status is ItemStatus.IN_PROGRESS for item in items):
            return path
    raise AssertionError


def finish(path: Path) -> None:
    path.write_bytes(b"".join(LINES))


def follow(path: Path, found: list[Named], last: int = 100) -> Follower:
    return Follower(Named(THREAD, path), last, lambda: found[0] if found else None)


def test_a_command_is_news_when_it_begins_and_when_it_ends(begun: Path) -> None:
    follower = follow(begun, [])
    first = follower.last()
    running = first[-1].item
    assert isinstance(running, Command)
    assert (running.status, follower.next()) == (ItemStatus.IN_PROGRESS, [])

    with begun.open("ab") as stream:
        stream.write(b"".join(LINES[len(begun.read_bytes().splitlines()) :]))
    after = follower.next()
    ended = after[0].item
    assert isinstance(ended, Command)
    assert (ended.id, ended.exit_code) == (running.id, 3)
    assert ids(first) + ids(after)[1:] == every(DATA)
    assert follower.next() == []


def test_only_the_last_items_are_told_at_first_and_none_of_them_again(begun: Path) -> None:
    finish(begun)
    follower = follow(begun, [], last=2)
    assert ids(follower.last()) == every(DATA)[-2:]
    with begun.open("ab") as stream:
        stream.write(LINES[-1])
    assert follower.next() == []
    assert follow(begun, [], last=0).last() == []


@pytest.mark.parametrize("how", ["archived", "compressed", "archived and compressed", "rewritten", "shrunk"])
def test_a_file_that_goes_elsewhere_is_followed_there(begun: Path, tmp_path: Path, how: str) -> None:
    found = list[Named]()
    follower = follow(begun, found)
    first = follower.last()

    place = begun
    if "archived" in how:
        place = tmp_path / "archived_sessions" / NAME
        place.parent.mkdir()
        shutil.move(begun, place)
    if how == "shrunk":
        begun.write_bytes(b"".join(LINES[:2]))
        follower.next()
    other = place.with_name("other")
    other.write_bytes(DATA.read_bytes())
    other.replace(place)
    if "compressed" in how:
        packed = place.with_name(place.name + ".zst")
        packed.write_bytes(zstandard.ZstdCompressor().compress(place.read_bytes()))
        place.unlink()
        place = packed
    found.append(Named(THREAD, place))

    assert ids(first)[:-1] + ids(follower.next()) == every(DATA)
    assert follower.next() == []


def test_a_file_that_is_nowhere_is_said_to_be_and_may_come_back(begun: Path) -> None:
    follower = follow(begun, [])
    first = follower.last()
    begun.unlink()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            follower.next()
    finish(begun)
    assert ids(first)[:-1] + ids(follower.next()) == every(DATA)
