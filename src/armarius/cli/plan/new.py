"""`armarius plan new`."""

from collections import Counter
from pathlib import Path

import click

from armarius.cli.output import print_json, say
from armarius.cli.plan.place import AS_JSON, FOLDER, root_of
from armarius.clock import SystemClock
from armarius.plans.rules import RULES
from armarius.plans.setup import new_plan


@click.command()
@click.argument("title")
@FOLDER
@AS_JSON
def command(*, title: str, folder: Path | None, as_json: bool) -> int:
    """Make a plan.

    Writes `execplans/execplan-<slug>.md`, named after TITLE, and says which rules are left for you to
    meet. A plan of that name that is there is kept, and the exit code is 2.
    """
    made = new_plan(root_of(folder), title, SystemClock())
    if as_json:
        print_json(made)
        return 0
    say(made.path)
    left = Counter(found.rule for found in made.left.findings if found.severity == "error")
    for rule, count in sorted(left.items()):
        say(f"  left to write: {rule} {RULES[rule].name}" + (f" ({count})" if count > 1 else ""))
    return 0
