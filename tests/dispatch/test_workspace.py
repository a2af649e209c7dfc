"""Which files changed, seen through the file system and through nobody's words."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.runs import workspace


def before(folder: Path) -> workspace.Snapshot:
    (folder / "kept.txt").write_text("kept")
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "deep" / "old.txt").write_text("old")
    (folder / "link").symlink_to("kept.txt")
    (folder / "ignored.log").write_text("log")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_text("git's own")
    return workspace.snapshot(folder)


def overwrite_unseen(folder: Path) -> None:
    """Same size, and every time that a program can set put back."""
    path = folder / "kept.txt"
    seen = path.stat()
    with path.open("r+b") as file:
        file.write(b"KEPT")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (seen.st_mtime_ns, seen.st_size)


def replace_by_a_twin(folder: Path) -> None:
    path = folder / "kept.txt"
    (folder / "twin").write_bytes(path.read_bytes())
    (folder / "twin").replace(path)


def write_through_a_hard_link(folder: Path) -> None:
    outside = folder.parent / "outside"
    os.link(folder / "kept.txt", outside)
    outside.write_text("from outside")


CHANGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "nothing": (lambda folder: (folder / "kept.txt").read_text(), ()),
    "created": (lambda folder: (folder / "sub" / "new.txt").write_text("new"), ("sub/new.txt",)),
    "created in a new folder": (
        lambda folder: ((folder / "a" / "b").mkdir(parents=True), (folder / "a" / "b" / "c").touch()),
        ("a/b/c",),
    ),
    "empty folder": (lambda folder: (folder / "empty").mkdir(), ()),
    "modified": (lambda folder: (folder / "kept.txt").write_text("other"), ("kept.txt",)),
    "modified with its times put back": (overwrite_unseen, ("kept.txt",)),
    "replaced by a twin": (replace_by_a_twin, ("kept.txt",)),
    "written from outside": (write_through_a_hard_link, ("kept.txt",)),
    "deleted": (lambda folder: (folder / "sub" / "deep" / "old.txt").unlink(), ("sub/deep/old.txt",)),
    "renamed": (lambda folder: (folder / "kept.txt").rename(folder / "moved.txt"), ("kept.txt", "moved.txt")),
    "folder renamed": (
        lambda folder: (folder / "sub").rename(folder / "bus"),
        ("bus/deep/old.txt", "sub/deep/old.txt"),
    ),
    "made executable": (lambda folder: (folder / "kept.txt").chmod(0o755), ("kept.txt",)),
    "link turned": (
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("ignored.log")),
        ("link",),
    ),
    "ignored by git": (lambda folder: (folder / "ignored.log").write_text("more"), ("ignored.log",)),
    "git's own": (lambda folder: (folder / ".git" / "index").write_text("changed"), ()),
    "file named like git's": (lambda folder: (folder / "sub" / ".git").write_text("gitdir: x"), ("sub/.git",)),
    "folder became a file": (
        lambda folder: (
            ((folder / "sub" / "deep" / "old.txt").unlink(), (folder / "sub" / "deep").rmdir())
            and (folder / "sub" / "deep").write_text("x")
        ),
        ("sub/deep", "sub/deep/old.txt"),
    ),
    "pipe": (lambda folder: os.mkfifo(folder / "pipe"), ("pipe",)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_whatever_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "project").mkdir()
    change, expected = CHANGES[name]
    earlier = before(tmp_path / "project")
    change(tmp_path / "project")
    assert workspace.changed(earlier, workspace.snapshot(tmp_path / "project")) == expected


def test_links_are_not_followed_out_of_the_folder_or_round_in_circles(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "out").symlink_to("../outside")
    (tmp_path / "project" / "circle").symlink_to(".")
    assert sorted(workspace.snapshot(tmp_path / "project")) == ["circle", "out"]


def test_a_name_that_is_not_utf8_is_kept_exactly_and_shown_readably(tmp_path: Path) -> None:
    odd, alike = os.fsencode(tmp_path) + b"/caf\xe9.txt", tmp_path / "caf\\xe9.txt"
    alike.write_text("its name shows like the other one's")
    Path(os.fsdecode(odd)).write_text("coffee")
    kept = workspace.decode(workspace.encode(workspace.snapshot(tmp_path)))
    assert len(kept) == 2
    assert workspace.changed(kept, workspace.snapshot(tmp_path)) == ()
    Path(os.fsdecode(odd)).write_text("tea")
    [shown] = workspace.changed(kept, workspace.snapshot(tmp_path))
    assert shown == "caf\\xe9.txt"


def test_a_folder_that_is_not_there_any_more_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert workspace.snapshot(tmp_path / "gone") == {}
    assert workspace.snapshot(tmp_path / "file") == {}


CHURN = """
import os, shutil, sys
from pathlib import Path
folder = Path(sys.argv[1])
print("up", flush=True)
while True:
    (folder / "a").mkdir()
    for n in range(20):
        (folder / "a" / str(n)).touch()
    (folder / "b").touch()
    shutil.rmtree(folder / "a")
    (folder / "a").touch()
    (folder / "a").unlink()
    (folder / "b").unlink()
"""


def test_files_that_come_and_go_meanwhile_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "stays").touch()
    stays = workspace.snapshot(tmp_path)
    seen = set[str]()
    with subprocess.Popen([sys.executable, "-c", CHURN, str(tmp_path)], stdout=subprocess.PIPE) as churn:
        try:
            assert churn.stdout
            assert churn.stdout.readline() == b"up\n"
            for count in itertools.count():  # a machine at its limit may let the other one wait for long
                now = workspace.snapshot(tmp_path)
                assert now["stays"] == stays["stays"]
                seen |= now.keys()
                if count > 300 and seen >= {"b", "a/0", "a/19"}:
                    break
                assert churn.poll() is None, "the other one is gone"
        finally:
            churn.kill()
