"""A court: a repository, workers and judges on real Codex."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.testing.model_server import ModelServer
from support.court import Court


@pytest.fixture
def court(tmp_path: Path, private_home: dict[str, str], codex_wheel: Path) -> Iterator[Court]:
    court = Court(tmp_path, private_home, codex_wheel)
    with ModelServer(court.answer) as server:
        court.serve(server)
        court.build()
        yield court
