"""How long the command takes to start, beside bare Python in the same run.

Owns the measurement and its goal: at most 100 ms of CPU in the process for commands that only
look. Does not own the commands.
Invariant: both sides are measured in turn, so that a machine that slows down slows both; medians
are printed, and the ratio of each pair.

    python benchmarks/startup.py [--runs N]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

GOAL_MS = 100.0
COMMANDS = (["--version"], ["--help"], ["sessions", "list"])


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    missed = 0
    print(
        f"{'command':<24} {'CPU ms':>8} {'wall ms':>8} {'Python CPU ms':>14} {'ratio':>6}   goal {GOAL_MS:g} ms of CPU"
    )
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "ARMARIUS_HOME": f"{home}/state"}
        for words in COMMANDS:
            pairs = [
                (_cost([sys.executable, "-m", "armarius", *words], environ), _cost([sys.executable, "-c", ""], environ))
                for _ in range(runs)
            ]
            cpu = statistics.median(ours[0] for ours, _ in pairs)
            wall = statistics.median(ours[1] for ours, _ in pairs)
            bare = statistics.median(theirs[0] for _, theirs in pairs)
            ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)
            verdict = "ok" if cpu <= GOAL_MS else "MISSED"
            missed += verdict == "MISSED"
            print(f"{' '.join(words):<24} {cpu:8.1f} {wall:8.1f} {bare:14.1f} {ratio:6.1f}   {verdict}")
    return 1 if missed else 0


def _cost(argv: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """CPU and wall milliseconds of a whole process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1_000, wall * 1_000


if __name__ == "__main__":
    sys.exit(main())
