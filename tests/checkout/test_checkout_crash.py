"""Killed while it asks git: the parent is as before or done, and the same call made again finishes it.

Here at some of the steps; `tests/long` takes every one.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.errors import Refused
from support import checkout_crash
from support.checkout_crash import Assassin
from support.checkout_world import GitWorld, git

SOME = 5


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path).build()


@pytest.fixture
def assassin(tmp_path: Path) -> Assassin:
    return Assassin(tmp_path)


@pytest.mark.long
def test_a_killed_prepare_is_made_again(world: GitWorld, assassin: Assassin) -> None:
    checkout_crash.prepares(world, assassin, SOME, goes_on=True)


@pytest.mark.long
def test_a_killed_collect_is_made_again(world: GitWorld, assassin: Assassin) -> None:
    checkout_crash.collects(world, assassin, SOME, goes_on=False)


def test_a_killed_merge_is_finished_by_the_next(world: GitWorld, assassin: Assassin) -> None:
    checkout_crash.merges(world, assassin, SOME, goes_on=False, diverged=True)


@pytest.mark.long
def test_a_killed_drop_is_made_again(world: GitWorld, assassin: Assassin) -> None:
    checkout_crash.drops(world, assassin, SOME, goes_on=True)


def interrupt(world: GitWorld, assassin: Assassin) -> None:
    """A merge that is killed when its files are written and the branch has not moved."""
    world.work({"new.txt": "new\n", "a.txt": "two\n", "src/deep/other.py": "3\n"})
    head = git(world.top, "rev-parse", "HEAD")
    assert assassin.call("merge", 0, goes_on=True, words=".*read-tree -m -u [0-9a-f]")
    assert (world.top / "new.txt").exists()
    assert git(world.top, "rev-parse", "HEAD") == head


HALVES: dict[str, Callable[[Path], object]] = {
    "as killed": Path.exists,
    "half a file": lambda top: (top / "new.txt").write_text("ne"),
    "an old file": lambda top: (top / "a.txt").write_text("one\n"),
    "no file": lambda top: (top / "a.txt").unlink(),
}


@pytest.mark.parametrize("name", HALVES)
def test_files_half_written_are_finished(world: GitWorld, assassin: Assassin, name: str) -> None:
    interrupt(world, assassin)
    HALVES[name](world.top)
    assert world.merge().how == "already"
    assert [(world.top / file).read_text() for file in ("new.txt", "a.txt")] == ["new\n", "two\n"]
    assert git(world.top, "status", "--porcelain") == ""


EDITS = {"a file of the merge": "a.txt", "a new file of the merge": "new.txt", "another file": "src/code.py"}


@pytest.mark.parametrize("name", EDITS)
def test_what_somebody_edited_since_is_not_lost(world: GitWorld, assassin: Assassin, name: str) -> None:
    interrupt(world, assassin)
    (world.top / EDITS[name]).write_text("precious")
    with pytest.raises(Refused, match=f"{EDITS[name]} was edited since"):
        world.merge()
    assert (world.top / EDITS[name]).read_text() == "precious"
