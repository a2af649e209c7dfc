"""What a process costs.

Owns starting one, waiting for it, and its wall time, CPU and peak memory, with those of its children.
Does not own what is started.
Invariant: a process that fails or takes too long is an error with what it said, never a number.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cost", "Row", "cost_of", "take_turns"]


@dataclass(frozen=True)
class Cost:
    """Seconds and megabytes of a whole process; `inner` is what it said itself, after its imports."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    printed: str
    inner: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def own_cpu_s(self) -> float:
        return self.inner.get("cpu_s", self.cpu_s)

    @property
    def own_wall_s(self) -> float:
        return self.inner.get("wall_s", self.wall_s)


@dataclass
class Row:
    """One contestant, and what each of its turns cost."""

    name: str
    turn: Callable[[], Cost]
    costs: list[Cost] = field(default_factory=list[Cost])

    def cpu(self) -> list[float]:
        return [cost.own_cpu_s for cost in self.costs]

    def wall(self) -> list[float]:
        return [cost.own_wall_s for cost in self.costs]

    def peak_mb(self) -> float:
        return max(cost.peak_mb for cost in self.costs)


def take_turns(rows: Sequence[Row], rounds: int) -> None:
    """One turn each, and again."""
    for _ in range(rounds):
        for row in rows:
            row.costs.append(row.turn())


def cost_of(argv: Sequence[str], environ: dict[str, str], *, says_cost: bool = False) -> Cost:
    """Run to the end; with `says_cost` the last line printed is JSON with the process's own account."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        printed = output.read().decode(errors="replace")
        if process.returncode != 0:
            said = errors.read().decode(errors="replace")[-2_000:]
            raise SystemExit(f"{Path(argv[0]).name} {' '.join(argv[1:])} ended with {process.returncode}:\n{said}")
    inner: dict[str, Any] = json.loads(printed.splitlines()[-1]) if says_cost else {}
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1_024, printed, inner)
