"""Runs that are over and recorded, for tests that tamper with them."""

from pathlib import Path
from typing import NamedTuple

from armarius.runs.request import RunResult
from support.run_world import World

__all__ = ["Recorded"]


class Recorded(NamedTuple):
    """Three runs, the second of them decided about; the third failed."""

    world: World
    runs: tuple[RunResult, ...]
    backup: Path
