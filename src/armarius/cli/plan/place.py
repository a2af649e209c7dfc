"""What the commands on plans have in common: the repository, and the record of runs.

Owns the flag -C and opening both. Does not own any command.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.running import folder_of
from armarius.dispatch.workbench import ledger_of
from armarius.plans.check import Repository
from armarius.plans.evidence import evidence_of
from armarius.settings import project_root
from armarius.store.database import Database

__all__ = ["AS_JSON", "FOLDER", "record", "root_of", "strict_repository"]

FOLDER = click.option("-C", "--cd", "folder", type=click.Path(path_type=Path), help="The repository of this folder.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def root_of(folder: Path | None) -> Path:
    """The root of the repository that is meant."""
    return project_root(folder_of(folder))


@contextmanager
def record() -> Generator[Database | None]:
    """The ledger, or nothing when nothing was ever run."""
    settings = configuration.load()
    if not settings.ledger.exists():
        yield None
        return
    with ledger_of(settings) as ledger:
        yield ledger


@contextmanager
def strict_repository(root: Path, *, adopted: bool, strict: bool) -> Generator[Repository]:
    """The repository; when `strict`, done items are looked up in the record."""
    if not strict:
        yield Repository(root, adopted=adopted)
        return
    with record() as ledger:
        yield Repository(
            root, adopted=adopted, evidence=(lambda _: None) if ledger is None else partial(evidence_of, ledger)
        )
