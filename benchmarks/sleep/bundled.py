"""The bundled benchmark `skillopt-v1`: our night, a one-shot rewrite without a gate, and SkillOpt, side by side.

Owns the contestants, the two starts, the table and the goals. Does not own the model (`scripted.py`) nor what a
world is (`world.py`).
Invariant: all contestants run real Codex on a scripted model of the same seed and the same rate of disobedience, have
the same 15 tasks to learn from and as many workers, and are scored in the same way: fresh runs on the 6 held-out tasks
with the skill file that they left, and the truth by what the worker is. Runs and tokens are counted at the model.

    python benchmarks/sleep/bundled.py [--quick] [--seeds a,b] [--repeats 3] [--rates 0,0.1,0.3,0.5] [--workers 2]

The start `deficient` is the benchmark: skills that lack something, an optimizer that writes a rule for each failed
check. The start `mended` is its counterpart: the skills have those rules already, and a careless optimizer proposes
platitudes that make the worker forget its rules in `--dilution` more of its answers. There, to adopt is harm.
With `--rows FILE` what is in the file is not measured again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Literal

import msgspec
from peers import VERSIONS, python_of_peers
from scripted import REWRITE, Contest, mended, truth
from world import DEADLINE_S, Machine, World, world

from armarius import settings as configuration
from armarius.codex.binary import find
from armarius.evolve import staging
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.reading import reading_request
from armarius.evolve.records import find_proposal
from armarius.evolve.tasks import join_rows, split_tasks
from armarius.fence import fenced_json
from armarius.files import write_atomic
from armarius.skills.capability import KINDS
from armarius.testing import benchmarks

__all__ = ["Cell", "Made", "Row", "goals", "machine_of", "main", "print_table", "say_goals"]

Start = Literal["deficient", "mended"]
_NIGHTS: Final = 3
_CONTESTANTS: Final = ("armarius", "one-shot", "skillopt")
_SKILLOPT_NAMES: Final = {
    "seed-missing-structure": "brief-writer",
    "seed-verbose": "thorough-analyst",
    "seed-no-verdict": "advisor",
    "seed-no-brain-first": "quick-answerer",
}
_SAME: Final = 1e-9


class Cell(msgspec.Struct, frozen=True):
    """One user: a skill, a seed of chance, a model that disobeys so often, and where the skill starts."""

    seed: str
    repeat: int
    rate: float
    start: Start


class Row(msgspec.Struct, frozen=True):
    """What a contestant made of a cell; `before` and `after` are shares of held-out runs, the others the truth."""

    cell: Cell
    who: str
    adopted: bool
    before: float
    after: float
    true_before: float
    true_after: float
    nights: int
    runs: int
    tokens: int
    seconds: float
    error: str = ""

    @property
    def is_harmful(self) -> bool:
        return self.adopted and self.true_after < self.true_before - _SAME

    @property
    def is_idle(self) -> bool:
        return self.adopted and abs(self.true_after - self.true_before) <= _SAME


class Made(msgspec.Struct, frozen=True):
    """What a contestant has done: whether it made something live, in how many nights, and what went wrong."""

    adopted: bool
    nights: int = 1
    error: str = ""


# -------------------------------------------------------------------- contestants


def _armarius(place: World, seed: benchmarks.Seed) -> Made:
    """Nights until one is adopted, three at most."""
    machine, number = place.machine, 0
    while number < _NIGHTS:
        number += 1
        order = NightOrder(
            project=place.folder / "project",
            target=place.skill.resolve(),
            tasks=join_rows(*split_tasks(seed.training), reviewed=True),
            owner=place.owner,
            search_path=machine.search_path,
            codex_version=machine.binary.version,
            workers=machine.workers,
            deadline_s=DEADLINE_S,
        )
        report = Night(order, runner=place.runner, ledger=place.ledger, clock=machine.clock, home=place.state).run()
        if report.proposal is not None:
            row = find_proposal(place.ledger, report.proposal, "staged")
            staging.adopt(place.ledger, machine.clock, row, set(KINDS))
            return Made(adopted=True, nights=number)
        if report.decision == "none":
            break
    return Made(adopted=False, nights=number)


class _Rewritten(msgspec.Struct):
    skill: str


_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["skill"],
    "properties": {"skill": {"type": "string"}},
}


def _one_shot(place: World, seed: benchmarks.Seed) -> Made:
    """Each task once, one run that writes the skill anew from what failed, and it is live."""
    lab = place.lab("oneshot")
    trials = place.replayed(lab, seed.training, "train")
    failures = [
        {
            "task_id": task.task_id,
            "task": task.task,
            "answer": trial.answer,
            "failed": [
                msgspec.to_builtins(check)
                for check, result in zip(task.judge.checks, trial.score.results, strict=True)
                if not result.held
            ],
        }
        for task, trial in zip(seed.training, trials, strict=True)
        if trial.score is not None and not trial.score.hard
    ]
    if not failures:
        return Made(adopted=False)
    before = place.skill.read_text()
    prompt = REWRITE.format(material=fenced_json({"skill": before, "failures": failures}))
    [result] = place.run([reading_request(lab, "rewrite", prompt, _SCHEMA)])
    if result.state != "succeeded":
        return Made(adopted=False, error=str(result.problem))
    after = msgspec.convert(result.parsed, _Rewritten).skill
    write_atomic(place.skill, after.encode())
    return Made(adopted=after != before)


def _skillopt(place: World, seed: benchmarks.Seed) -> Made:
    """Its own loader, backend and `consolidate`, in its own environment; `drive_skillopt.py`."""
    with as_file(files("armarius.testing.benchmarks") / "skillopt_v1") as data:
        asked = {
            "codex": str(place.machine.binary.path),
            "data": str(data),
            "seed": _SKILLOPT_NAMES[seed.name],
            "skill": str(place.skill),
            "nights": _NIGHTS,
        }
        environ = {
            "PATH": place.machine.search_path,
            "HOME": str(place.home),
            "CODEX_HOME": str(place.home / ".codex"),
            "SKILLOPT_SLEEP_WORKERS": str(place.machine.workers),
        }
        words = [python_of_peers(), str(Path(__file__).with_name("drive_skillopt.py")), json.dumps(asked)]
        done = subprocess.run(
            words, env=environ, cwd=place.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    if done.returncode:
        return Made(adopted=False, error=done.stderr[-500:])
    said = json.loads(done.stdout.splitlines()[-1])
    write_atomic(place.skill, said["skill"].encode())
    return Made(adopted=said["adopted"], nights=said["nights"], error="; ".join(said["errors"]))


_BY_NAME: Final[dict[str, Callable[[World, benchmarks.Seed], Made]]] = {
    "armarius": _armarius,
    "one-shot": _one_shot,
    "skillopt": _skillopt,
}

# -------------------------------------------------------------------- a cell


def _measured(cell: Cell, who: Sequence[str], machine: Machine, dilution: float, folder: Path) -> Iterator[Row]:
    """One row for each contestant, who take turns in being first."""
    seed = benchmarks.load(cell.seed)
    base = seed.skill.decode()
    base = mended(base, seed.training) if cell.start == "mended" else base
    chance = cell.repeat * 1_000 + int(cell.rate * 100)
    before = _held_out(folder / "before", machine, cell, base, dilution=dilution)
    turn = (cell.repeat + benchmarks.seeds().index(cell.seed)) % len(who)
    for name in (*who[turn:], *who[:turn]):
        contest = Contest(chance, cell.rate, careless=cell.start == "mended", dilution=dilution)
        with world(folder / name, machine, contest, base) as place:
            began = time.perf_counter()
            made = _BY_NAME[name](place, seed)
            seconds = time.perf_counter() - began
            runs, tokens, after = len(contest.threads), place.tokens, place.skill.read_text()
        yield Row(
            cell=cell,
            who=name,
            adopted=made.adopted,
            before=before,
            after=_held_out(folder / f"after-{name}", machine, cell, after, dilution=dilution)
            if made.adopted
            else before,
            true_before=truth(base, seed.held_out, cell.rate, dilution),
            true_after=truth(after, seed.held_out, cell.rate, dilution),
            nights=made.nights,
            runs=runs,
            tokens=tokens,
            seconds=seconds,
            error=made.error,
        )


def _held_out(folder: Path, machine: Machine, cell: Cell, skill: str, *, dilution: float) -> float:
    """The share of fresh runs on the held-out tasks that pass, with this skill; by a model of another seed."""
    contest = Contest(cell.repeat + 77_777, cell.rate, dilution=dilution)
    with world(folder, machine, contest, skill) as place:
        trials = place.replayed(place.lab("score"), benchmarks.load(cell.seed).held_out, "score")
    return sum(trial.score is not None and trial.score.hard for trial in trials) / len(trials)


# -------------------------------------------------------------------- the table


def print_table(rows: Sequence[Row], who: Sequence[str]) -> None:
    """A line for each start, rate and contestant; means over skills and repeats."""
    print(
        f"{'start':10}{'rate':>5}  {'contestant':11}{'0 -> 1':>8}{'before':>8}{'after':>7}{'truth':>14}"
        f"{'adopted':>9}{'harmful':>9}{'idle':>6}{'nights':>8}{'runs':>6}{'tokens':>11}{'seconds':>9}"
    )
    for key in sorted({(row.cell.start, row.cell.rate) for row in rows}):
        for name in who:
            some = [row for row in rows if (row.cell.start, row.cell.rate) == key and row.who == name]
            if some:
                print(_line(key, name, some))


def _line(key: tuple[str, float], name: str, rows: Sequence[Row]) -> str:
    def mean(what: Callable[[Row], float]) -> float:
        return sum(map(what, rows)) / len(rows)

    of = len(rows)
    whole = sum((row.before, row.after) == (0.0, 1.0) for row in rows)
    adopted = sum(row.adopted for row in rows)
    harmful = sum(row.is_harmful for row in rows)
    idle = sum(row.is_idle for row in rows)
    return (
        f"{key[0]:10}{key[1]:5.2f}  {name:11}{f'{whole}/{of}':>8}{mean(lambda r: r.before):8.2f}"
        f"{mean(lambda r: r.after):7.2f}"
        f"{mean(lambda r: r.true_before):7.2f}{mean(lambda r: r.true_after):7.2f}{f'{adopted}/{of}':>9}{harmful:9}"
        f"{idle:6}{mean(lambda r: r.nights):8.1f}{mean(lambda r: r.runs):6.0f}{mean(lambda r: r.tokens):11,.0f}"
        f"{mean(lambda r: r.seconds):9.1f}"
    )


def goals(rows: Sequence[Row]) -> Iterator[tuple[str, bool]]:
    ours = [row for row in rows if row.who == "armarius"]
    obedient = [row for row in ours if row.cell.start == "deficient" and row.cell.rate == 0]
    if obedient:
        whole = sum((row.before, row.after) == (0.0, 1.0) for row in obedient)
        yield f"{whole} of {len(obedient)} from 0.00 to 1.00 with an obedient model", whole == len(obedient)
    harmful = sum(row.is_harmful for row in ours)
    yield f"{harmful} harmful adoptions in {len(ours)} cells", harmful == 0
    yield "no contestant met an error", not any(row.error for row in rows)


def say_goals(rows: Sequence[Row]) -> int:
    """Each goal and whether it is met, after what went wrong; 1 when one is missed."""
    for row in rows:
        if row.error:
            print(f"{row.who} {row.cell}: {row.error[:300]}")
    missed = 0
    for goal, met in goals(rows):
        missed += not met
        print(f"{'ok    ' if met else 'MISSED'} {goal}")
    return 1 if missed else 0


# -------------------------------------------------------------------- the run


def _known(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]


def machine_of(workers: int, folder: Path) -> Machine:
    settings = configuration.load()
    binary = find(
        setting=settings.codex,
        search_path=settings.search_path,
        user_home=settings.user_home,
        cache=folder / "probes.json",
    )
    return Machine(binary, settings.search_path, workers)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python benchmarks/sleep/bundled.py", description="The bundled benchmark.")
    parser.add_argument("--quick", action="store_true", help="one repeat of two skills at the rates 0 and 0.3")
    parser.add_argument("--seeds", default=",".join(benchmarks.seeds()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rates", default="0,0.1,0.3,0.5", help="shares of answers that forget every rule")
    parser.add_argument("--starts", default="deficient,mended")
    parser.add_argument("--contestants", default=",".join(_CONTESTANTS))
    parser.add_argument("--dilution", type=float, default=0.1, help="what each platitude adds to the rate")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, for every contestant")
    parser.add_argument("--rows", type=Path, help="keep each row in this file, and measure none twice")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.repeats, options.rates = "seed-missing-structure,seed-no-brain-first", 1, "0,0.3"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure every cell, print the table and the goals; 1 when one is missed."""
    options = _options(arguments)
    cells = [
        Cell(seed, repeat, rate, start)
        for repeat in range(1, options.repeats + 1)
        for start in options.starts.split(",")
        for rate in map(float, options.rates.split(","))
        for seed in options.seeds.split(",")
        if start == "deficient" or rate > 0  # who obeys always leaves nothing to reflect on
    ]
    rows = _known(options.rows)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as base:
        machine = machine_of(options.workers, Path(base))
        for number, cell in enumerate(cells, start=1):
            who = [
                name for name in options.contestants.split(",") if (cell, name) not in {(r.cell, r.who) for r in rows}
            ]
            if not who:
                continue
            sys.stderr.write(f"\r{number}/{len(cells)} {cell.start} {cell.rate} {cell.seed} {cell.repeat}    ")
            with tempfile.TemporaryDirectory(dir=base) as folder:
                for row in _measured(cell, who, machine, options.dilution, Path(folder)):
                    rows.append(row)
                    if options.rows:
                        with options.rows.open("ab") as file:
                            file.write(msgspec.json.encode(row) + b"\n")
    sys.stderr.write("\n")
    rows = [row for row in rows if row.cell in cells]
    print(
        f"Codex {machine.binary.version}, {', '.join(f'{n} {v}' for n, v in VERSIONS.items() if n == 'skillopt')}; "
        f"{len(cells)} cells, {options.workers} workers, dilution {options.dilution:g}, "
        f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores, {time.perf_counter() - began:.0f} s"
    )
    print_table(rows, _CONTESTANTS)
    return say_goals(rows)


if __name__ == "__main__":
    sys.exit(main())
