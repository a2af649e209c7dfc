"""Which rules are meant, and whom to ask about them."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.codex.binary import Binary, find
from armarius.codex.rules import rules_files
from armarius.errors import DataError
from armarius.files import private_folder
from armarius.lanes.lanes import Lanes
from armarius.settings import Settings

__all__ = ["AS_JSON", "FILES", "LANE", "codex_of", "files_of", "home_of"]

FILES = click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
LANE = click.option("--lane", help="The rules of this lane. Default: the one that a run would use.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def home_of(settings: Settings, lane: str | None) -> Path:
    """The CODEX_HOME of a lane."""
    lanes = Lanes(settings)
    return lanes.home(lane or lanes.default())


def files_of(settings: Settings, named: tuple[Path, ...], lane: str | None) -> tuple[Path, ...]:
    """The files that are named, else those that would hold here; DataError when there is none."""
    if named:
        return tuple(file.absolute() for file in named)
    home = home_of(settings, lane)
    found = rules_files(home, Path.cwd())
    if not found:
        raise DataError("rules-none", f"no rules in {home / 'rules'} nor here", "begin with `armarius policy init`")
    return found


def codex_of() -> tuple[Settings, Binary]:
    """The settings, and the Codex that decides."""
    settings = configuration.load()
    cache = private_folder(settings.home) / "probes.json"
    return settings, find(setting=settings.codex, search_path=settings.search_path, cache=cache)
