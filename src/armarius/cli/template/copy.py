"""`armarius template copy`."""

import os
from pathlib import Path

import click
import msgspec

from armarius.cli.output import print_json, say
from armarius.errors import DataError, UsageError, nearest
from armarius.files import write_atomic
from armarius.workflows.template import shipped


class TemplateCopied(msgspec.Struct, frozen=True):
    """A template that was copied (`armarius.template.v1`)."""

    template: str
    path: str
    schema: str = "armarius.template.v1"


@click.command()
@click.argument("template")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, template: str, file: Path | None, as_json: bool) -> int:
    """Copy a template to a file of yours.

    FILE is TEMPLATE.toml in this folder if left out; nothing is overwritten. `armarius workflow run FILE`
    does it.
    """
    known = shipped()
    if template not in known:
        raise UsageError("template-unknown", f"no template called {template!r}", nearest(template, tuple(known)))
    path = (file or Path(f"{template}.toml")).absolute()
    if path.suffix != ".toml":
        raise UsageError("template-file", f"{path.name} does not end in .toml", "name it so")
    if os.path.lexists(path):
        raise DataError("exists", f"{path} is there already", "name another FILE")
    if not path.parent.is_dir():
        raise DataError("folder-missing", f"no folder at {path.parent}", "make it first")
    write_atomic(path, known[template].read_bytes(), mode=0o644)
    if as_json:
        print_json(TemplateCopied(template, str(path)))
    else:
        say(str(path))
    return 0
