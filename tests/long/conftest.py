"""Databases, and worlds in which the real Codex speaks to a scripted model that keeps all that it was asked."""

from collections.abc import Iterator

import pytest

from armarius.testing.model_server import ModelServer
from support.databases import idle_databases, new_database, postgres_server
from support.worlds import wheel_binary, world

__all__ = ["idle_databases", "new_database", "postgres_server", "wheel_binary", "world"]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(keep=100_000) as server:
        yield server
