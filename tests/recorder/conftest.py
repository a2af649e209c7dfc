"""A provider that streams one response, and a recorder before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.recorder_world import Provider, Recorder, stream


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(lambda _: stream()) as provider:
        yield provider


@pytest.fixture
def recorder(provider: Provider, tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(provider.url, tmp_path) as recorder:
        yield recorder
