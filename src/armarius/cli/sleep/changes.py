"""How changes of live files are told."""

from collections.abc import Sequence

import msgspec

from armarius.cli.output import print_json, say
from armarius.evolve.staging import Change


class Changes(msgspec.Struct, frozen=True):
    """What was changed together (`armarius.changes.v1`)."""

    changes: tuple[Change, ...]
    schema: str = "armarius.changes.v1"


def say_changes(changes: Sequence[Change], word: str, *, as_json: bool) -> int:
    """One change is its own object; several are one object together."""
    if as_json:
        print_json(changes[0] if len(changes) == 1 else Changes(tuple(changes)))
        return 0
    for change in changes:
        say(f"{word} {change.proposal}: {change.target}" + ("" if change.changed else " (it was already)"))
        if change.backup:
            say(f"backup {change.backup}")
    return 0
