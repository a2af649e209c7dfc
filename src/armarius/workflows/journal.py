"""What a workflow has come to, so that it can go on after a crash.

Owns the file of one workflow and the claim on it. Does not own the steps.
Invariant: the file is there whole or not at all; what stands in it is never asked for again; one process at a time
goes on with a workflow.
"""

import contextlib
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from armarius.errors import DataError, Refused
from armarius.files import locked, private_folder, read_bounded, write_atomic

__all__ = ["Journal", "claimed", "load_journal", "save_journal"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,23}\Z")
_LARGEST: Final = 64 << 20


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, and what each step that is over has handed on, by its name and round. `runs` are all of them,
    `check` is the hash of the command.
    """

    id: str
    template: dict[str, Any]
    goal: str
    folder: str
    check: str | None
    inventory: str
    done: dict[str, Any] = {}
    runs: tuple[str, ...] = ()


@contextlib.contextmanager
def claimed(folder: Path, name: str) -> Generator[Path]:
    """The file of a workflow, held for a block; Refused while somebody else has it."""
    if not _ID.match(name):
        raise DataError("workflow-id", f"{name!r} is no id", "use up to 24 letters, digits, _ and -")
    private_folder(folder)
    owned = Refused("workflow-owned", f"another process goes on with {name}", "wait for it")
    with locked(folder / f"{name}.lock", owned):
        yield folder / f"{name}.json"


def load_journal(path: Path) -> Journal | None:
    """The journal in a file; None when the workflow begins now."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_bounded(path, _LARGEST), type=Journal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError("workflow-journal", f"{path}: {error}", "begin with another --id") from error


def save_journal(path: Path, journal: Journal) -> None:
    write_atomic(path, msgspec.json.encode(journal))
