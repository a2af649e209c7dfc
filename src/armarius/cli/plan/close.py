"""`armarius plan close`."""

from pathlib import Path

import click

from armarius.cli.output import print_json, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of, strict_repository
from armarius.clock import SystemClock
from armarius.plans.closing import close_plan
from armarius.plans.folder import find_plan


@click.command()
@click.argument("plan", required=False)
@click.option("--abandon", metavar="REASON", help="Give it up, whatever is left to do.")
@click.option("--strict-evidence", "strict", is_flag=True, help="Each done item must name a run that succeeded.")
@FOLDER
@AS_JSON
def command(*, plan: str | None, abandon: str | None, strict: bool, folder: Path | None, as_json: bool) -> int:
    """Note that a plan is done, or was given up.

    PLAN is its path, its slug or the beginning of one; without it, the only open plan. It is closed only
    when every step is done and no rule is broken; else nothing changes, and the exit code is 1.
    """
    root = root_of(folder)
    with strict_repository(root, adopted=False, strict=strict) as repository:
        closed = close_plan(repository, find_plan(root, plan), SystemClock(), abandon=abandon)
    print_json(closed) if as_json else say(f"{closed.path}: {closed.note}")
    return 0
