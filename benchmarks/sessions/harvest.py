"""What a harvest costs: the first one, one after which nothing changed, and one after a single session grew.

Owns the measurement. Does not own the sessions (`generate.py`).
Invariant: times are CPU of this process, taken after import; the answer without a change is the same as the first.

    python benchmarks/sessions/harvest.py [--seed 1] [--files 1000] [--megabytes 1000] [--rounds 5]
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from generate import generate

from armarius.clock import SystemClock
from armarius.evolve.gather import Gathered, Want, gather
from armarius.evolve.harvest import HarvestCache, Scope
from armarius.evolve.start import ThisMachine
from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex

_GOAL_MS = 50.0
_LINE = b'{"timestamp":"2026-11-20T12:00:00.000Z","type":"event_msg","payload":{"type":"token_count","info":null}}\n'


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--megabytes", type=float, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, state = Path(folder, "codex"), Path(folder, "state")
        state.mkdir()
        generate(home, seed=asked.seed, files=asked.files, megabytes=asked.megabytes)

        def harvest() -> Gathered:
            return _harvest(home, state)

        first_ms, first = _timed(harvest)
        unchanged = [_timed(harvest) for _ in range(asked.rounds)]
        grown = next(home.rglob("rollout-*.jsonl"))
        with grown.open("ab") as file:
            file.write(_LINE)
        one_ms, _ = _timed(harvest)
    unchanged_ms = median(spent for spent, _ in unchanged)
    row: dict[str, Any] = {
        "sessions": first.sessions,
        "requests": first.turns,
        "first_ms": round(first_ms, 1),
        "unchanged_ms": round(unchanged_ms, 1),
        "one_changed_ms": round(one_ms, 1),
        "goal_ms": _GOAL_MS,
    }
    print(json.dumps(row))
    return int(unchanged_ms > _GOAL_MS or any(found != first for _, found in unchanged))


def _harvest(home: Path, state: Path) -> Gathered:
    places = [Place("codex", home)]
    scope = Scope(project=Path("/"), own_folder=state, most_sessions=1_000_000)
    want = Want(scope=scope, most_tasks=40, roots=())
    with (
        contextlib.closing(SessionIndex.open(state / "sessions.sqlite")) as index,
        contextlib.closing(HarvestCache.open(state / "harvest.sqlite")) as cache,
    ):
        index.sync(places, SystemClock())
        return gather(index, places, cache, want, ThisMachine("/usr/bin:/bin", home))


def _timed(work: Callable[[], Gathered]) -> tuple[float, Gathered]:
    began = time.process_time()
    found = work()
    return (time.process_time() - began) * 1_000, found


if __name__ == "__main__":
    sys.exit(main())
