"""What `armarius run` costs beside a bare `codex exec` on the same model, pair by pair.

Owns the measurement and its goals: in the process (entry to spawn, and exit to return) at most
50 ms, the whole command at most 250 ms more. Does not own the run.
Invariant: both sides use one CODEX_HOME, one scripted model in a process of its own, one prompt, and
take turns; medians of the pairs are printed.

    python benchmarks/run_overhead.py [--runs N]

In the process: `armarius run` reports when codex was started and ended (as its guard saw it); what
the command took beyond that, from the entry of its main function to its return, is its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomli_w

from armarius.codex.binary import locate

GOAL_INSIDE_MS = 50.0
GOAL_WHOLE_MS = 250.0
PROMPT = 'SCRIPT:[{"say": "done", "phase": "final_answer"}]'

INSIDE = """
import contextlib, io, json, sys, time
from armarius.cli import cli, main
cli.get_command(None, "run")
class Out(io.TextIOWrapper): pass
out = Out(io.BytesIO(), "utf-8")
began = time.monotonic()
with contextlib.redirect_stdout(out):
    code = main(["run", "--json", sys.argv[1]])
took = time.monotonic() - began
out.flush()
print(code, took * 1000 - json.loads(out.buffer.getvalue())["duration_us"] / 1000)
"""


def main() -> int:
    """Print the medians; 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    server = subprocess.Popen(
        [sys.executable, "-m", "armarius.testing.model_server", "--port", "0"], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        with tempfile.TemporaryDirectory(prefix="armarius-bench-") as name:
            return measure(environ_below(Path(name), url), Path(name, "project"), runs)
    finally:
        server.terminate()
        server.wait()


def measure(environ: dict[str, str], project: Path, runs: int) -> int:
    """Print what one run costs beside codex alone; 1 when a goal is missed."""
    codex, _ = locate(setting=None, search_path=environ["PATH"])
    native = [str(codex), "exec", "--json", "--skip-git-repo-check", "-C", str(project), PROMPT]
    ours = [sys.executable, "-m", "armarius", "run", "--json", PROMPT]
    for warm in (native, ours):
        wall_ms(warm, environ, project)
    pairs = [(wall_ms(ours, environ, project), wall_ms(native, environ, project)) for _ in range(runs)]
    inside = [inside_ms(environ, project) for _ in range(runs)]
    whole = statistics.median(a - b for a, b in pairs)
    own = statistics.median(inside)
    print(f"codex exec      {statistics.median(b for _, b in pairs):7.0f} ms")
    print(f"armarius run    {statistics.median(a for a, _ in pairs):7.0f} ms")
    print(f"whole command   {whole:+7.0f} ms   goal +{GOAL_WHOLE_MS:g}   {verdict(whole, GOAL_WHOLE_MS)}")
    print(f"in the process  {own:7.1f} ms   goal {GOAL_INSIDE_MS:g}    {verdict(own, GOAL_INSIDE_MS)}")
    return 0 if whole <= GOAL_WHOLE_MS and own <= GOAL_INSIDE_MS else 1


def environ_below(folder: Path, url: str) -> dict[str, str]:
    """The environment of somebody whose things lie below `folder`, and whose Codex asks the model at `url`."""
    codex_home = folder / "home" / ".codex"
    codex_home.mkdir(parents=True)
    (folder / "project").mkdir()
    provider = {"name": "scripted", "base_url": url, "wire_api": "responses"}
    features = {"plugins": False}
    config = {"model_provider": "s", "model_providers": {"s": provider}, "features": features}
    config["analytics"] = {"enabled": False}
    (codex_home / "config.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    home = str(folder / "home")
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "CODEX_HOME": str(codex_home),
        "ARMARIUS_HOME": f"{home}/armarius",
    }


def wall_ms(argv: list[str], environ: dict[str, str], project: Path) -> float:
    """How long a command takes."""
    began = time.monotonic()
    subprocess.run(
        argv, env=environ, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    return (time.monotonic() - began) * 1_000


def inside_ms(environ: dict[str, str], project: Path) -> float:
    answer = subprocess.run(
        [sys.executable, "-c", INSIDE, PROMPT],
        env=environ,
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return float(answer.stdout.split()[1])


def verdict(value: float, goal: float) -> str:
    """Whether a goal was reached, in a word."""
    return "ok" if value <= goal else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
