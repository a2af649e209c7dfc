"""Without Codex: our night on `--target-backend openai`, GEPA and a one-shot rewrite, on one budget of replays.

Owns the contestants and the budget. Does not own the model (`scripted.py`) nor the table (`bundled.py`).
Invariant: all contestants ask one scripted model of the same seed over the Responses API, learn from the same tasks of
the bundled benchmark, are judged by the same judges, and may replay a task at most `--budget` times; calls and tokens
are counted at the model. The skill about a tool is left out, as none of them can call one.

    python benchmarks/sleep/offline.py [--quick] [--repeats 3] [--rates 0,0.1,0.3,0.5] [--budget 100]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from bundled import Cell, Made, Row, machine_of, print_table, say_goals
from peers import VERSIONS, python_of_peers
from scripted import REWRITE, Contest, mended, truth
from world import Machine, World, world

from armarius.budget import Budget
from armarius.errors import NoAnswer
from armarius.evolve import staging
from armarius.evolve.bench import Allowance
from armarius.evolve.directly import AnEndpoint, Question
from armarius.evolve.endpoint import Endpoint
from armarius.evolve.judge import Score, score
from armarius.evolve.night import Night, NightOrder
from armarius.evolve.records import find_proposal
from armarius.evolve.tasks import Task, join_rows, split_tasks
from armarius.evolve.thinkers import Responses
from armarius.fence import fenced_json
from armarius.files import private_folder, write_atomic
from armarius.identity import new_id
from armarius.skills.capability import KINDS
from armarius.testing import benchmarks

__all__ = ["main"]

_CONTESTANTS: Final = ("armarius", "gepa", "one-shot")
_NIGHTS: Final = 3
_SEEDS: Final = tuple(name for name in benchmarks.seeds() if name != "seed-no-brain-first")


class Course(msgspec.Struct, frozen=True):
    """What a contestant has: a world, tasks to learn from and to judge by, a budget and a seed of its own."""

    place: World
    train: tuple[Task, ...]
    judging: tuple[Task, ...]
    budget: int
    chance: int

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.place.server.base_url, "sk-none")


# -------------------------------------------------------------------- contestants


def _armarius(course: Course) -> Made:
    """Nights until one is adopted, three at most, all within the budget."""
    place = course.place
    clock = place.machine.clock
    allowance = Allowance(Budget(requests=course.budget), new_id("pot", clock), clock)
    number = 0
    while number < _NIGHTS:
        number += 1
        order = NightOrder(
            project=place.folder / "project",
            target=place.skill.resolve(),
            tasks=join_rows(course.train, course.judging, reviewed=True),
            owner=place.owner,
            search_path=place.machine.search_path,
            codex_version="",
            workers=place.machine.workers,
        )
        night = Night(
            order,
            runner=place.runner,
            ledger=place.ledger,
            clock=clock,
            home=place.state,
            think=Responses(course.endpoint, model="scripted", folder=place.state / f"answers-{number}"),
            directly=AnEndpoint(course.endpoint, "scripted"),
            allowance=allowance,
        )
        try:
            report = night.run()
        except NoAnswer:  # the budget is used up
            break
        if report.proposal is not None:
            row = find_proposal(place.ledger, report.proposal, "staged")
            staging.adopt(place.ledger, clock, row, set(KINDS))
            return Made(adopted=True, nights=number)
        if report.decision == "none":
            break
    return Made(adopted=False, nights=number)


def _gepa(course: Course) -> Made:
    """Its own adapter, prompt and defaults, in its own environment; `drive_gepa.py`."""
    before, place = course.place.skill.read_text(), course.place
    tasks = {task.task_id: task for task in (*course.train, *course.judging)}
    asked = {
        "url": place.server.base_url,
        "skill": before,
        "train": [{"task_id": task.task_id, "task": task.task} for task in course.train],
        "val": [{"task_id": task.task_id, "task": task.task} for task in course.judging],
        "budget": course.budget,
        "seed": course.chance,
    }
    words = [python_of_peers(), str(Path(__file__).with_name("drive_gepa.py")), json.dumps(asked)]
    environ = {"PATH": place.machine.search_path, "HOME": str(place.home)}
    said: dict[str, Any] = {}
    with (
        (place.folder / "gepa.log").open("w+") as log,
        subprocess.Popen(
            words, env=environ, cwd=place.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        for line in process.stdout:
            said = json.loads(line)
            if "result" not in said:
                process.stdin.write(json.dumps(_feedback(tasks[said["task_id"]], said["answer"])) + "\n")
                process.stdin.flush()
        if process.wait() or "result" not in said:
            log.seek(0)
            return Made(adopted=False, error=log.read()[-500:])
    after = said["result"]["skill"]
    write_atomic(place.skill, after.encode())
    return Made(adopted=after.strip() != before.strip(), nights=said["result"]["candidates"])


def _one_shot(course: Course) -> Made:
    """Each task once, one call that writes the skill anew from what failed, and it is live."""
    place, answers = course.place, AnEndpoint(course.endpoint, "scripted")
    before, failures = place.skill.read_text(), list[dict[str, Any]]()
    for task in (*course.train, *course.judging)[: course.budget]:
        folder = private_folder(place.state / task.task_id)
        answers.put(folder, Question("writer", before, task.task, is_memory=False))
        answer = answers.answer(folder).text
        if failed := _failed(task, score(task.judge, answer, frozenset())):
            failures.append({"task_id": task.task_id, "task": task.task, "answer": answer, "failed": failed})
    if not failures:
        return Made(adopted=False)
    prompt = REWRITE.format(material=fenced_json({"skill": before, "failures": failures}))
    after: str = json.loads(course.endpoint.ask({"model": "scripted", "input": prompt}).text)["skill"]
    write_atomic(place.skill, after.encode())
    return Made(adopted=after != before)


_BY_NAME: Final[dict[str, Callable[[Course], Made]]] = {"armarius": _armarius, "gepa": _gepa, "one-shot": _one_shot}


def _failed(task: Task, found: Score) -> list[Any]:
    return [
        msgspec.to_builtins(check)
        for check, result in zip(task.judge.checks, found.results, strict=True)
        if not result.held
    ]


def _feedback(task: Task, answer: str) -> dict[str, Any]:
    """The score that our gate reads by default, and what failed."""
    found = score(task.judge, answer, frozenset())
    failed = _failed(task, found)
    feedback = f"Checks that this answer failed: {json.dumps(failed)}" if failed else "All checks passed."
    return {"score": 0.5 * found.hard + 0.5 * found.soft, "feedback": feedback}


# -------------------------------------------------------------------- the run


def _measured(cell: Cell, machine: Machine, options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    seed = benchmarks.load(cell.seed)
    base = seed.skill.decode()
    base = mended(base, seed.training) if cell.start == "mended" else base
    train, judging = split_tasks(seed.training)
    for name in _CONTESTANTS:
        contest = Contest(
            cell.repeat * 1_000 + int(cell.rate * 100),
            cell.rate,
            careless=cell.start == "mended",
            dilution=options.dilution,
        )
        with world(folder / name, machine, contest, base) as place:
            began = time.perf_counter()
            made = _BY_NAME[name](Course(place, train, judging, options.budget, cell.repeat))
            seconds = time.perf_counter() - began
            before, after = (
                truth(text, seed.held_out, cell.rate, options.dilution) for text in (base, place.skill.read_text())
            )
            yield Row(
                cell=cell,
                who=name,
                adopted=made.adopted,
                before=before,
                after=after,
                true_before=before,
                true_after=after,
                nights=made.nights,
                runs=place.server.requests,
                tokens=place.tokens,
                seconds=seconds,
                error=made.error,
            )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python benchmarks/sleep/offline.py", description="Beside GEPA, without Codex.")
    parser.add_argument("--quick", action="store_true", help="one repeat at the rates 0 and 0.3")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rates", default="0,0.1,0.3,0.5", help="shares of answers that forget every rule")
    parser.add_argument("--budget", type=int, default=100, help="replays of a task that a contestant may make")
    parser.add_argument("--dilution", type=float, default=0.1, help="what each platitude adds to the rate")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.quick:
        options.repeats, options.rates = 1, "0,0.3"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure every cell, print the table and the goals; 1 when one is missed."""
    options, rows = _options(arguments), list[Row]()
    cells = [
        Cell(seed, repeat, rate, start)
        for start in ("deficient", "mended")
        for repeat in range(1, options.repeats + 1)
        for rate in map(float, options.rates.split(","))
        for seed in _SEEDS
        if start == "deficient" or rate > 0
    ]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as base:
        machine = machine_of(options.workers, Path(base))
        for number, cell in enumerate(cells, start=1):
            sys.stderr.write(f"\r{number}/{len(cells)} {cell.start} {cell.rate} {cell.seed} {cell.repeat}    ")
            with tempfile.TemporaryDirectory(dir=base) as folder:
                rows += _measured(cell, machine, options, Path(folder))
    sys.stderr.write("\n")
    print(
        f"gepa {VERSIONS['gepa']}; {len(cells)} cells, at most {options.budget} replays each, dilution "
        f"{options.dilution:g}, load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores, "
        f"{time.perf_counter() - began:.0f} s"
    )
    print_table(rows, _CONTESTANTS)
    return say_goals(rows)


if __name__ == "__main__":
    sys.exit(main())
