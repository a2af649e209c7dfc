"""A world with a scripted model that says when it is asked and waits until it may answer."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.databases import idle_databases, ledger, new_database, new_place, place, postgres_server
from support.prefork import Forked
from support.queue_world import QueueWorld
from support.run_world import Gate, World, start_other
from support.worlds import binary, each_world, wheel_binary, world

__all__ = [
    "binary",
    "each_world",
    "idle_databases",
    "ledger",
    "new_database",
    "new_place",
    "place",
    "postgres_server",
    "wheel_binary",
    "world",
]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with contextlib.closing(Gate(tmp_path)) as gate:
        yield gate


@pytest.fixture
def server(gate: Gate) -> Iterator[ModelServer]:
    model = ScriptedModel()

    def answer(conversation: Conversation) -> Reply:
        gate.note(conversation.task)
        return model(conversation)

    with ModelServer(answer) as server:
        yield server


@pytest.fixture
def other(world: World) -> Iterator[Callable[..., Forked]]:
    """Starts another Armarius in the same world; at the end none is left."""
    with world.ledger():
        pass  # its tables are there before anybody counts commits
    with contextlib.ExitStack() as stack:

        def start(*request: object, **order: object) -> Forked:
            process = stack.enter_context(start_other(world, *request, **order))  # pyright: ignore[reportArgumentType]
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture(params=["sqlite", "postgres"])
def queue(request: pytest.FixtureRequest, world: World) -> Iterator[QueueWorld]:
    """A world on each database in turn."""
    give: Callable[[], str] | None = None
    if request.param == "postgres":
        give = request.getfixturevalue("new_database")
    with contextlib.closing(QueueWorld(world, give() if give else None)) as queue:
        yield queue


@pytest.fixture
def file_queue(world: World) -> Iterator[QueueWorld]:
    """A world whose ledger is a file, for what does not differ between databases."""
    with contextlib.closing(QueueWorld(world)) as queue:
        yield queue
