"""The recorder beside no proxy, a bare one and LiteLLM, in one run, against the goals.

Owns the order of things, the CPU and memory of each contestant, the goals and the tables. Does not own the load
(`load.py`) or the provider (`provider.py`).
Invariant: contestants have one core, the same for all, and take turns in every round; the provider and the load
have the other cores. CPU is that of the contestant's whole process tree, system time included. A goal that is
missed says by how much; a run with an error in it fails.

    python benchmarks/proxy/bench.py [--rounds 3] [--requests 2000] [--no-litellm] [--soak 0]

"bare" is our own server that records nothing; "floor" records the same line for each answer and looks at nothing, which
is the least that recording costs; "recorder" records into a journal that it fsyncs and puts skills of a
team into each request; "snapshots" also writes each turn of each session to a folder.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import clock_gettime, monotonic, sleep
from typing import Any, Final
from urllib.request import urlopen

__all__ = ["main"]

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = _HERE.parents[1]
_PYTHON: Final = sys.executable
_LITELLM: Final = "litellm[proxy]==1.106.2"
_PEERS: Final = _CHECKOUT / ".make" / "peers-proxy"
_SCHEDULED: Final = 2  # of the clocks that Linux has of every process, the exact one
_PATIENCE_S: Final = 180
_SMALL: Final = 19_000
_LARGE: Final = 390_000


@dataclass(frozen=True)
class Contestant:
    """Somebody who answers at `port`; `pid` None: nobody stands between."""

    name: str
    port: int
    pid: int | None
    path: str = "/v1/responses"
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Load:
    """What is asked: how many clients, how large, paced or at once, and of how many turns a session is."""

    clients: int
    size: int = _SMALL
    paced: bool = False
    turns: int = 20

    def __str__(self) -> str:
        new = ", every request a new session" if self.turns == 1 else ""
        return f"{'paced' if self.paced else 'burst'} {self.size // 1000:>3} kB c={self.clients}{new}"


Measured = dict[tuple[str, Load], list[dict[str, float]]]

# -------------------------------------------------------------------- processes


def _pinned(core: int | None) -> Callable[[], None]:
    cores = sorted(os.sched_getaffinity(0))
    chosen = {cores[0]} if core == 0 else set(cores[1:]) or {cores[0]}
    return lambda: os.sched_setaffinity(0, chosen)


@contextmanager
def _running(words: list[str], core: int | None, **more: Any) -> Generator["subprocess.Popen[str]"]:
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True} | more
    process = subprocess.Popen(words, preexec_fn=_pinned(core), start_new_session=True, **options)  # noqa: PLW1509
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _cpu_s(pid: int) -> float:
    """The processor time of a process and its children, with that of threads that have ended."""
    return sum(clock_gettime(~one << 3 | _SCHEDULED) for one in _tree(pid))


def _memory_mb(pid: int) -> float:
    total = 0
    for one in _tree(pid):
        status = Path(f"/proc/{one}/status").read_text()
        total += int(status.partition("VmRSS:")[2].split()[0])
    return total / 1024


def _ask(contestant: Contestant, load: Load, requests: int) -> dict[str, float]:
    asked = {
        "port": contestant.port,
        "path": contestant.path,
        "body": {"user": "paced"} if load.paced else {},
        "clients": load.clients,
        "requests": requests,
        "size": load.size,
        "turns": load.turns,
        "headers": {"authorization": "Bearer sk-none"} | contestant.headers,
    }
    before = _cpu_s(contestant.pid) if contestant.pid else 0.0
    words = [_PYTHON, str(_HERE / "load.py"), json.dumps(asked)]
    done = subprocess.run(words, preexec_fn=_pinned(1), capture_output=True, text=True, check=True, timeout=900)
    answer: dict[str, float] = json.loads(done.stdout)
    if contestant.pid:
        answer["cpu_ms"] = (_cpu_s(contestant.pid) - before) / max(1, answer["answers"]) * 1e3
        answer["memory_mb"] = _memory_mb(contestant.pid)
    return answer


# -------------------------------------------------------------------- contestants


@contextmanager
def _ours(
    name: str, upstream: int, folder: Path, *words_more: str, record: str, program: tuple[str, ...] = ("-m", "armarius")
) -> Generator[Contestant]:
    home = folder / name
    environ = os.environ | {"ARMARIUS_HOME": str(home)}
    words = [_PYTHON, *program, "proxy", "serve", "--json", "--listen", "127.0.0.1:0", "--record", record]
    words += ["--upstream", f"http://127.0.0.1:{upstream}/v1", *words_more]
    with _running(words, 0, env=environ) as process:
        assert process.stdout
        state = json.loads(process.stdout.readline())
        token = (home / "recorder" / "token").read_text()
        port = int(state["listen"].removesuffix("/v1").rpartition(":")[2])
        yield Contestant(name, port, process.pid, headers={"x-armarius-token": token})


def _skills(folder: Path) -> str:
    """Twenty skills of a team."""
    for number in range(20):
        place = folder / "team" / f"skill-{number:02}"
        place.mkdir(parents=True)
        text = f"---\nname: skill-{number:02}\ndescription: What to do about things of kind {number}\n---\n# It\n"
        (place / "SKILL.md").write_text(text)
    return str(folder / "team")


def _litellm() -> Path:
    """LiteLLM in an environment of its own, fetched once."""
    program = _PEERS / "bin" / "litellm"
    if not program.exists():
        uv = os.environ.get("UV") or shutil.which("uv") or str(_CHECKOUT / ".make" / "uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--no-project", "--python", _PYTHON, str(_PEERS)], check=True)
        python = str(_PEERS / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, _LITELLM], check=True)
    return program


@contextmanager
def _litellm_running(upstream: int, folder: Path) -> Generator[list[Contestant]]:
    """One worker, no database: its pass-through, and its own way of Responses."""
    base = f"http://127.0.0.1:{upstream}/v1"
    model = {
        "model_name": "gpt-5.5",
        "litellm_params": {"model": "openai/gpt-5.5", "api_base": base, "api_key": "sk-x"},
    }
    through = [{"path": "/through", "target": f"{base}/responses"}]
    config = folder / "litellm.yaml"
    settings = {"pass_through_endpoints": through}
    config.write_text(json.dumps({"model_list": [model], "general_settings": settings}))
    port = _free_port()
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOG": "ERROR"}
    environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    words = [str(_litellm()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with _running(words, 0, env=environ, cwd=folder, stdout=subprocess.DEVNULL) as process:
        until = monotonic() + _PATIENCE_S
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).close()
                break
            except OSError:
                if monotonic() > until or process.poll() is not None:
                    raise
                sleep(0.5)
        yield [
            Contestant("litellm through", port, process.pid, "/through"),
            Contestant("litellm responses", port, process.pid),
        ]


def _free_port() -> int:
    import socket  # for this alone

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


# -------------------------------------------------------------------- the run


def _requests(contestant: Contestant, load: Load, most: int) -> int:
    slow = contestant.name.startswith("litellm")
    if load.paced:
        return load.clients * (1 if slow else 2)
    return max(load.clients, most // (20 if slow else 1) // (4 if load.size == _LARGE else 1))


def _measure(contestants: list[Contestant], loads: list[Load], rounds: int, most: int) -> Measured:
    measured: Measured = {}
    for contestant in contestants:
        _ask(contestant, Load(4), 200 if contestant.name != "litellm responses" else 40)  # warm
    for number in range(rounds):
        for load in loads:
            for contestant in contestants:
                if contestant.name.startswith("litellm") and (number or load.clients > 128):  # noqa: PLR2004
                    continue
                answer = _ask(contestant, load, _requests(contestant, load, most))
                measured.setdefault((contestant.name, load), []).append(answer)
                sys.stderr.write(f"\r{number + 1}/{rounds} {load} {contestant.name:24}")
    sys.stderr.write("\r" + " " * 70 + "\r")
    return measured


def _of(measured: Measured, name: str, load: Load, what: str) -> float:
    return median(answer.get(what, 0.0) for answer in measured[name, load])


def _print_table(measured: Measured) -> None:
    print(
        f"{'':28}{'per s':>8}{'first p50':>11}{'p99':>9}{'whole p50':>11}{'p99':>9}{'CPU ms':>9}{'MB':>7}{'errors':>8}"
    )
    last = None
    for name, load in sorted(measured, key=lambda key: (key[1].paced, key[1].size, key[1].clients)):
        if load != last:
            print(load)
            last = load
        whats = (
            "per_second",
            "first_p50_ms",
            "first_p99_ms",
            "whole_p50_ms",
            "whole_p99_ms",
            "cpu_ms",
            "memory_mb",
            "errors",
        )
        a, b, c, d, e, f, g, h = (_of(measured, name, load, what) for what in whats)
        print(f"  {name:26}{a:8.0f}{b:11.2f}{c:9.2f}{d:11.2f}{e:9.2f}{f:9.3f}{g:7.0f}{h:8.0f}")


def _goals(measured: Measured, *, litellm: bool) -> Iterator[tuple[str, float, float]]:
    """Each goal, what was measured, and what it may be at most."""
    burst, paced = Load(32), Load(128, paced=True)
    ours = _of(measured, "recorder", burst, "cpu_ms")
    yield "CPU per request, ms (c=32)", ours, 0.6
    yield "the same, times the bare proxy", ours / _of(measured, "bare", burst, "cpu_ms"), 1.5
    if litellm:
        yield "the same, times LiteLLM pass-through", ours / _of(measured, "litellm through", burst, "cpu_ms"), 1 / 10
        yield (
            "the same, times LiteLLM /v1/responses",
            ours / _of(measured, "litellm responses", burst, "cpu_ms"),
            1 / 35,
        )
    firsts = [_of(measured, name, Load(1), "first_p50_ms") for name in ("recorder", "direct")]
    yield "first byte over direct, ms (c=1)", firsts[0] - firsts[1], 1.0
    firsts = [_of(measured, name, paced, "first_p50_ms") for name in ("recorder", "direct")]
    yield "first byte over direct, ms (128 paced)", firsts[0] - firsts[1], 30.0
    wholes = [_of(measured, name, paced, "whole_p99_ms") for name in ("recorder", "direct")]
    yield "total p99 times direct (128 paced)", wholes[0] / wholes[1], 1.1
    yield "errors (128 paced)", _of(measured, "recorder", paced, "errors"), 0
    yield "CPU per request of 390 kB, ms (c=32)", _of(measured, "recorder", Load(32, _LARGE), "cpu_ms"), 2.0
    for name in ("recorder", "snapshots"):
        yield f"memory at 256 streams, MB ({name})", _of(measured, name, Load(256, paced=True), "memory_mb"), 80
        most = max(answer["memory_mb"] for (who, _), answers in measured.items() if who == name for answer in answers)
        yield f"memory after any of these, MB ({name})", most, 80


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python benchmarks/proxy/bench.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000, help="of 19 kB in each burst")
    parser.add_argument("--no-litellm", action="store_true")
    parser.add_argument(
        "--flat", type=int, default=100_000, help="requests through one recorder, whose memory is watched"
    )
    options = parser.parse_args(arguments)
    loads = [Load(clients, size) for size in (_SMALL, _LARGE) for clients in (1, 32, 128, 256)]
    loads += [Load(32, _SMALL, turns=1), Load(32, _LARGE, turns=1), Load(256, _LARGE, turns=1)]
    loads += [Load(256, _LARGE, paced=True, turns=1)]
    loads += [Load(clients, paced=True) for clients in (1, 32, 128, 256)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_CHECKOUT / ".make")))
        provider = stack.enter_context(_running([_PYTHON, str(_HERE / "provider.py")], 1))
        assert provider.stdout
        upstream = int(provider.stdout.readline())
        team = ("--skills", _skills(folder), "--inject", "catalogue")
        recorder = stack.enter_context(_ours("recorder", upstream, folder, *team, record="on"))
        bare = stack.enter_context(_ours("bare", upstream, folder, record="off"))
        team = (*team, "--snapshots", str(folder / "snapshots"))
        snapshots = stack.enter_context(_ours("snapshots", upstream, folder, *team, record="on"))
        floor = stack.enter_context(_ours("floor", upstream, folder, record="on", program=(str(_HERE / "floor.py"),)))
        contestants = [Contestant("direct", upstream, None), bare, floor, recorder, snapshots]
        if not options.no_litellm:
            contestants += stack.enter_context(_litellm_running(upstream, folder))
        measured = _measure(contestants, loads, options.rounds, options.requests)
        flat = list(_flat(recorder, options.flat))
    _print_table(measured)
    print()
    missed = 0
    for what, found, most in (*_goals(measured, litellm=not options.no_litellm), *flat):
        verdict = "ok" if found <= most else f"missed by {found - most:.3g}"
        missed += found > most
        print(f"{what:44}{found:10.3f}  goal <= {most:<8.4g} {verdict}")
    errors = sum(
        answer["errors"]
        for (name, _), answers in measured.items()
        if name in ("recorder", "snapshots")
        for answer in answers
    )
    return 1 if errors else 0


def _flat(recorder: Contestant, requests: int) -> Iterator[tuple[str, float, float]]:
    """The memory of a recorder that has long been warm, before and after many more requests."""
    if requests and recorder.pid:
        before = _memory_mb(recorder.pid)
        _ask(recorder, Load(32), requests)
        yield f"memory gained over {requests:,} requests, MB", _memory_mb(recorder.pid) - before, 4.0


if __name__ == "__main__":
    sys.exit(main())
