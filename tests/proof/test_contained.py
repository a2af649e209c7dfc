"""Paths that a packet names: whatever leads elsewhere is refused, also while somebody swaps things underneath."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from armarius.errors import ArmariusError, DataError, Refused
from armarius.proof.contained import folder_below, read_below, write_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a neighbour whose name begins alike, and links of every kind."""
    repo, evil = tmp_path / "repo", tmp_path / "repo-evil"
    (repo / "a" / "b").mkdir(parents=True)
    evil.mkdir()
    (repo / "a" / "b" / "good.txt").write_text("good")
    (repo / "top.txt").write_text("top")
    (evil / "secret.txt").write_text("secret")
    (repo / "link.txt").symlink_to(evil / "secret.txt")
    (repo / "linked").symlink_to(evil)
    (repo / "a" / "linked").symlink_to(evil)
    (repo / "a" / "b" / "linked").symlink_to("../../../repo-evil")
    (repo / "inner").symlink_to("a")  # even one that stays inside could be turned elsewhere meanwhile
    (repo / "hard.txt").hardlink_to(evil / "secret.txt")
    os.mkfifo(repo / "pipe")
    return repo


@pytest.mark.parametrize("name", ["a/b/good.txt", "./a//b/./good.txt", "{root}/a/b/good.txt", "{root}//a/b/good.txt"])
def test_a_file_below_the_root_is_read(root: Path, name: str) -> None:
    assert read_below(name.format(root=root), root, 100, field="prompt_path") == b"good"


HOSTILE = [
    ("/etc/passwd", "path-outside"),
    ("../repo-evil/secret.txt", "path-outside"),
    ("a/../../repo-evil/secret.txt", "path-outside"),
    ("a/b/../b/good.txt", "path-outside"),
    ("{root}-evil/secret.txt", "path-outside"),
    ("{root}/../repo-evil/secret.txt", "path-outside"),
    ("..", "path-outside"),
    (".", "path-outside"),
    ("{root}", "path-outside"),
    ("link.txt", "path-link"),
    ("linked/secret.txt", "path-link"),
    ("a/linked/secret.txt", "path-link"),
    ("a/b/linked/secret.txt", "path-link"),
    ("inner/b/good.txt", "path-link"),
    ("hard.txt", "path-kind"),
    ("pipe", "path-kind"),
    ("a", "path-kind"),
    ("", "path"),
    (" ", "path"),
    ("a\0b", "path"),
]


@pytest.mark.parametrize(("name", "code"), HOSTILE, ids=[name.replace("\0", "NUL") for name, _ in HOSTILE])
def test_a_path_that_leads_elsewhere_is_refused(root: Path, name: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read_below(name.format(root=root), root, 100, field="prompt_path")
    assert (refused.value.code, refused.value.message.startswith("prompt_path: ")) == (code, True)


@pytest.mark.parametrize(("name", "size"), [("missing.txt", 10), ("a/missing/good.txt", 10), ("a/b/good.txt", 3)])
def test_a_file_that_is_not_there_or_too_large_is_bad_data(root: Path, name: str, size: int) -> None:
    with pytest.raises(DataError):
        read_below(name, root, size, field="prompt_path")


def test_a_file_of_just_the_size_that_is_read_is_read(root: Path) -> None:
    assert read_below("a/b/good.txt", root, 4, field="prompt_path") == b"good"


@pytest.mark.parametrize("name", ["a/b/good.txt", "hard.txt", "pipe", "a/linked/secret.txt", "a/missing/x", "top.txt"])
def test_nothing_stays_open(root: Path, name: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with contextlib.suppress(ArmariusError):
        read_below(name, root, 100, field="prompt_path")
    with contextlib.suppress(ArmariusError):
        write_below(name, root, b"", field="output")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("name", ["linked/new.txt", "a/linked/new.txt", "../repo-evil/new.txt", "link.txt", "top.txt"])
def test_nothing_is_written_through_a_link_or_over_a_file(root: Path, name: str) -> None:
    with pytest.raises(Refused):
        write_below(name, root, b"forged", field="output")
    assert sorted(path.name for path in root.with_name("repo-evil").iterdir()) == ["secret.txt"]
    assert (root.with_name("repo-evil") / "secret.txt").read_text() == "secret"


def test_a_file_is_made_for_its_owner_alone(root: Path) -> None:
    write_below("a/b/new.txt", root, b"made", field="output")
    made = root / "a" / "b" / "new.txt"
    assert (made.read_bytes(), made.stat().st_mode & 0o777) == (b"made", 0o600)


@pytest.mark.parametrize(
    ("name", "good"),
    [(".", True), ("a/b", True), ("linked", False), ("inner", False), ("..", False), ("top.txt", False)],
)
def test_a_folder_is_below_the_root_or_refused(root: Path, name: str, good: bool) -> None:  # noqa: FBT001  # a table
    if good:
        assert folder_below(name, root, field="cwd") == root.joinpath(name)
    else:
        with pytest.raises(ArmariusError):
            folder_below(name, root, field="cwd")


def test_a_folder_that_is_swapped_for_a_link_meanwhile_never_leads_out(root: Path) -> None:
    place, kept = root / "a" / "b", root / "a" / "kept"
    (root.with_name("repo-evil") / "good.txt").write_text("evil")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            place.rename(kept)  # for a moment it is not there, then a link, then again not
            place.symlink_to(root.with_name("repo-evil"))
            place.unlink()
            kept.rename(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set[bytes | str]()
    try:
        while b"good" not in seen or not seen & {"path", "path-link"}:
            try:
                seen.add(read_below("a/b/good.txt", root, 100, field="prompt_path"))
            except ArmariusError as error:
                seen.add(error.code)
    finally:
        over.set()
        swapper.join()
    assert seen <= {b"good", "path", "path-link"}
