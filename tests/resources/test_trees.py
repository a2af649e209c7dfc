"""Which folders are one tree for two writers, on one machine and on two that share a file system."""

import os
import shutil
from pathlib import Path

import pytest

from armarius.errors import DataError
from armarius.resources.leases import Busy, Held, Leases, Paths, owner_of
from armarius.resources.trees import claims_of_scope, claims_of_trees
from armarius.store.database import Database
from armarius.testing.clock import FakeClock
from support.checkout_world import GitWorld, git


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    made = GitWorld(tmp_path).build()
    inner = GitWorld(tmp_path, tmp_path / "inner").build()
    for name in ("lib", "vendor"):
        git(made.top, "submodule", "--quiet", "add", str(inner.top), name)
    made.commit()
    git(made.top, "worktree", "add", "-q", "../linked", "-b", "side")
    (tmp_path / "plain" / "below").mkdir(parents=True)
    (tmp_path / "plain" / "bel*").mkdir()
    shutil.copytree(made.top, tmp_path / "copy", symlinks=True)
    (tmp_path / "alias").symlink_to(made.top)
    return made


MEET = [
    ("project", "project", True),
    ("project", "project/src/deep", True),
    ("project", "alias", True),
    ("project", "project/lib", True),
    ("project/lib", "project/vendor", False),
    ("project/lib/src", "project/lib", True),
    ("project", "linked", False),
    ("project", "copy", False),
    ("project", "inner", False),
    ("plain", "plain/below", True),
    ("plain/below", "plain/bel*", False),
    ("plain", "project", False),
]


def test_two_writers_meet_where_one_could_change_a_file_of_the_other(world: GitWorld, ledger: Database) -> None:
    leases = Leases(ledger, FakeClock(), owner_of(os.getpid()))
    for one, other, meet in MEET:
        held = leases.acquire(claims_of_trees((world.top.parent / one,)))
        assert isinstance(held, Held)
        again = leases.acquire(claims_of_trees((world.top.parent / other,)))
        assert isinstance(again, Busy) is meet, (one, other)
        leases.release((*held.leases, *(again.leases if isinstance(again, Held) else ())))


def test_a_writer_in_two_folders_of_one_tree_does_not_stand_in_its_own_way(world: GitWorld, ledger: Database) -> None:
    claims = claims_of_trees((world.top, world.top / "src", world.top.parent / "plain"))
    assert [len(claim.patterns) for claim in claims] == [1, 1]
    assert isinstance(Leases(ledger, FakeClock()).acquire(claims), Held)


def test_a_repository_is_the_same_for_all_who_see_it_and_a_copy_is_another(world: GitWorld) -> None:
    [claim] = claims_of_trees((world.top,))
    assert claims_of_trees((world.top / "src",)) == (claim,)
    copied = world.top.parent / "later"
    shutil.copytree(world.top, copied, symlinks=True)  # with its name in it
    assert claims_of_trees((copied,)) != (claim,)
    world.top.rename(world.top.with_name("moved"))  # as another host may have mounted it
    [moved] = claims_of_trees((world.top.with_name("moved"),))
    assert moved.resource.rpartition("-")[2] == claim.resource.rpartition("-")[2]


def test_the_scope_is_the_repositorys_whatever_the_working_tree(world: GitWorld, tmp_path: Path) -> None:
    [one] = claims_of_scope(world.top, ("src/**",))
    assert claims_of_scope(tmp_path / "linked", ("src/**",)) == (one,)
    assert isinstance(one, Paths)
    assert claims_of_scope(world.top, ()) == ()
    with pytest.raises(DataError, match="no repository"):
        claims_of_scope(tmp_path / "plain", ("src/**",))


def test_a_name_that_is_not_ours_is_refused(world: GitWorld) -> None:
    name = world.top / ".git" / "armarius" / "name"
    name.parent.mkdir(exist_ok=True)
    name.write_text("../../etc\n")
    with pytest.raises(DataError, match="not what Armarius wrote"):
        claims_of_trees((world.top,))
