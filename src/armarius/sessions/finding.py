"""What an examination finds, as values.

Owns the shape of a finding. Does not own finding anything (`health`, `leftovers`).
Invariant: a finding with nothing to advise has no advice.
"""

from typing import Final, Literal

import msgspec

__all__ = ["MOST_SHOWN", "Finding", "Kind", "Subject", "counted"]

MOST_SHOWN: Final = 10
"""How many subjects of a finding are named."""

Kind = Literal[
    "size",
    "largest",
    "databases",
    "self_ingestion",
    "stale_locks",
    "open_turns",
    "orphan_processes",
    "orphan_commands",
    "rows_without_file",
    "files_without_row",
    "compression",
    "archiving",
    "unread",
    "trouble",
]


class Subject(msgspec.Struct, frozen=True):
    """One thing a finding is about: a file, a thread, a process. `size` counts bytes where that means something."""

    name: str
    detail: str = ""
    size: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of trouble: `found` in words, how many there are, what they weigh, and the way out.

    `saves` is what following the advice would free, in bytes. `subjects` are the weightiest; `count`
    is all of them. `advice` is empty where all is well.
    """

    kind: Kind
    found: str
    count: int = 0
    size: int | None = None
    saves: int | None = None
    advice: str = ""
    subjects: tuple[Subject, ...] = ()


def counted(number: int, what: str) -> str:
    """A number and its noun."""
    many = f"{what}es" if what.endswith("ss") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"
