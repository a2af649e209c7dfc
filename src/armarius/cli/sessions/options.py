"""The flags that the commands of `armarius sessions` share."""

from pathlib import Path

import click

__all__ = ["AS_JSON", "HOME"]

HOME = click.option(
    "--codex-home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Look here; default: your CODEX_HOME.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
