"""Killed at every single step of git, with that step done or not."""

from pathlib import Path

import pytest

from support import checkout_crash
from support.checkout_crash import Assassin
from support.checkout_world import GitWorld

pytestmark = pytest.mark.parametrize("goes_on", [False, True])


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path).build()


@pytest.fixture
def assassin(tmp_path: Path) -> Assassin:
    return Assassin(tmp_path)


def test_prepare(world: GitWorld, assassin: Assassin, goes_on: object) -> None:
    checkout_crash.prepares(world, assassin, 1, goes_on=bool(goes_on))


def test_collect(world: GitWorld, assassin: Assassin, goes_on: object) -> None:
    checkout_crash.collects(world, assassin, 1, goes_on=bool(goes_on))


@pytest.mark.parametrize("diverged", [False, True])
def test_merge(world: GitWorld, assassin: Assassin, goes_on: object, diverged: object) -> None:
    checkout_crash.merges(world, assassin, 1, goes_on=bool(goes_on), diverged=bool(diverged))


def test_drop(world: GitWorld, assassin: Assassin, goes_on: object) -> None:
    checkout_crash.drops(world, assassin, 1, goes_on=bool(goes_on))
