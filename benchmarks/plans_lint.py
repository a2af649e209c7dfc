"""How long the rules take on a thousand plans: at most two seconds.

Owns the plans, the measurement and its goal. Does not own the rules.
Invariant: every plan is a file of its own with paths that are looked up, half of them break rules; all of the
time counts, reading included, in a process that has checked nothing before.

    python benchmarks/plans_lint.py [--plans N] [--steps N]
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from armarius.plans.check import CheckReport, Repository
from armarius.plans.folder import plans_in

GOAL_S = 2.0
GOAL_PLANS = 1_000
GOOD = Path(__file__).parents[1] / "tests" / "plans" / "good_plan.md"


def main() -> int:
    """Print the time; 1 when the goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=int, default=GOAL_PLANS)
    parser.add_argument("--steps", type=int, default=12, help="done steps and decisions in each plan")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        size = write_plans(root, options.plans, options.steps)
        began, before = time.monotonic(), cpu()
        repository = Repository(root)
        report = CheckReport.of(tuple(map(repository.check, plans_in(root))))
        wall, spent = time.monotonic() - began, cpu() - before
    goal = GOAL_S * options.plans / GOAL_PLANS
    verdict = "ok" if spent <= goal else "MISSED"
    print(f"{len(report.plans)} plans, {size / 1e6:.1f} MB, {report.errors} errors, {report.warnings} warnings")
    print(f"{spent:.2f} s of CPU, {wall:.2f} s; goal {goal:g} s: {verdict}")
    return verdict != "ok"


def write_plans(root: Path, count: int, steps: int) -> int:
    """Plans as they are after some days of work; their bytes."""
    for folder in (".git", ".agent", "src", "tests", "execplans"):
        (root / folder).mkdir()
    for file in (".agent/PLANS.md", "src/greet.py", "tests/test_greet.py"):
        (root / file).write_text("x\n")
    good = GOOD.read_text(encoding="utf-8")
    done = "".join(
        f"- [x] (2026-01-31 14:{number % 60:02}Z) Changed `src/greet.py` so that case {number} is right, seen in"
        f" run_0193aaaa-0000-7000-8000-{number:012}.\n"
        for number in range(10, 10 + steps)
    )
    logged = "".join(
        f"- Decision: leave case {number} to the caller of `greet(name)`.\n  Rationale: it knows who is greeted, and"
        f" there are {number} of them.\n  Date/Author: 2026-02-01, the author.\n\n"
        for number in range(steps)
    )
    text = good.replace("- [ ] (2026-01-31 14:10Z)", f"{done}- [ ] (2026-01-31 14:10Z)")
    text = text.replace("- Decision: count", f"{logged}- Decision: count")
    size = 0
    for number in range(count):
        plan = text.replace("greeting", f"greeting number {number}")
        if number % 2:
            plan = plan.replace("  Rationale:", "  Reason:").replace("`tests/test_greet.py`", f"`tests/{number}.py`")
        size += (root / "execplans" / f"execplan-{number}.md").write_text(plan)
    return size


def cpu() -> float:
    """Seconds that this process has computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
