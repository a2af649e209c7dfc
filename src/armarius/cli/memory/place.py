"""What the commands on the memory have in common: opening it, scopes, and printing notes.

Owns the flags and the shape of the answer. Does not own any command.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from armarius.cli.database import load
from armarius.cli.output import print_json, print_table
from armarius.clock import SystemClock, rfc3339
from armarius.errors import UsageError
from armarius.memory.notes import USER, Note, repo_scope, session_scope
from armarius.memory.store import Memory, open_memory
from armarius.settings import Settings, project_root

__all__ = [
    "AS_JSON",
    "SCOPE",
    "Remembered",
    "expiry_us",
    "memory_of",
    "print_notes",
    "scope_of",
    "scopes_here",
    "the_memory",
]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
SCOPE = click.option("--scope", metavar="user|repo|session:ID", help="Where it holds; default: this repository.")
_SHOWN = 72
_UNITS = {"h": 3_600, "d": 86_400, "w": 604_800}


class Remembered(msgspec.Struct, frozen=True):
    """Notes (`armarius.memory.v1`): those that were added, found or forgotten."""

    notes: tuple[Note, ...]
    schema: str = "armarius.memory.v1"


@contextmanager
def memory_of(settings: Settings) -> Generator[Memory]:
    """The user's memory."""
    with open_memory(settings.home / "memory.sqlite", SystemClock()) as memory:
        yield memory


@contextmanager
def the_memory() -> Generator[Memory]:
    """The memory of whoever calls."""
    with memory_of(load()) as memory:
        yield memory


def scope_of(said: str | None, folder: Path | None = None) -> str:
    """The scope that is meant; UsageError for a word that is none."""
    here = repo_scope(str(project_root(folder or Path.cwd())))
    if said in (None, "repo"):
        return here
    if said == USER or (said.startswith(("repo:", "session:")) and said.partition(":")[2]):
        return said
    raise UsageError("scope", f"no scope {said!r}", "say user, repo or session:ID")


def scopes_here(folder: Path | None = None, thread_id: str | None = None) -> list[str]:
    """All scopes that hold in a folder, and in a session if one is named."""
    session = [] if thread_id is None else [session_scope(thread_id)]
    return [*session, scope_of(None, folder), USER]


def expiry_us(said: str | None) -> int | None:
    """When `30d`, `12h` or `2w` from now is."""
    if said is None:
        return None
    if said[:-1].isascii() and said[:-1].isdecimal() and said[-1:] in _UNITS and 0 < int(said[:-1]) < 100_000:  # noqa: PLR2004
        return SystemClock().now_us() + int(said[:-1]) * _UNITS[said[-1]] * 1_000_000
    raise UsageError("expires", f"{said!r} is no time", "say it like 12h, 30d or 8w")


def print_notes(notes: list[Note], *, as_json: bool) -> None:
    """A table, or `armarius.memory.v1`."""
    if as_json:
        print_json(Remembered(tuple(notes)))
        return
    rows = [
        (note.id, note.kind, note.scope, rfc3339(note.created_at_us)[:10], note.key, _short(note.value))
        for note in notes
    ]
    print_table(("NOTE", "KIND", "SCOPE", "SINCE", "KEY", "VALUE"), rows)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
