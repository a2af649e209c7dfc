"""`armarius template list`."""

from typing import Any

import click
import msgspec

from armarius.cli.output import print_json, print_table
from armarius.workflows.handoffs import HAND_OFFS
from armarius.workflows.template import read_template, shipped


class TemplateList(msgspec.Struct, frozen=True):
    """Templates by name, and the JSON Schemas of hand-offs by theirs (`armarius.templates.v1`)."""

    templates: dict[str, str]
    hand_offs: dict[str, dict[str, Any]]
    schema: str = "armarius.templates.v1"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the schemas.")
def command(*, as_json: bool) -> int:
    """List the templates and the hand-offs that come along."""
    templates = {name: read_template(name).says for name in shipped()}
    if as_json:
        print_json(TemplateList(templates, HAND_OFFS))
        return 0
    print_table(("TEMPLATE", "WHAT IT DOES"), list(templates.items()))
    print_table(("HAND-OFF", "MEMBERS"), [(name, ", ".join(one["properties"])) for name, one in HAND_OFFS.items()])
    return 0
