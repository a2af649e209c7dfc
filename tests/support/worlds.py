"""Fixtures of worlds in which the real Codex speaks to a scripted model; a folder's `conftest.py` takes those it needs.

A folder that has a model of its own makes a fixture `server`, and the worlds speak to that.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.codex.binary import Binary, find
from armarius.testing.model_server import ModelServer
from support.run_world import World

__all__ = ["binary", "each_world", "server", "wheel_binary", "world"]


@pytest.fixture(scope="session")
def wheel_binary(codex_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Binary:
    return find(setting=str(codex_wheel), search_path="", cache=tmp_path_factory.mktemp("probe") / "probes.json")


@pytest.fixture(scope="session")
def binary(codex: Path, tmp_path_factory: pytest.TempPathFactory) -> Binary:
    """Each build in turn."""
    return find(setting=str(codex), search_path="", cache=tmp_path_factory.mktemp("probe") / "probes.json")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, wheel_binary: Binary, server: ModelServer) -> World:
    """A world with the wheel's build, for what does not differ between builds."""
    return World(tmp_path, wheel_binary, server).build()


@pytest.fixture
def each_world(tmp_path: Path, binary: Binary, server: ModelServer) -> World:
    """A world with each build in turn."""
    return World(tmp_path, binary, server).build()
