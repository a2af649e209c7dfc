"""Which ledger a command works on.

Owns the flag `--database` and the settings with it. Does not own settings.
Invariant: what was typed goes before the environment and the user's file; a project can never name a server.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from armarius import settings as configuration
from armarius.settings import Settings, check_database

__all__ = ["DATABASE", "OPTION", "load", "named"]

_F = TypeVar("_F", bound=Callable[..., Any])

_KEY = "armarius.database"


def _note(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_KEY] = value


OPTION = click.Option(
    ["--database"],
    metavar="URL",
    callback=_note,
    expose_value=False,
    help="The ledger of several hosts, postgresql://…; rather set ARMARIUS_DATABASE, which `ps` does not show.",
)


def DATABASE(function: _F) -> _F:  # noqa: N802  # a decorator like the other flags
    """The flag, for one command."""
    found: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
    found.append(OPTION)
    return function


def named() -> str | None:
    """The ledger that was named for the command that runs."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_KEY) if context is not None else None


def load(folder: Path | None = None) -> Settings:
    """The settings for work in `folder`, with the ledger that was named for the command."""
    settings, database = configuration.load(folder), named()
    return settings if database is None else msgspec.structs.replace(settings, database=check_database(database))
