"""What a run made comes back whole, and nothing that a hostile agent leaves behind is believed or run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.checkout.blobs import Limits
from armarius.checkout.folder import Reader, walk
from armarius.errors import DataError
from support.checkout_world import RUN, GitWorld, git

Act = Callable[[Path], object]


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    world = GitWorld(tmp_path).build()
    world.write({"crlf.txt": "a\r\nb\r\n", "wide.txt": "w\n", ".gitattributes": "*.txt text eol=crlf\n$Id$ ident\n"})
    git(world.top, "add", "-A")
    git(world.top, "commit", "-q", "-m", "attributes")
    return world


def replace(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)


def write(path: Path, data: str | bytes = "new\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


CHANGES: dict[str, tuple[Act, set[tuple[str, str, str]]]] = {
    "nothing": (lambda tree: os.utime(tree / "a.txt", (1, 1)), set()),
    "the same again": (lambda tree: write(tree / "a.txt", "one\n"), set()),
    "modified": (lambda tree: write(tree / "a.txt"), {("a.txt", "modified", "100644")}),
    "other line ends": (lambda tree: write(tree / "a.txt", "one\r\n"), {("a.txt", "modified", "100644")}),
    "binary": (lambda tree: write(tree / "b", bytes(range(256))), {("b", "added", "100644")}),
    "empty": (lambda tree: write(tree / "b", ""), {("b", "added", "100644")}),
    "new in a new folder": (lambda tree: write(tree / "x/y/z"), {("x/y/z", "added", "100644")}),
    "empty folder": (lambda tree: (tree / "empty").mkdir(), set()),
    "deleted": (lambda tree: (tree / "a.txt").unlink(), {("a.txt", "deleted", "000000")}),
    "folder deleted": (
        lambda tree: shutil.rmtree(tree / "src"),
        {("src/code.py", "deleted", "000000"), ("src/deep/other.py", "deleted", "000000")},
    ),
    "everything deleted": (
        lambda tree: [shutil.rmtree(path) if path.is_dir() else path.unlink() for path in tree.iterdir()],
        {
            (name, "deleted", "000000")
            for name in (
                *("a.txt", "link", "crlf.txt", "wide.txt", ".gitignore", ".gitattributes"),
                *("src/code.py", "src/deep/other.py"),
            )
        },
    ),
    "made executable": (lambda tree: (tree / "a.txt").chmod(0o755), {("a.txt", "modified", "100755")}),
    "made plain": (lambda tree: (tree / "src/code.py").chmod(0o600), {("src/code.py", "modified", "100644")}),
    "link turned": (
        lambda tree: replace(tree / "link", lambda path: path.symlink_to("src")),
        {("link", "modified", "120000")},
    ),
    "link became a file": (lambda tree: replace(tree / "link", write), {("link", "retyped", "100644")}),
    "file became a folder": (
        lambda tree: replace(tree / "a.txt", lambda path: write(path / "in" / "it")),
        {("a.txt", "deleted", "000000"), ("a.txt/in/it", "added", "100644")},
    ),
    "folder became a file": (
        lambda tree: replace(tree / "src", write),
        {
            ("src", "added", "100644"),
            ("src/code.py", "deleted", "000000"),
            ("src/deep/other.py", "deleted", "000000"),
        },
    ),
    "folder became a link": (
        lambda tree: replace(tree / "src", lambda path: path.symlink_to("/etc")),
        {
            ("src", "added", "120000"),
            ("src/code.py", "deleted", "000000"),
            ("src/deep/other.py", "deleted", "000000"),
        },
    ),
    "name that is not UTF-8": (
        lambda tree: write(Path(os.fsdecode(os.fsencode(tree) + b"/\xff\n\x1b[31m"))),
        {("\\xff\n\x1b[31m", "added", "100644")},
    ),
    "names with a meaning elsewhere": (
        lambda tree: [write(tree / name) for name in (":(top)x", "-n", "*", "[a]", '"q"')],
        {(name, "added", "100644") for name in (":(top)x", "-n", "*", "[a]", '"q"')},
    ),
    "a commit of the agent's own": (
        lambda tree: (write(tree / "mine"), git(tree, "add", "-A"), git(tree, "commit", "-q", "-m", "mine")),
        {("mine", "added", "100644")},
    ),
    "staged and then taken away": (
        lambda tree: (write(tree / "mine"), git(tree, "add", "-A"), (tree / "mine").unlink()),
        set(),
    ),
    "a git of the agent's told to look away": (
        lambda tree: (
            git(tree, "update-index", "--assume-unchanged", "a.txt"),
            write(tree / ".git/info/exclude", "*\n"),
            write(tree / "a.txt"),
            write(tree / "b"),
        ),
        {("a.txt", "modified", "100644"), ("b", "added", "100644")},
    ),
    "gits own folder gone": (
        lambda tree: (shutil.rmtree(tree / ".git"), write(tree / "b")),
        {("b", "added", "100644")},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_comes_back_whatever_it_is(world: GitWorld, name: str) -> None:
    act, expected = CHANGES[name]
    made = world.prepare()
    act(made.tree)
    done = world.collect(made)
    assert {(change.path, change.status, change.mode) for change in done.changes} == expected
    assert done.left_out == ()
    assert (done.commit is None) == (not expected) == (done.tree_before == done.tree_after)
    assert done.tree_before == git(world.top, "rev-parse", f"{made.base}^{{tree}}")
    if done.commit:
        assert git(world.top, "rev-parse", f"{done.ref}^{{tree}}") == done.tree_after
        assert git(world.top, "log", "-1", "--format=%an|%cn|%P|%s|%aI", done.commit) == (
            f"Armarius {RUN}|Armarius {RUN}|{made.base}|What it was for|2026-11-20T12:09:36+00:00"
        )
    git(world.top, "fsck", "--strict")


def test_collecting_again_says_the_same_and_follows_later_changes(world: GitWorld) -> None:
    made = world.prepare()
    write(made.tree / "b")
    first = world.collect(made)
    world.clock.advance(60_000_000)
    assert world.collect(made) == first
    write(made.tree / "c")
    second = world.collect(made)
    assert second.commit != first.commit
    assert git(world.top, "rev-parse", str(second.ref)) == second.commit
    (made.tree / "b").unlink()
    (made.tree / "c").unlink()
    assert world.collect(made).ref is None
    assert "runs" not in git(world.top, "for-each-ref")


def test_ignored_files_are_listed_and_not_committed(world: GitWorld) -> None:
    made = world.prepare()
    write(made.tree / "x.log")
    write(made.tree / "src" / "y.log")
    write(made.tree / "cache" / "deep" / "z.log")
    write(made.tree / "sub" / ".gitignore", "*\n!kept\n!.gitignore\n")
    write(made.tree / "sub" / "kept")
    write(made.tree / "sub" / "gone")
    write(made.tree / "all" / ".gitignore", "*\n")
    (made.tree / "a.txt").unlink()
    write(made.tree / ".gitignore", "*.log\na.txt\n")
    done = world.collect(made)
    assert done.ignored == ("all/", "cache/", "src/y.log", "sub/gone", "x.log")
    assert done.ignored_count == 5
    assert {change.path for change in done.changes} == {".gitignore", "a.txt", "sub/.gitignore", "sub/kept"}


def test_changes_outside_the_scope_and_links_out_of_it_are_named(world: GitWorld) -> None:
    made = world.prepare()
    write(made.tree / "src" / "fine")
    write(made.tree / "a.txt")
    (made.tree / "src" / "up").symlink_to("../../../outside")
    (made.tree / "src" / "root").symlink_to("/etc/passwd")
    (made.tree / "src" / "round").symlink_to("round")
    (made.tree / "src" / "near").symlink_to("../a.txt")
    done = world.collect(made, scope=["src/**"])
    assert done.leading_out == ("src/root", "src/up")
    assert done.outside == ("a.txt", "src/root", "src/up")
    assert world.collect(made).outside == ()
    assert git(world.top, "cat-file", "blob", f"{done.ref}:src/root") == "/etc/passwd"
    with pytest.raises(DataError):
        world.collect(made, scope=["../x"])


EVIL = "touch {pwned}; cat"


def evil_config(tree: Path, pwned: Path) -> None:
    command = EVIL.format(pwned=pwned)
    keys = (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.alternateRefsCommand"),
        *("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "merge.evil.driver"),
        *("uploadpack.packObjectsHook", "gpg.program", "credential.helper", "include.path", "core.gitProxy"),
    )
    for key in keys:
        git(tree, "config", key, command)
    git(tree, "config", "core.worktree", "/")
    write(tree / ".gitattributes", "* filter=evil diff=evil merge=evil text\n")


def evil_hooks(tree: Path, pwned: Path) -> None:
    for hook in ("pre-commit", "post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        write(tree / ".git" / "hooks" / hook, f"#!/bin/sh\n{EVIL.format(pwned=pwned)}\n")
        (tree / ".git" / "hooks" / hook).chmod(0o755)
    git(tree, "config", "core.hooksPath", ".git/hooks")


def evil_git_file(tree: Path, pwned: Path) -> None:
    other = tree / "other"
    git(tree, "init", "-q", "--bare", str(other))
    write(other / "hooks" / "post-checkout", EVIL.format(pwned=pwned))
    shutil.rmtree(tree / ".git")
    (tree / ".git").write_text(f"gitdir: {other}\n")


def evil_alternates(tree: Path, pwned: Path) -> None:
    write(tree / ".git" / "objects" / "info" / "alternates", f"{pwned.parent}/secret/.git/objects\n/dev/zero\n")
    write(tree / ".git" / "index", "DIRC broken")
    write(tree / ".git" / "HEAD", "ref: refs/../../../x\n")


HOSTILE_GITS = [evil_config, evil_hooks, evil_git_file, evil_alternates]


@pytest.mark.parametrize("tamper", HOSTILE_GITS, ids=lambda tamper: tamper.__name__)
def test_a_checkouts_own_git_is_never_believed(
    world: GitWorld, tmp_path: Path, tamper: Callable[[Path, Path], None]
) -> None:
    made = world.prepare()
    tamper(made.tree, tmp_path / "pwned")
    write(made.tree / "b", "honest\n")
    (tmp_path / "pwned").unlink(missing_ok=True)  # the tampering itself may have run it
    done = world.collect(made)
    assert git(world.top, "show", f"{done.ref}:b") == "honest"
    world.merge()
    world.drop()
    assert (world.top / "b").read_text() == "honest\n"
    assert not (tmp_path / "pwned").exists()
    assert not world.folder.exists()


HOSTILE_FILES: dict[str, tuple[Act, dict[str, str]]] = {
    "pipes where rules are read": (
        lambda tree: [replace(tree / name, os.mkfifo) for name in (".gitignore", ".gitattributes")],
        {".gitignore": "neither a file nor a link", ".gitattributes": "neither a file nor a link"},
    ),
    "a pipe for a file": (
        lambda tree: replace(tree / "a.txt", os.mkfifo),
        {"a.txt": "neither a file nor a link"},
    ),
    "a repository inside": (
        lambda tree: ((tree / "in").mkdir(), git(tree / "in", "init", "-q"), write(tree / "in" / "f")),
        {"in/.git": "a name that git keeps for itself"},
    ),
    "a gitlink to outside": (
        lambda tree: write(tree / "in" / ".git", "gitdir: /etc/.git\n"),
        {"in/.git": "a name that git keeps for itself"},
    ),
    "names that another system takes for git's": (
        lambda tree: [write(tree / name / "config") for name in (".GIT", "git~1", ".g\u200cit", ".git. ")],
        dict.fromkeys((".GIT", "git~1", ".g\\u200cit", ".git. "), "a name that git keeps for itself"),
    ),
    "a link for git's list of submodules": (
        lambda tree: (tree / ".gitmodules").symlink_to("/etc/passwd"),
        {".gitmodules": "a link that git does not take"},
    ),
    "a large file": (
        lambda tree: os.truncate((write(tree / "huge"), tree / "huge")[1], 5 << 40),
        {"huge": f"too large: {5 << 40:,} bytes, at most 1,000,000"},
    ),
    "too much together": (
        lambda tree: [write(tree / name, name * 900_000) for name in "123"],
        {"3": "too much together: more than 2,000,000 bytes"},
    ),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_what_cannot_be_taken_over_is_named_and_the_rest_comes_back(world: GitWorld, name: str) -> None:
    act, expected = HOSTILE_FILES[name]
    made = world.prepare()
    act(made.tree)
    write(made.tree / "b")
    done = world.collect(made, limits=Limits(file=1_000_000, together=2_000_000))
    assert {left.path.replace("\u200c", "\\u200c"): left.reason for left in done.left_out} == expected
    taken = {change.path for change in done.changes}
    assert "b" in taken
    assert not taken & set(expected)
    git(world.top, "fsck", "--strict")
    world.drop()
    assert not world.folder.exists()


def test_an_object_that_git_calls_dangerous_does_not_reach_the_parent(world: GitWorld) -> None:
    made = world.prepare()
    write(made.tree / ".gitmodules", '[submodule "m"]\n\tpath = -x\n\turl = -u./payload\n')
    with pytest.raises(DataError, match="does not take"):
        world.collect(made)
    assert "runs" not in git(world.top, "for-each-ref")


def test_a_checkout_that_was_swapped_for_a_link_is_refused(world: GitWorld, tmp_path: Path) -> None:
    made = world.prepare()
    write(tmp_path / "secret" / "key", "secret")
    made.tree.rename(tmp_path / "moved")
    made.tree.symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="moved or replaced"):
        world.collect(made)
    world.drop()
    assert (tmp_path / "secret" / "key").exists()


def test_a_link_put_there_between_looking_and_reading_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret" / "key", "secret")
    write(tmp_path / "tree" / "src" / "deep" / "key", "mine")
    write(tmp_path / "tree" / "src" / "top", "mine")
    assert set(walk(tmp_path / "tree").files) == {"src/deep/key", "src/top"}
    replace(tmp_path / "tree" / "src" / "deep", lambda path: path.symlink_to(tmp_path / "secret"))
    replace(tmp_path / "tree" / "src" / "top", lambda path: path.symlink_to(tmp_path / "secret" / "key"))
    with Reader(tmp_path / "tree") as reader:
        for path in ("src/deep/key", "src/top"):
            with pytest.raises(OSError, match=path.rpartition("/")[2] if path == "src/top" else "deep"):
                reader.open(path)


def test_a_file_under_a_filter_is_named_because_the_filter_is_not_run(world: GitWorld) -> None:
    made = world.prepare()
    write(made.tree / ".gitattributes", "*.big filter=lfs\n")
    write(made.tree / "x.big")
    write(made.tree / "x.small")
    assert world.collect(made).unfiltered == ("x.big",)


def test_a_folder_deeper_than_any_path_is_named_and_removed(world: GitWorld) -> None:
    made = world.prepare()
    here = os.open(made.tree, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (made.tree / "src").chmod(0)
    done = world.collect(made)
    assert any(left.reason == "too deep" for left in done.left_out)
    world.drop()
    assert not any(world.folder.parent.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named_and_counts_as_unchanged(world: GitWorld) -> None:
    made = world.prepare()
    (made.tree / "a.txt").chmod(0)
    (made.tree / "src").chmod(0)
    done = world.collect(made)
    assert {left.path for left in done.left_out} == {"a.txt", "src"}
    assert done.changes == ()
