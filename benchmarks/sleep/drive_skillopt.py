"""SkillOpt-Sleep on one skill of the bundled benchmark; runs in the environment of the peers.

Owns asking SkillOpt's own code: its loader with its split, its Codex backend, its `consolidate` with the settings of
its own benchmark (mixed gate, four edits, no memory). Does not own what is measured.
Invariant: a night is a fresh backend, as each of its nights is a process, and the held-out tasks are not shown to it.

    python drive_skillopt.py '{"codex": …, "data": …, "seed": …, "skill": …, "nights": 3}'
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(asked: dict[str, Any]) -> dict[str, Any]:
    backends: Any = import_module("skillopt_sleep.backend")  # only in the peers' environment
    engine: Any = import_module("skillopt_sleep.consolidate")
    benchmark: Any = import_module("skillopt_sleep.experiments.gbrain_bench")

    _, tasks = benchmark.load_seed(asked["data"], asked["seed"])
    tasks = [task for task in tasks if task.split != "test"]
    skill = Path(asked["skill"]).read_text()
    nights, errors, adopted = 0, list[str](), False
    while nights < asked["nights"] and not adopted:
        nights += 1
        backend = backends.CodexCliBackend(codex_path=asked["codex"])
        done = engine.consolidate(
            backend, tasks, skill, "", edit_budget=4, gate_metric="mixed", evolve_memory=False, night=nights
        )
        errors += [backend.last_call_error] if backend.last_call_error else []
        adopted, skill = done.accepted, done.new_skill
        if not done.applied_edits and not done.rejected_edits:
            break
    return {"skill": skill, "adopted": adopted, "nights": nights, "errors": errors}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
