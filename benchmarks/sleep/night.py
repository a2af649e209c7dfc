"""How long a night takes over twenty sessions, beside SkillOpt's, with the goals.

Owns the machine of each contestant, the order of measurements and the goals. Does not own the model (`night_model.py`),
the stand-in for Codex (`stand_in.py`), nor the peers (`peers.py`).
Invariant: everybody has the same twenty sessions, the same model and the same number of workers, and nobody else's
home. Times are of whole commands, by the clock on the wall.

    python benchmarks/sleep/night.py [--rounds 2] [--seconds 1] [--workers 8] [--only stand-in|codex] [--no-skillopt]
        [--seed 23]

The model takes a second for each request, and its edit does nothing: that is the night that most nights are. With the
stand-in a run is one request, as for SkillOpt; real Codex lists the skill, and the model reads it first, so that a
replay is two requests with us and one with SkillOpt, which writes the skill into the prompt.

The critical path is the same runs without Armarius: what the night had Codex do, step after step (naming, training,
reflection, gate), each step's bare `codex exec` so many at a time, in homes as the night had made them.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import tomli_w
from night_model import SECTION, NightModel
from peers import python_of_peers
from stand_in import session

from armarius.clock import SystemClock
from armarius.codex.binary import locate
from armarius.rollouts.reader import read_rollout
from armarius.runs.records import RunRow
from armarius.store.ledger import open_ledger
from armarius.store.queries import Query
from armarius.testing import benchmarks
from armarius.testing.model_server import ModelServer
from armarius.thread import Usage

__all__ = ["main"]

SESSIONS = 20
GOAL_STAND_IN_S = 15.0
GOAL_OF_PATH = 1.25
_LONGEST_S = 600
_RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY created_at_us, id")
_TWICE = Query(
    "twice",
    "Runs that succeeded more than once.",
    "SELECT run_id FROM attempt WHERE outcome = 'succeeded' GROUP BY run_id HAVING COUNT(*) > 1",
)


class Machine(NamedTuple):
    """One contestant's: its folders, its Codex, and the model behind it."""

    folder: Path
    codex: Path
    workers: int
    server: ModelServer
    model: NightModel

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def skill(self) -> Path:
        return self.project / ".agents" / "skills" / "writer" / "SKILL.md"

    @property
    def codex_home(self) -> Path:
        return self.folder / "home" / ".codex"

    @property
    def state(self) -> Path:
        return self.folder / "home" / "armarius"

    def environ(self, **more: str) -> dict[str, str]:
        home = {"HOME": str(self.folder / "home"), "CODEX_HOME": str(self.codex_home)}
        return {"PATH": os.environ["PATH"], "ARMARIUS_HOME": str(self.state), **home, **more}


class Took(NamedTuple):
    """Seconds by the clock, seconds of CPU of the command and all its children, requests, and what it said."""

    wall_s: float
    cpu_s: float
    requests: int
    said: dict[str, Any]


@contextmanager
def machine(codex: Path | None, given: argparse.Namespace) -> Generator[Machine]:
    """A fresh user with twenty sessions; without a `codex` the stand-in."""
    model = NightModel(given.seconds, given.seed)
    with tempfile.TemporaryDirectory(prefix="armarius-night-") as name, ModelServer(model) as server:
        folder = Path(name)
        made = Machine(folder, codex or _stand_in(folder), given.workers, server, model)
        made.skill.parent.mkdir(parents=True)
        made.skill.write_bytes(benchmarks.load("seed-missing-structure").skill)
        made.codex_home.mkdir(parents=True)
        provider = {"name": "s", "base_url": server.base_url, "wire_api": "responses"}
        config = {"model": "gpt-5.5", "model_provider": "s", "model_providers": {"s": provider}}
        (made.codex_home / "config.toml").write_text(tomli_w.dumps(config))
        _write_sessions(made)
        yield made


