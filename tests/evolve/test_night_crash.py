"""A night that is killed anywhere comes to the same end, and pays nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.night_kills import comes_to_the_same_end, undisturbed
from support.night_world import World

__all__ = ["undisturbed"]


@pytest.mark.parametrize("request_number", [4, 12])  # the others: tests/long/night_kills.py
def test_a_night_killed_at_any_request_ends_the_same_and_repeats_no_finished_run(
    request_number: int, tmp_path: Path, private_home: dict[str, str], undisturbed: dict[str, Any]
) -> None:
    comes_to_the_same_end(request_number, tmp_path, private_home, undisturbed)


def test_a_night_run_again_after_it_staged_spends_nothing(tmp_path: Path, private_home: dict[str, str]) -> None:
    with ModelServer() as server:
        world = World(tmp_path, private_home, server)
        first = world.night()
        spent = server.requests
        assert world.night() == first
        assert server.requests == spent
