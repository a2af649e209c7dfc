"""A world with a scripted model that says when it is asked and waits until it may answer."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from armarius.codex.binary import Binary, find
from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.run_world import Gate, World, start_other


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


@pytest.fixture(scope="session")
def wheel_binary(codex_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Binary:
    return find(setting=str(codex_wheel), search_path="", cache=tmp_path_factory.mktemp("probe") / "probes.json")


@pytest.fixture(scope="session")
def binary(codex: Path, tmp_path_factory: pytest.TempPathFactory) -> Binary:
    """Each build in turn."""
    return find(setting=str(codex), search_path="", cache=tmp_path_factory.mktemp("probe") / "probes.json")


@pytest.fixture
def world(tmp_path: Path, wheel_binary: Binary, server: ModelServer) -> World:
    """A world with the wheel's build, for what does not differ between builds."""
    return World(tmp_path, wheel_binary, server).build()


@pytest.fixture
def each_world(tmp_path: Path, binary: Binary, server: ModelServer) -> World:
    """A world with each build in turn."""
    return World(tmp_path, binary, server).build()


@pytest.fixture
def other(world: World) -> Iterator[Callable[..., "Popen[str]"]]:
    """Starts another Armarius in the same world; at the end none is left."""
    with world.ledger():
        pass  # its tables are there before anybody counts commits
    with contextlib.ExitStack() as stack:

        def start(*request: object, **order: object) -> "Popen[str]":
            process = stack.enter_context(start_other(world, *request, **order))  # pyright: ignore[reportArgumentType]
            stack.callback(process.kill)
            return process

        yield start
