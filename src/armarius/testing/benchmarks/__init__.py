"""Benchmarks that travel with the package, so that the demo needs no download.

Owns the loader of `skillopt_v1`: four deficient skills, each with 15 training tasks and 6 held-out
ones (garrytan/gbrain-evals; MIT, see LICENSE beside this file). Does not own judging or replaying.
Invariant: `load` returns the skill byte for byte and the rows as they were published.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from armarius.errors import DataError, nearest
from armarius.evolve.tasks import Task, parse_rows

__all__ = ["Seed", "load", "seeds"]


class Seed(msgspec.Struct, frozen=True):
    """A deficient skill and the tasks that show what it lacks."""

    name: str
    skill: bytes
    training: tuple[Task, ...]
    held_out: tuple[Task, ...]


def seeds() -> tuple[str, ...]:
    """The names that `load` knows, sorted."""
    return tuple(sorted(folder.name for folder in _root().iterdir() if folder.is_dir()))


def load(name: str) -> Seed:
    """One seed; DataError when there is none of that name."""
    if name not in seeds():
        raise DataError("unknown-seed", f"no benchmark seed {name!r}", nearest(name, seeds()))
    folder = _root() / name
    return Seed(
        name,
        (folder / "SKILL.md").read_bytes(),
        _rows(folder / "benchmark.jsonl"),
        _rows(folder / "held-out.jsonl"),
    )


def _root() -> Traversable:
    return files("armarius.testing.benchmarks") / "skillopt_v1"


def _rows(file: Traversable) -> tuple[Task, ...]:
    return parse_rows(file.read_bytes(), file.name).tasks
