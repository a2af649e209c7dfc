"""A machine to type on, a scripted model for it, and a bench on which skills are scored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.testing.model_server import ModelServer
from support.score_bench import ScoreBench
from support.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


@pytest.fixture
def server(terminal: Terminal) -> Iterator[ModelServer]:
    with ModelServer() as server:
        terminal.serve(server)
        yield server


@pytest.fixture
def bench(terminal: Terminal) -> ScoreBench:
    return ScoreBench(terminal)