def _stand_in(folder: Path) -> Path:
    path = folder / "bin" / "codex"
    path.parent.mkdir()
    program = Path(__file__).with_name("stand_in.py").read_text(encoding="utf-8")
    path.write_text(f"#!{sys.executable} -IS\n{program}", encoding="utf-8")
    path.chmod(0o755)
    return path


def _write_sessions(made: Machine) -> None:
    """One kind of work, each time about something else; where the CLI keeps sessions, and where the archive does."""
    seed = benchmarks.load("seed-missing-structure")
    usage = {"input_tokens": 9_000, "output_tokens": 500, "total_tokens": 9_500}
    places = made.codex_home / "sessions" / "2026" / "11" / "20", made.codex_home / "archived_sessions"
    for place in places:
        place.mkdir(parents=True)
    for number, task in enumerate((*seed.training, *seed.held_out)[:SESSIONS]):
        thread = f"01a1f8dc-0000-7000-8000-{number:011x}0"
        said = {"prompt": task.task + SECTION, "answer": "A brief.", "response": f"r{number}"}
        text = session(thread, cwd=str(made.project), usage=usage, **said)
        for place in places:
            (place / f"rollout-2026-11-20T10-00-{number:02}-{thread}.jsonl").write_text(text, encoding="utf-8")


def ours(made: Machine) -> Took:
    """A whole night of Armarius, from the sessions to the report."""
    return _timed(made, _words(made), made.environ(ARMARIUS_CODEX=str(made.codex)))


def _words(made: Machine) -> list[str]:
    words = ["sleep", "run", "--backend", "codex", "--lookback-hours", "0", "--workers", str(made.workers), "--json"]
    return [sys.executable, "-m", "armarius", *words, "--target-skill-path", str(made.skill)]


def skillopt(made: Machine, workers: int) -> Took:
    """A whole night of SkillOpt-Sleep on the same sessions."""
    words = ["run", "--project", str(made.project), "--backend", "codex", "--codex-path", str(made.codex), "--json"]
    words += ["--source", "codex", "--codex-home", str(made.codex_home), "--lookback-hours", "0"]
    words += ["--claude-home", str(made.folder / "home" / ".claude"), "--target-skill-path", str(made.skill)]
    argv = [python_of_peers(), "-m", "skillopt_sleep", *words]
    return _timed(made, argv, made.environ(SKILLOPT_SLEEP_WORKERS=str(workers)))


def _timed(made: Machine, argv: Sequence[str], environ: dict[str, str]) -> Took:
    asked, before, began = made.server.requests, os.times(), time.monotonic()
    done = subprocess.run(
        argv,
        cwd=made.project,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LONGEST_S,
        check=False,
    )
    wall, after = time.monotonic() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{argv[2:5]} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-2_000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(wall, cpu, made.server.requests - asked, json.loads(done.stdout))


def critical_path_s(made: Machine) -> float:
    """The same runs without us: step after step, each so many at a time."""
    runs = _runs(made)
    steps = {
        "naming": [run for run in runs if run.role == "reflection" and "ARMARIUS NAMING" in run.asked.prompt],
        "training": [run for run in runs if run.role == "replay" and run.created_at_us < _reflected_at(runs)],
        "reflection": [run for run in runs if run.role == "reflection" and "ARMARIUS REFLECTION" in run.asked.prompt],
        "gate": [run for run in runs if run.role == "replay" and run.created_at_us > _reflected_at(runs)],
    }
    assert sum(map(len, steps.values())) == len(runs)
    fresh = made.folder / "bare"
    prepared = {name: [_bare_home(run, fresh / run.id) for run in of_it] for name, of_it in steps.items()}
    began = time.monotonic()
    with ThreadPoolExecutor(made.workers) as pool:
        for name, of_it in steps.items():
            list(pool.map(partial(_bare, made), of_it, prepared[name]))
    return time.monotonic() - began


def _reflected_at(runs: Sequence[RunRow]) -> int:
    return next(run.created_at_us for run in runs if "ARMARIUS REFLECTION" in run.asked.prompt)


