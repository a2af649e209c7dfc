"""Our own part of the measurement: one job in one fresh process, its cost taken after import.

Owns which of our functions each job calls, and what it says of its result. Does not own goals or
repetition (`bench`).
Invariant: the last line printed is one JSON object with `wall_s`, `cpu_s`, `read_bytes` and `totals`.

    python benchmarks/sessions/ours.py scan|decode|sync|state CODEX_HOME [ARMARIUS_HOME]
"""

import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from armarius.clock import SystemClock
from armarius.counts.scan import Scan
from armarius.counts.slim import records_in
from armarius.counts.windows import begins_in, windows
from armarius.rollouts.discovery import find_rollouts
from armarius.rollouts.opening import open_rollout
from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex
from armarius.sessions.observe import observe
from armarius.sessions.state import standing_of

__all__ = ["decode", "scan", "state", "sync"]


def scan(codex_home: Path) -> dict[str, Any]:
    """All totals of the conformance table, from reading every file once."""
    totals: dict[str, Any] = Counter(files=0)
    turns, last, commands, tokens = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for file in find_rollouts(codex_home):
        reader = Scan(file.path)
        reader.advance()
        found = reader.summary()
        usage = found.usage
        turns.update(turn.state.value for turn in found.turns)
        last[found.turns[-1].state.value if found.turns else "none"] += 1
        for code, count in found.exits.items():
            commands["none" if code is None else str(code)] += count
        for name in ("input", "cached_input", "cache_write", "output", "reasoning"):
            tokens[name] += getattr(usage, name)
        totals["files"] += 1
        totals["responses"] += len(found.responses)
        totals["user_messages"] += found.user_messages
        totals["agent_messages"] += found.agent_messages
        totals["unknown"] += sum(found.unknown.values())
        totals["bad_lines"] += found.bad_lines
    counted = {"turns": turns, "last_turn": last, "commands": commands, "tokens": tokens}
    return dict(totals) | {name: dict(sorted(count.items())) for name, count in counted.items()}


def decode(codex_home: Path) -> dict[str, Any]:
    """The least that any count of ours takes: every line found and decoded, and nothing counted."""
    totals = Counter(files=0)
    for file in find_rollouts(codex_home):
        totals["files"] += 1
        with open_rollout(file.path) as stream:
            for data in windows(stream, 0):
                if isinstance(data, bytes) and begins_in(data):
                    totals["records"] += len(records_in(memoryview(data)[: data.rfind(b"\n") + 1]) or ())
    return dict(totals)


def sync(codex_home: Path, home: Path) -> dict[str, Any]:
    """Bring the index up to date, from nothing or from what it knows."""
    home.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(SessionIndex.open(home / "sessions.sqlite")) as index:
        synced = index.sync([Place("codex", codex_home)], SystemClock())
    return {"files": synced.files, "read": synced.read, "bytes": synced.bytes}


def state(codex_home: Path, home: Path) -> dict[str, Any]:
    """What every thread is doing now: what is new in the files, everything observed, each one weighed."""
    clock, place = SystemClock(), Place("codex", codex_home)
    with contextlib.closing(SessionIndex.open(home / "sessions.sqlite")) as index:
        index.sync([place], clock)
        entries = index.entries([place])
    seen = observe(codex_home, clock)
    standings = Counter(
        standing_of(entry.summary, seen.of(entry.thread_id, str(entry.path), entry.changed_us), clock.now_us()).state
        for entry in entries
    )
    return {
        "files": len(entries),
        "states": {state.value: count for state, count in sorted(standings.items(), key=str)},
    }


def main() -> None:
    """Do the job and print what it cost."""
    job, codex_home = sys.argv[1], Path(sys.argv[2])
    home = Path(sys.argv[3]) if len(sys.argv) > len(("program", "job", "home")) else codex_home
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "scan": lambda: scan(codex_home),
        "decode": lambda: decode(codex_home),
        "sync": lambda: sync(codex_home, home),
        "state": lambda: state(codex_home, home),
    }
    before = _read_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    totals = jobs[job]()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "read_bytes": _read_bytes() - before, "totals": totals}))


def _read_bytes() -> int:
    """What this process has read from files so far, from wherever; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(lines[0].removeprefix("rchar: "))


if __name__ == "__main__":
    main()
