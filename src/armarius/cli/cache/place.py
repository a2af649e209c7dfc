"""What the commands on analyses have in common: flags, opening them, and the shape of an answer.

Owns these. Does not own any command.
"""

from pathlib import Path

import click
import msgspec

from armarius.artefacts.store import Artefact, Artefacts
from armarius.clock import SystemClock
from armarius.errors import UsageError
from armarius.settings import Settings

__all__ = ["AS_JSON", "FOLDER", "PARAMETERS", "TOOL", "Kept", "artefacts_of", "parameters_of"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
FOLDER = click.option("-C", "--cd", "folder", type=click.Path(path_type=Path), help="The repository of this folder.")
PARAMETERS = click.option("--param", "parameters", metavar="NAME=VALUE", multiple=True, help="What the tool was told.")
TOOL = click.option("--tool", required=True, help="What made it, with its version.")


class Kept(msgspec.Struct, frozen=True):
    """Analyses (`armarius.cache.v1`). `text` is that of the one that was asked for; `bytes` what they weigh."""

    artefacts: tuple[Artefact, ...]
    bytes: int
    text: str | None = None
    dry_run: bool = False
    schema: str = "armarius.cache.v1"


def artefacts_of(settings: Settings) -> Artefacts:
    """The user's analyses."""
    return Artefacts(settings.home / "artefacts", SystemClock())


def parameters_of(said: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE`, each once."""
    found = dict[str, str]()
    for one in said:
        name, sign, value = one.partition("=")
        if not sign or not name or name in found:
            raise UsageError("param", f"{one!r} is no NAME=VALUE, or was said twice", "e.g. --param depth=2")
        found[name] = value
    return found
