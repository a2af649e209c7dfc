"""A run's work is merged whole or not at all, kept, or dropped."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.checkout.prepare import run_ref
from armarius.errors import ArmariusError, Refused
from support.checkout_world import RUN, GitWorld, git


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path).build()


def test_strategies(world: GitWorld) -> None:
    world.work({"n1": "1"}, "one")
    world.work({"n2": "2"}, "two")
    world.work({"n3": "3"}, "three")
    assert world.merge("one", strategy="ff").how == "fast-forward"
    with pytest.raises(Refused, match="moved on"):
        world.merge("two", strategy="ff")
    done = world.merge("two", message="Because\n\nof that")
    assert done.how == "merge"
    assert git(world.top, "log", "-1", "--format=%P|%an|%B") == (
        f"{done.before} {git(world.top, 'rev-parse', run_ref('two'))}|Armarius two|Because\n\nof that\n"
    )
    assert world.merge("two").how == "already"
    git(world.top, "checkout", "-q", "-b", "other", "HEAD~2")
    world.drop("three")
    world.work({"n4": "4"}, "four")
    assert world.merge("four", strategy="merge").how == "merge"
    assert git(world.top, "status", "--porcelain") == ""


def test_into_a_branch_leaves_the_working_tree_alone(world: GitWorld) -> None:
    git(world.top, "branch", "other")
    world.work({"a.txt": "theirs\n"})
    world.write({"a.txt": "dirty\n"})
    before = world.state(refs=False)
    done = world.merge(into="other")
    assert (done.branch, done.how) == ("refs/heads/other", "fast-forward")
    assert git(world.top, "show", "other:a.txt") == "theirs"
    assert world.state(refs=False) == before
    git(world.top, "worktree", "add", "-q", "../second", "other")
    world.work({"b": "b"}, "second", base="HEAD")
    with pytest.raises(Refused, match="another working tree"):
        world.merge("second", into="other")


def conflict(world: GitWorld) -> None:
    world.write({"a.txt": "ours\n", "src/code.py": "ours\n"})
    world.commit()


UNFIT: dict[str, tuple[Callable[[GitWorld], object], str]] = {
    "conflict": (conflict, r"conflicts in a\.txt, src/code\.py"),
    "changed": (lambda world: world.write({"link2": ""}) or world.write({"src/deep/other.py": "x"}), "has changes"),
    "untracked in the way": (lambda world: world.write({"fresh": "mine"}), "fresh"),
    "ignored in the way": (lambda world: world.write({"new.log": "mine"}), r"new\.log"),
    "ignored folder in the way": (lambda world: world.write({"new.log/kept": "mine"}), r"new\.log/kept"),
    "ignored file for a folder": (lambda world: world.write({"dir": "mine"}), "dir would be"),
    "in a merge": (lambda world: (world.top / ".git" / "MERGE_HEAD").write_text("0" * 40), "MERGE_HEAD"),
    "another git": (lambda world: (world.top / ".git" / "index.lock").touch(), "another git is at work"),
    "dropped": (lambda world: world.drop(), "no work"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_stands_in_the_way_is_refused_and_nothing_has_changed(world: GitWorld, name: str) -> None:
    spoil, reason = UNFIT[name]
    world.work(
        {".gitignore": "", "a.txt": "theirs\n", "src/code.py": "theirs\n", "fresh": "f", "new.log": "l", "dir/x": "x"}
    )
    spoil(world)
    before = {key: value for key, value in world.state().items() if key != "status"}
    with pytest.raises(ArmariusError, match=reason):
        world.merge()
    assert {key: value for key, value in world.state().items() if key != "status"} == before


def test_a_branch_that_is_not_there_is_refused(world: GitWorld) -> None:
    world.work({"n": "n"})
    for into in ("none", "-x", "../main", "HEAD"):
        with pytest.raises(ArmariusError):
            world.merge(into=into)


def test_keep_keeps_the_work_and_drop_only_what_was_merged(world: GitWorld) -> None:
    commit = world.work({"n": "n"}).commit
    assert world.keep() == commit == world.keep()
    assert not world.folder.exists()
    assert git(world.top, "for-each-ref", "--format=%(refname)").split() == [run_ref(RUN), "refs/heads/main"]
    git(world.top, "gc", "-q", "--prune=now")
    world.merge()
    world.drop()
    world.drop()
    assert (world.top / "n").read_text() == "n"
    assert git(world.top, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert world.keep("unknown") is None


def test_files_and_folders_change_places(world: GitWorld) -> None:
    made = world.prepare()
    (made.tree / "a.txt").unlink()
    world.write({"a.txt/in": "in"}, below=made.tree)
    shutil.rmtree(made.tree / "src")
    world.write({"src": "a file"}, below=made.tree)
    world.collect(made)
    world.merge()
    assert (world.top / "src").read_text() == "a file"
    assert (world.top / "a.txt" / "in").read_text() == "in"
    assert git(world.top, "status", "--porcelain") == ""


def test_line_ends_and_modes_of_the_working_tree_are_its_owners(world: GitWorld) -> None:
    world.write({".gitattributes": "*.txt text eol=crlf\n"})
    world.commit()
    world.work({"b.txt": "x\ny\n", "run.sh": "#!\n"})
    world.merge()
    assert (world.top / "b.txt").read_bytes() == b"x\r\ny\r\n"
    assert git(world.top, "status", "--porcelain") == ""
