"""A night that is killed anywhere comes to the same end, and pays nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from support.night_kills import comes_to_the_same_end, undisturbed

__all__ = ["undisturbed"]


@pytest.mark.parametrize("request_number", [12])  # the others: tests/long/night_kills.py
def test_a_night_killed_at_any_request_ends_the_same_and_repeats_no_finished_run_then_or_later(
    request_number: int, tmp_path: Path, private_home: dict[str, str], undisturbed: dict[str, Any]
) -> None:
    comes_to_the_same_end(request_number, tmp_path, private_home, undisturbed)
