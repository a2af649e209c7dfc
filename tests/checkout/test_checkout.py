"""A checkout for every run: of odd repositories, of work that is not committed, sixteen at once."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from armarius.checkout.prepare import base_ref, load, run_ref
from armarius.errors import ArmariusError, DataError, Refused
from support.checkout_world import RUN, GitWorld, git

ODD = os.fsdecode(b"caf\xe9 \n 'x\" $(touch pwned)")


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path).build()


def shallow(world: GitWorld) -> None:
    for number in range(3):
        world.write({"a.txt": str(number)})
        world.commit()
    origin = world.top.rename(world.top.with_name("origin"))
    git(origin.parent, "clone", "-q", "--depth=2", origin.as_uri(), str(world.top))


def bare(world: GitWorld) -> None:
    git(world.top.parent, "clone", "-q", "--bare", str(world.top), "bare.git")
    world.top = world.top.parent / "bare.git"


def linked_worktree(world: GitWorld) -> None:
    git(world.top, "worktree", "add", "-q", "-b", "side", "../linked")
    world.top = world.top.parent / "linked"


def worktree_of_bare(world: GitWorld) -> None:
    bare(world)
    linked_worktree(world)


def sparse(world: GitWorld) -> None:
    git(world.top, "sparse-checkout", "set", "src/deep")


def alternates_of_its_own(world: GitWorld) -> None:
    git(world.top.parent, "clone", "-q", "--shared", str(world.top), "second")
    world.top = world.top.parent / "second"


def detached(world: GitWorld) -> None:
    git(world.top, "checkout", "-q", "--detach")


def split_index(world: GitWorld) -> None:
    git(world.top, "update-index", "--split-index")


def sha256(world: GitWorld) -> None:
    shutil.rmtree(world.top)
    world.build("--object-format=sha256")


def odd_names(world: GitWorld) -> None:
    world.top = world.top.rename(world.top.with_name(ODD))
    world.write({f"{ODD}/{ODD}": "odd\n", "-rf": "dash\n", ":(top)x": "magic\n"})
    world.commit()


def packed(world: GitWorld) -> None:
    git(world.top, "tag", "-a", "v1", "-m", "v1")
    git(world.top, "gc", "-q")


ODD_REPOSITORIES: list[Callable[[GitWorld], None]] = [
    *(shallow, bare, linked_worktree, worktree_of_bare, sparse, alternates_of_its_own),
    *(detached, split_index, sha256, odd_names, packed),
]


@pytest.mark.parametrize("make", ODD_REPOSITORIES, ids=lambda make: make.__name__)
def test_work_in_a_checkout_of_any_repository_comes_back(world: GitWorld, make: Callable[[GitWorld], None]) -> None:
    make(world)
    made = world.prepare()
    assert git(made.tree, "status", "--porcelain") == ""
    assert git(made.tree, "rev-parse", "HEAD") == git(world.top, "rev-parse", "HEAD") == made.base
    world.write({"src/deep/other.py": "new\n", f"{ODD}.txt": "odd"}, below=made.tree)
    done = world.collect(made)
    shown = os.fsencode(f"{ODD}.txt").decode(errors="backslashreplace")
    assert {change.path for change in done.changes} == {"src/deep/other.py", shown}
    assert git(world.top, "show", f"{done.ref}:src/deep/other.py") == "new"
    where = (
        {} if made.base == git(world.top, "rev-parse", "HEAD") and (world.top / "src").exists() else {"into": "main"}
    )
    world.merge(**where)
    assert git(world.top, "show", f"{where.get('into', 'HEAD')}:src/deep/other.py") == "new"
    if not where:
        assert git(world.top, "status", "--porcelain") == ""
    world.drop()
    git(world.top, "fsck", "--strict")
    assert "armarius" not in git(world.top, "for-each-ref")
    assert not any(world.folder.parent.iterdir())
    assert not list(world.top.parent.rglob("pwned"))


def test_a_checkout_leaves_the_parent_as_it_was_and_knows_its_branches(world: GitWorld) -> None:
    git(world.top, "tag", "v1")
    before = world.state()
    made = world.prepare()
    assert git(made.tree, "describe", "--tags") == "v1"
    assert git(made.tree, "rev-parse", "origin/main") == made.base
    assert git(made.tree, "remote") == ""
    git(world.top, "update-ref", "-d", base_ref(RUN))
    assert world.state() == before


def test_the_same_call_gives_the_same_checkout_and_another_folder_is_left_alone(
    world: GitWorld, tmp_path: Path
) -> None:
    made = world.prepare()
    world.write({"a.txt": "begun"}, below=made.tree)
    assert world.prepare() == made == load(world.folder)
    assert (made.tree / "a.txt").read_text() == "begun"
    world.write({"mine.txt": "mine"}, below=tmp_path / "runs" / "other")
    with pytest.raises(Refused, match="not empty"):
        world.prepare("other")
    with pytest.raises(Refused, match="no checkout"):
        world.drop("other")
    assert (tmp_path / "runs" / "other" / "mine.txt").exists()


def test_a_run_stands_where_its_caller_stood(world: GitWorld) -> None:
    from_below = world.repo(world.top / "src" / "deep")
    assert from_below.prefix == "src/deep"
    world.repo = lambda *_, **__: from_below  # type: ignore[method-assign]
    made = world.prepare()
    assert Path(made.cwd) == made.tree / "src" / "deep"
    assert (Path(made.cwd) / "other.py").exists()


def test_a_commit_that_links_the_callers_folder_outside_is_refused(world: GitWorld, tmp_path: Path) -> None:
    shutil.rmtree(world.top / "src")
    (world.top / "src").symlink_to(tmp_path)
    world.commit()
    git(world.top, "branch", "evil")
    git(world.top, "reset", "-q", "--hard", "HEAD~")
    from_below = world.repo(world.top / "src")
    world.repo = lambda *_, **__: from_below  # type: ignore[method-assign]
    with pytest.raises(Refused, match="leads out"):
        world.prepare(base="evil")


UNFIT: dict[str, tuple[Callable[[GitWorld], object], str]] = {
    "no commit": (lambda world: (shutil.rmtree(world.top / ".git"), git(world.top, "init", "-q")), "no commit yet"),
    "no repository": (lambda world: shutil.rmtree(world.top / ".git"), "no repository"),
    "no folder": (lambda world: shutil.rmtree(world.top), "no folder"),
    "changed": (lambda world: world.write({"a.txt": "two"}), "a.txt has changes"),
    "staged": (lambda world: (world.write({"n": "n"}), git(world.top, "add", "n")), "n has changes"),
    "deleted": (lambda world: (world.top / "a.txt").unlink(), "a.txt has changes"),
    "mode": (lambda world: (world.top / "a.txt").chmod(0o755), "a.txt has changes"),
    "broken HEAD": (lambda world: (world.top / ".git" / "HEAD").write_text("ref: refs/heads/none\n"), "no commit yet"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_repository_that_is_not_fit_is_refused_with_the_reason(world: GitWorld, name: str) -> None:
    change, reason = UNFIT[name]
    change(world)
    with pytest.raises(ArmariusError, match=reason):
        world.prepare()


@pytest.mark.parametrize("base", ["nothing", "--help", "-x", "main:a.txt", "a\0b", ""])
def test_a_base_that_is_no_commit_is_refused(world: GitWorld, base: str) -> None:
    with pytest.raises(ArmariusError):
        world.prepare(base=base)
    assert "armarius" not in git(world.top, "for-each-ref")


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "a.lock", "-x", "a b", "a\n", "x" * 200])
def test_a_run_id_that_could_be_a_path_is_refused(run_id: str) -> None:
    with pytest.raises(DataError, match="run id"):
        run_ref(run_id)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_repository_is_refused_unless_allowed(world: GitWorld) -> None:
    for path in (world.top, *world.top.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    with pytest.raises(Refused, match="belongs to user 65534"):
        world.repo()
    allowed = world.repo(foreign=True)
    world.repo = lambda *_, **__: allowed  # type: ignore[method-assign]
    assert world.work({"n.txt": "n"}).commit


def test_work_that_is_not_committed_is_captured_and_stays_untouched(world: GitWorld) -> None:
    head = git(world.top, "rev-parse", "HEAD")
    world.write({"a.txt": "two", "staged": "s", "free.txt": "f", "x.log": "ignored"})
    git(world.top, "add", "staged")
    (world.top / "src" / "code.py").unlink()
    (world.top / "loose").symlink_to("/etc/passwd")
    os.mkfifo(world.top / "pipe")
    world.write({"nested/file": "n"})
    git(world.top / "nested", "init", "-q")
    git(world.top / "nested", "commit", "-q", "--allow-empty", "-m", "x")
    before = {**world.state(refs=False)} if not (world.top / "pipe").unlink() else {}
    os.mkfifo(world.top / "pipe")
    made = world.prepare(dirty="capture", untracked="copy")
    assert made.head == head != made.base
    assert {left.path: left.reason for left in made.left_out} == {"nested/": "a repository of its own"}
    assert sorted(path.name for path in made.tree.iterdir()) == sorted(
        [".git", ".gitignore", "a.txt", "free.txt", "link", "loose", "src", "staged"]
    )
    assert (made.tree / "loose").readlink() == Path("/etc/passwd")
    assert not (made.tree / "src" / "code.py").exists()
    (world.top / "pipe").unlink()
    assert world.state(refs=False) == before
    world.write({"new.txt": "n"}, below=made.tree)
    assert [change.path for change in world.collect(made).changes] == ["new.txt"]
    git(world.top, "stash", "-q", "--include-untracked")
    git(world.top, "gc", "-q", "--prune=now")
    assert git(world.top, "cat-file", "-t", made.base) == "commit"
    git(world.top, "fsck", "--strict")


def test_captured_work_merges_with_its_owners_own_commit(world: GitWorld) -> None:
    world.write({"a.txt": "two\n"})
    world.work({"new.txt": "n"}, dirty="capture")
    with pytest.raises(Refused, match=r"a\.txt has changes"):
        world.merge()
    world.commit("the owner's words")
    assert world.merge().how == "merge"
    assert (world.top / "a.txt").read_text() == "two\n"
    assert (world.top / "new.txt").read_text() == "n"


def test_untracked_files_are_a_reason_only_when_asked_and_size_is_bounded(world: GitWorld) -> None:
    world.write({"free.txt": "f"})
    assert not (world.prepare("one").tree / "free.txt").exists()
    with pytest.raises(Refused, match=r"free\.txt is not under version control"):
        world.prepare("two", untracked="refuse")
    with (world.top / "huge").open("wb") as file:
        file.truncate(60 << 20)
    made = world.prepare("three", untracked="copy")
    assert [left.path for left in made.left_out] == ["huge"]
    assert (made.tree / "free.txt").exists()


def test_a_file_under_a_filter_is_not_captured_and_the_filter_not_run(world: GitWorld, tmp_path: Path) -> None:
    world.write({".gitattributes": "*.big filter=evil\n", "x.big": "one"})
    world.commit()
    for kind in ("clean", "smudge", "process"):
        git(world.top, "config", f"filter.evil.{kind}", f"touch {tmp_path}/pwned; cat")
    world.write({"x.big": "two"})
    with pytest.raises(Refused, match="filter 'evil'"):
        world.prepare(dirty="capture")
    assert (world.prepare("named", base="HEAD").tree / "x.big").read_text() == "one"
    assert not (tmp_path / "pwned").exists()


def test_nothing_that_the_parent_configures_is_run(world: GitWorld, tmp_path: Path) -> None:
    evil = f"touch {tmp_path}/pwned"
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit", "post-merge"):
        path = world.top / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{evil}\n")
        path.chmod(0o755)
    keys = (
        "core.fsmonitor",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.editor",
        "core.pager",
        "gpg.program",
    )
    for home in ("--global", "--local"):
        for key in keys:
            (tmp_path / "own-home").mkdir(exist_ok=True)
            git(world.top, "config", home, key, evil)
        git(world.top, "config", home, "merge.evil.driver", evil)
        git(world.top, "config", home, "diff.external", evil)
        git(world.top, "config", home, "commit.gpgSign", "true")
        git(world.top, "config", home, "url.ext::sh.insteadOf", "nowhere")
    (world.top / ".git" / "info").mkdir(exist_ok=True)
    (world.top / ".git" / "info" / "attributes").write_text("* merge=evil diff=evil\n")
    (tmp_path / "pwned").unlink(missing_ok=True)
    world.work({"a.txt": "theirs\n"})
    world.work({"new.txt": "n\n"}, "second")
    assert (world.merge().how, world.merge("second").how) == ("fast-forward", "merge")
    world.keep()
    world.drop("second")
    assert not (tmp_path / "pwned").exists()


def with_submodules(world: GitWorld) -> None:
    inner = GitWorld(world.top.parent / "inner").build()
    middle = GitWorld(world.top.parent / "middle").build()
    git(middle.top, "submodule", "--quiet", "add", str(inner.top), "inner")
    middle.commit()
    git(world.top, "submodule", "--quiet", "add", str(middle.top), "mods/one")
    git(world.top, "submodule", "--quiet", "add", str(inner.top), "mods/two")
    world.commit()
    git(world.top, "submodule", "--quiet", "update", "--init", "--recursive")


def test_submodules_come_from_what_the_parent_has(world: GitWorld) -> None:
    with_submodules(world)
    made = world.prepare()
    assert [(module.path, module.state) for module in made.submodules] == [
        ("mods/one", "ready"),
        ("mods/one/inner", "ready"),
        ("mods/two", "ready"),
    ]
    assert (made.tree / "mods/one/inner/src/deep/other.py").read_text() == "2\n"
    world.write({"mods/one/inner/a.txt": "lost", "mods/two/fresh": "lost", "kept": "k"}, below=made.tree)
    (made.tree / "mods/one/a.txt").unlink()
    done = world.collect(made)
    assert [change.path for change in done.changes] == ["kept"]
    assert [left.path for left in done.left_out] == ["mods/one/a.txt", "mods/one/inner/a.txt", "mods/two/fresh"]


def test_a_submodule_that_is_not_there_is_named_or_refused(world: GitWorld) -> None:
    with_submodules(world)
    git(world.top, "submodule", "--quiet", "deinit", "--all", "--force")
    shutil.rmtree(world.top / ".git" / "modules")
    made = world.prepare()
    assert {(module.path, module.state, module.reason) for module in made.submodules} == {
        ("mods/one", "skipped", "not initialised in the parent"),
        ("mods/two", "skipped", "not initialised in the parent"),
    }
    assert world.collect(made).changes == ()
    with pytest.raises(Refused, match="submodule mods/one"):
        world.prepare("strict", submodules="refuse")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ('[submodule "../../../outside"]\npath = mod\nurl = x', "its name leads out"),
        ('[submodule "m"]\npath = mod\nurl = ext::sh -c touch% pwned', "not initialised"),
        ('[submodule "m"]\npath = mod\nurl = -u./x\nupdate = !touch pwned', "not initialised"),
        ("broken [", "not named"),
    ],
)
def test_what_a_commit_says_of_its_submodules_is_never_run(world: GitWorld, section: str, reason: str) -> None:
    world.write({".gitmodules": section})
    git(world.top, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},mod")
    git(world.top, "add", ".gitmodules")
    git(world.top, "commit", "-q", "-m", "hostile")
    [module] = world.prepare(base="HEAD").submodules
    assert module.state == "skipped"
    assert reason in module.reason
    assert not list(world.top.parent.rglob("pwned"))


def test_sixteen_at_once_do_not_race(world: GitWorld) -> None:
    names = [f"run_{number}" for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(world.prepare, names))
        for one in made:
            world.write({f"{one.run_id}.txt": one.run_id}, below=one.tree)
        assert all(done.commit for done in pool.map(world.collect, made))
        merged = list(pool.map(world.merge, names[:4]))
        list(pool.map(world.drop, names))
    assert {one.how for one in merged} == {"fast-forward", "merge"}
    assert all((world.top / f"{name}.txt").read_text() == name for name in names[:4])
    assert git(world.top, "status", "--porcelain") == ""
    assert git(world.top, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    git(world.top, "fsck", "--strict")
