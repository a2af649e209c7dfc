"""What several commands of `armarius sleep` share: options, and where skills may be."""

from pathlib import Path

import click

from armarius import settings as configuration
from armarius.settings import Settings

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _as_in_ledger(_context: click.Context, _option: click.Parameter, named: Path | None) -> str:
    return "" if named is None else str(configuration.project_root(named))


OF_PROJECT = click.option(
    "--project",
    type=click.Path(path_type=Path),
    callback=_as_in_ledger,
    help="Only what belongs to this project.  [default: all]",
)
PROJECT = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project; default: here.",
)


def roots_of(settings: Settings, project: Path) -> tuple[Path, ...]:
    """Where skills of the user's may be: this project, both homes, and what their own settings name."""
    return (
        configuration.project_root(project),
        settings.codex_home / "skills",
        settings.user_home / ".agents" / "skills",
        *settings.skill_roots,
    )