def _bare_home(run: RunRow, fresh: Path) -> Path:
    """The CODEX_HOME that the night had made for a run, before it was used."""
    fresh.mkdir(parents=True)
    old = Path(run.asked.codex_home)
    shutil.copy(old / "config.toml", fresh)
    if (old / "skills").is_dir():
        shutil.copytree(old / "skills", fresh / "skills")
    (fresh / "schema.json").write_text(json.dumps(run.asked.schema))
    return fresh


def _bare(made: Machine, run: RunRow, home: Path) -> None:
    argv = [str(made.codex), "exec", "--json", "--skip-git-repo-check", "-s", "read-only", "-C", run.asked.cwd]
    argv += ["-c", "analytics.enabled=false", "-c", "features.plugins=false", "-c", "skills.bundled.enabled=false"]
    argv += ["--output-schema", str(home / "schema.json")] if run.asked.schema else []
    subprocess.run(
        [*argv, "-"],
        cwd=run.asked.cwd,
        env=made.environ(CODEX_HOME=str(home), HOME=str(home)),
        input=run.asked.prompt.encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_LONGEST_S,
        check=True,
    )


def killed_half_way(made: Machine, half: int) -> tuple[Took, int, int]:
    """The night that goes on after a kill -9 at so many requests; runs finished by then, and runs paid twice."""
    victim = subprocess.Popen(
        _words(made),
        cwd=made.project,
        env=made.environ(ARMARIUS_CODEX=str(made.codex)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with victim:
        while made.server.requests < half and victim.poll() is None:
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
    finished = sum(run.state == "succeeded" for run in _runs(made))
    again = ours(made)
    with closing(open_ledger(made.state / "ledger.sqlite", SystemClock())) as ledger:
        return again, finished, len(ledger.fetch(_TWICE))


def _runs(made: Machine) -> list[RunRow]:
    with closing(open_ledger(made.state / "ledger.sqlite", SystemClock())) as ledger:
        return ledger.fetch(_RUNS, RunRow)


def recorded(made: Machine) -> Usage:
    """What Codex wrote down in the session files of all replays, summed."""
    files = (made.state / "replays").glob("*/codex/sessions/**/rollout-*.jsonl")
    return sum((one.usage for file in files for one in read_rollout(file).responses), Usage())


class Verdicts:
    """Lines with goals, and how many were missed."""

    def __init__(self) -> None:
        self.missed = 0

    def at_most(self, what: str, value: float, goal: float, unit: str = "s") -> None:
        met = value <= goal
        self.missed += not met
        print(f"{what:58}{value:9.2f} {unit:3} goal <= {goal:g}  {'ok' if met else 'MISSED'}", flush=True)

    def told(self, what: str, value: float, unit: str = "s", more: str = "") -> None:
        print(f"{what:58}{value:9.2f} {unit:3} {more}", flush=True)


def on_stand_in(given: argparse.Namespace, verdicts: Verdicts) -> None:
    print("a stand-in for Codex, a null edit")
    nights, paths, theirs = list[Took](), list[float](), list[Took]()
    for _ in range(given.rounds):
        with machine(None, given) as made:
            nights.append(ours(made))
            paths.append(critical_path_s(made))
        if given.skillopt:
            with machine(None, given) as made:
                theirs.append(skillopt(made, given.workers))
    verdicts.told("critical path: the same runs of the stand-in alone", median(paths))
    verdicts.at_most(f"armarius sleep run, {given.workers} workers", _wall(nights), GOAL_STAND_IN_S)
    _tell(nights, verdicts)
    if given.skillopt:
        verdicts.told(f"SkillOpt-Sleep, {given.workers} workers", _wall(theirs), more=_calls(theirs))
        with machine(None, given) as made:
            alone = skillopt(made, 1)
            verdicts.told("SkillOpt-Sleep as it comes (1 worker)", alone.wall_s, more=_calls([alone]))


def on_codex(given: argparse.Namespace, verdicts: Verdicts) -> None:
    codex, _ = locate(setting=os.environ.get("ARMARIUS_CODEX"), search_path=os.environ["PATH"])
    version = subprocess.run([codex, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"\nreal {version}, a null edit")
    nights, paths, theirs = list[Took](), list[float](), list[Took]()
    for _ in range(given.rounds):
        with machine(codex, given) as made:
            nights.append(ours(made))
            said, codex_says = nights[-1].said, recorded(made)
            told = sum(made.server.usage.values(), Usage())
            paths.append(critical_path_s(made))
            _usage(said, codex_says, told, verdicts)
        if given.skillopt:
            with machine(codex, given) as made:
                theirs.append(skillopt(made, given.workers))
    ratios = [night.wall_s / path for night, path in zip(nights, paths, strict=True)]
    verdicts.told("critical path: the same runs as bare codex exec", median(paths))
    verdicts.told(f"armarius sleep run, {given.workers} workers", _wall(nights))
    _tell(nights, verdicts)
    verdicts.at_most("of the critical path", median(ratios), GOAL_OF_PATH, "x")
    if given.skillopt:
        verdicts.told(f"SkillOpt-Sleep, {given.workers} workers", _wall(theirs), more=_calls(theirs))
        verdicts.at_most("of SkillOpt's time", _wall(nights) / _wall(theirs), 1.0, "x")
    with machine(codex, given) as made:
        again, finished, twice = killed_half_way(made, nights[0].requests // 2)
        paid = sum(run.outcome.responses for run in _runs(made) if run.outcome)
        verdicts.told(f"after kill -9 with {finished} runs finished, the same command", again.wall_s)
        verdicts.at_most("finished runs repeated", twice, 0, "")
        verdicts.at_most("requests that no run of the ledger accounts for", made.server.requests - paid, 0, "")
        _usage(again.said, recorded(made), sum(made.server.usage.values(), Usage()), verdicts)


def _usage(said: dict[str, Any], codex_says: Usage, told: Usage, verdicts: Verdicts) -> None:
    reported = sum(said["usage"][name] for name in ("input", "output"))
    verdicts.at_most("reported tokens off Codex's records", abs(reported - codex_says.total), 0, "")
    verdicts.at_most("Codex's records off what the model told it", abs(codex_says.total - told.total), 0, "")


def _tell(nights: Sequence[Took], verdicts: Verdicts) -> None:
    for night in nights:
        said = night.said
        replays = f"{said['runs']} runs, {night.requests} requests, {said['pairs_used']} pairs: {said['decision']}"
        verdicts.told("  its CPU, with all its children", night.cpu_s, more=replays)


def _wall(took: Sequence[Took]) -> float:
    return median(one.wall_s for one in took)


def _calls(took: Sequence[Took]) -> str:
    return f"{took[0].requests} requests, {took[0].cpu_s:.1f} s of CPU, accepted: {took[0].said['accepted']}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was measured beside the goals; 1 when one was missed."""
    parser = argparse.ArgumentParser(description="How long a night takes over twenty sessions.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="that the model takes for a request")
    parser.add_argument("--seed", type=int, default=23, help="of the tosses; 23 keeps the gate busy all night")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--only", choices=["stand-in", "codex"])
    parser.add_argument("--no-skillopt", dest="skillopt", action="store_false")
    given = parser.parse_args(argv)
    verdicts = Verdicts()
    load = os.getloadavg()
    print(f"{SESSIONS} sessions, {given.seconds:g} s a request, {given.workers} workers, {os.cpu_count()} cores; "
          f"load {load[0]:.1f} before; medians of {given.rounds} rounds")  # fmt: skip
    if given.only != "codex":
        on_stand_in(given, verdicts)
    if given.only != "stand-in":
        on_codex(given, verdicts)
    print(f"{verdicts.missed} goals missed")
    return int(verdicts.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
