"""What it costs to take in a long stream, beside a script that takes each line apart and inserts it as a row.

Owns the stream, the script to compare with, the measurement and its goal: a twentieth of the script's CPU. Does
not own taking in.
Invariant: both are processes of their own that read the same file and leave a database behind; all CPU of each
counts, start-up, hashing and writing included. The script is written as such scripts are: one decoded object, one
re-serialised payload and one INSERT with four indexes a line, in one transaction.

    python benchmarks/audit_ingest.py [--megabytes N] [--output N]
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 20.0

SCRIPT = """
import json, sqlite3, sys, time
db = sqlite3.connect(sys.argv[2])
db.execute("PRAGMA foreign_keys = ON")
db.executescript('''
CREATE TABLE runs (id TEXT PRIMARY KEY, created_at TEXT, label TEXT, repo_root TEXT, metadata_json TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    ingested_at TEXT NOT NULL, event_type TEXT NOT NULL, thread_id TEXT, item_id TEXT, item_type TEXT,
    payload_json TEXT NOT NULL);
CREATE INDEX events_run ON events (run_id);
CREATE INDEX events_type ON events (event_type);
CREATE INDEX events_thread ON events (thread_id);
CREATE INDEX events_item ON events (item_type);
''')
db.execute("INSERT INTO runs VALUES ('r', ?, NULL, NULL, '{}')", (time.strftime('%FT%TZ'),))
thread = None
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        line = line.strip()
        if not line:
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        thread = event.get("thread_id") or thread
        item = event.get("item") or {}
        db.execute(
            "INSERT INTO events (run_id, ingested_at, event_type, thread_id, item_id, item_type, payload_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            ("r", time.strftime('%FT%TZ'), event.get("type", "unknown"), thread, item.get("id"), item.get("type"),
             json.dumps(event, ensure_ascii=False)),
        )
db.commit()
"""


def main() -> int:
    """Print both costs; 1 when the goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100, help="how long the stream is")
    parser.add_argument("--output", type=int, default=900, help="how many bytes a command prints, on average")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = folder / "stream.jsonl"
        lines = write_stream(stream, options.megabytes * 1_000_000, options.output)
        size = stream.stat().st_size
        long = f"{lines:,} lines of {size / lines:.0f} bytes on average"
        print(f"{size / 1e6:.0f} MB, {long}; the least of {options.rounds}")
        environ = {"PATH": os.environ["PATH"], "HOME": name, "ARMARIUS_HOME": f"{name}/state"}
        both = ("script", "armarius")
        spent = [
            {who: _round(who, stream, folder / f"{who}-{n}", environ) for who in both} for n in range(options.rounds)
        ]
        costs = {who: min(each[who] for each in spent) for who in both}
        for who in both:
            print(f"{who:<10} {costs[who]:8.2f} s of CPU, {size / 1e6 / costs[who]:8.0f} MB a second")
    ratio = costs["script"] / costs["armarius"]
    verdict = "ok" if ratio >= GOAL else "MISSED"
    print(f"{ratio:.1f} times less; goal {GOAL:g}: {verdict}")
    return verdict != "ok"


def _round(who: str, stream: Path, place: Path, environ: dict[str, str]) -> float:
    place.mkdir()
    ours = ["-m", "armarius", "audit", "ingest", str(stream), "--db", str(place / "db.sqlite")]
    argv = ours if who == "armarius" else ["-c", SCRIPT, str(stream), str(place / "db.sqlite")]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *argv], env=environ, stdout=subprocess.DEVNULL, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cost = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {who:<10} {cost:8.2f} s of CPU, {wall:8.2f} s")
    for file in sorted(place.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    return cost


def write_stream(path: Path, size: int, output: int) -> int:
    """Runs of forty commands, each with its beginning, its end and a thought; the number of lines."""
    chance = random.Random(7)  # noqa: S311  # the same stream each time
    words = [f"word{number}" for number in range(400)]
    written = lines = number = 0
    with path.open("w") as file:
        while written < size:
            number += 1
            events: list[object] = [
                {"type": "thread.started", "thread_id": f"0193{number:04}-0000-7000-8000-000000000001"},
                {"type": "turn.started"},
            ]
            for step in range(40):
                said = " ".join(chance.choices(words, k=1 + int(chance.expovariate(8 / output)))) + "\n"
                run = {"id": f"item_{2 * step}", "type": "command_execution", "command": f"/bin/bash -lc 'make {step}'"}
                begun = {"aggregated_output": "", "exit_code": None, "status": "in_progress"}
                ended = {"aggregated_output": said, "exit_code": step % 9 and 0, "status": "completed"}
                thought = " ".join(chance.choices(words, k=25))
                events += [
                    {"type": "item.started", "item": run | begun},
                    {"type": "item.completed", "item": run | ended},
                    {
                        "type": "item.completed",
                        "item": {"id": f"item_{2 * step + 1}", "type": "reasoning", "text": thought},
                    },
                ]
            usage = {
                "input_tokens": 1_000,
                "cached_input_tokens": 500,
                "output_tokens": 20,
                "reasoning_output_tokens": 5,
            }
            events.append({"type": "turn.completed", "usage": usage})
            text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
            written += file.write(text)
            lines += len(events)
    return lines


if __name__ == "__main__":
    sys.exit(main())
