"""`armarius plan list`."""

from pathlib import Path

import click

from armarius.cli.output import print_json, print_table, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of
from armarius.plans.check import Repository
from armarius.plans.folder import PlanList, line_of, plans_in


@click.command("list")
@FOLDER
@AS_JSON
def command(*, folder: Path | None, as_json: bool) -> int:
    """List plans, and how they stand."""
    root = root_of(folder)
    repository = Repository(root)
    plans = tuple(line_of(path, repository) for path in plans_in(root))
    if as_json:
        print_json(PlanList(plans))
    elif not plans:
        say('No plans in execplans/. Make one with `armarius plan new "Title"`.')
    else:
        rows = [
            (plan.path, plan.state, f"{plan.done}/{plan.steps}", str(plan.errors), plan.next_step or "")
            for plan in plans
        ]
        print_table(("PLAN", "STATE", "DONE", "ERRORS", "NEXT"), rows)
    return 0
