"""`armarius workflow list`."""

import click
import msgspec

from armarius.cli.output import print_json, print_table
from armarius.workflows.template import read_template, shipped


class WorkflowLine(msgspec.Struct, frozen=True):
    """A workflow: whether it changes files, and whether it wants a command that decides."""

    name: str
    says: str
    steps: tuple[str, ...]
    writes: bool
    checks: bool


class WorkflowList(msgspec.Struct, frozen=True):
    """The workflows that come along (`armarius.workflows.v1`)."""

    workflows: tuple[WorkflowLine, ...]
    schema: str = "armarius.workflows.v1"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """List the workflows that come along."""
    lines = list[WorkflowLine]()
    for name in shipped():
        one = read_template(name)
        lines.append(WorkflowLine(one.name, one.says, tuple(step.id for step in one.step), one.writes, one.checks))
    if as_json:
        print_json(WorkflowList(tuple(lines)))
        return 0
    rows = [
        (one.name, " → ".join(one.steps), "--write" * one.writes, "--check" * one.checks, one.says) for one in lines
    ]
    print_table(("WORKFLOW", "STEPS", "WRITES", "CHECK", "WHAT IT DOES"), rows)
    return 0
