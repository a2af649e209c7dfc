"""What dispatch costs: one run, one detached run, sixteen at once; each with its goal beside it.

Owns the measurement of detached and parallel runs; one run in the foreground is measured by `run_overhead.py`.
Does not own the runs.
Invariant: both sides use one CODEX_HOME, one scripted model in a process of its own, one prompt, and take turns.

    python benchmarks/dispatch_bench.py [--runs N] [--parallel N] [--think S]

Detached: from the commit that accepts a run to the moment its guard has started codex, both as recorded, with a
worker in the background. Parallel: from the first start to the last end of sixteen `codex exec` at once, and of
sixteen runs that a worker with sixteen jobs finds in the queue. The model thinks for `--think` seconds, as a real
one would at least; without it, sixteen Codex on a few cores measure the cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run_overhead import environ_below, measure, verdict

from armarius import settings as configuration
from armarius.clock import parse_rfc3339
from armarius.codex.binary import locate
from armarius.dispatch.afterwards import wait_for
from armarius.dispatch.desk import Desk, Options
from armarius.dispatch.workbench import workbench
from armarius.runs.queued import hand_in, place_of

GOAL_SPAWNED_MS = 150.0
GOAL_PARALLEL = 1.10
PROMPT = 'SCRIPT:[{"say": "done", "phase": "final_answer"}]'
ARMARIUS = (sys.executable, "-m", "armarius")


def main() -> int:
    """Print goals and figures; 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--think", type=float, default=5.0)
    given = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "armarius.testing.model_server", "--port", "0"], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        with tempfile.TemporaryDirectory(prefix="armarius-bench-") as name:
            environ, project = environ_below(Path(name), url), Path(name, "project")
            missed = measure(environ, project, given.runs)
            missed |= _detached(environ, project, given.runs)
            return missed | _parallel(environ, project, given.parallel, given.think)
    finally:
        server.terminate()
        server.wait()


def _detached(environ: dict[str, str], project: Path, runs: int) -> int:
    """How long a detached run waits for its codex, with a worker there."""
    worker = _worker(environ, "--jobs", "4")
    waits = list[float]()
    for _ in range(runs + 1):
        run = _type(environ, project, "run", "--detach", PROMPT).strip()
        _type(environ, project, "runs", "wait", run)
        shown = json.loads(_type(environ, project, "runs", "show", run, "--json"))
        accepted = next(event["at"] for event in shown["events"] if event["kind"] == "run_queued")
        waits.append((shown["result"]["started_at_us"] - parse_rfc3339(accepted)) / 1_000)
    _end(worker)
    middle = statistics.median(waits[1:])
    print(f"accepted -> codex {middle:6.0f} ms   goal {GOAL_SPAWNED_MS:g}   {verdict(middle, GOAL_SPAWNED_MS)}")
    print(f"  of {runs}: {min(waits[1:]):.0f} to {max(waits[1:]):.0f} ms")
    return int(middle > GOAL_SPAWNED_MS)


def _parallel(environ: dict[str, str], project: Path, count: int, think_s: float) -> int:
    """So many at once, bare and by a worker, in turns."""
    prompt = json.dumps([{"wait": think_s}, {"say": "done", "phase": "final_answer"}])
    codex, _ = locate(setting=None, search_path=environ["PATH"])
    native = [str(codex), "exec", "--json", "--skip-git-repo-check", "-C", str(project), f"SCRIPT:{prompt}"]
    bare, ours = list[float](), list[float]()
    for _ in range(3):
        bare.append(_bare(native, environ, project, count))
        ours.append(_queued(environ, project, f"SCRIPT:{prompt}", count))
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"{count} x codex exec {statistics.median(bare):6.2f} s, the model thinking for {think_s:g} s")
    print(f"{count} x by a worker{statistics.median(ours):6.2f} s   x {ratio:.2f}   goal x {GOAL_PARALLEL:.2f}   "
          f"{verdict(ratio, GOAL_PARALLEL)}")  # fmt: skip
    return int(ratio > GOAL_PARALLEL)


def _bare(argv: list[str], environ: dict[str, str], project: Path, count: int) -> float:
    began = time.monotonic()
    all_of_them = [
        subprocess.Popen(
            argv,
            env=environ,
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    assert [process.wait() for process in all_of_them] == [0] * count
    return time.monotonic() - began


def _queued(environ: dict[str, str], project: Path, prompt: str, count: int) -> float:
    """From the readiness of a worker that finds them all in the queue to their last end."""
    lone = environ | {"ARMARIUS_HOME": tempfile.mkdtemp(prefix="state-", dir=project.parent)}
    settings = configuration.load(project, lone)
    with workbench(settings) as bench:
        desk = Desk(settings, bench)
        request = desk.request(prompt, Options(cwd=project))
        place = place_of(settings, request, any_host=False)
        runs = [hand_in(bench.ledger, bench.clock, settings.runs, request, place) for _ in range(count)]
        worker = _worker(lone, "--jobs", str(count))
        began_us = time.time_ns() // 1_000
        ended = wait_for(bench.runner, [bench.runner.row(run) for run in runs], None)
    _end(worker)
    ends = [run.outcome.ended_at_us or 0 for run in ended if run.outcome and run.state == "succeeded"]
    assert len(ends) == count
    return (max(ends) - began_us) / 1_000_000


def _worker(environ: dict[str, str], *words: str) -> "subprocess.Popen[bytes]":
    worker = subprocess.Popen(
        [*ARMARIUS, "worker", "--json", *words], env=environ, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    return worker


def _end(worker: "subprocess.Popen[bytes]") -> None:
    with worker:
        worker.terminate()
        worker.wait()


def _type(environ: dict[str, str], project: Path, *words: str) -> str:
    done = subprocess.run(
        [*ARMARIUS, *words],
        env=environ,
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return done.stdout.decode()


if __name__ == "__main__":
    sys.exit(main())
