"""Where a task comes from: the sessions that it recurs in, and the state of the world that it starts from.

Owns the values that a mined task carries besides its text and judge. Does not own mining.
Invariant: none of them says what an answer is worth; they are for the person who reviews the file.
"""

from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["Draft", "HarvestNote", "Origin", "Start"]

_Line: TypeAlias = Annotated[str, Meta(max_length=2_000)]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What lies in the folder when work begins: a commit of a repository on this machine.

    `folder` is where in it the work begins, the top unless said.
    """

    repository: Annotated[str, Meta(min_length=1, max_length=4_096, pattern=r"^/[^\u0000]*$")]
    commit: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")]
    folder: Annotated[str, Meta(max_length=4_096, pattern=r"^[^\u0000]*$")] = ""

    def __post_init__(self) -> None:
        path = PurePosixPath(self.folder)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{self.folder!r} is no folder inside a repository")


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The sessions behind a task. `evidence` says of each drafted check where it comes from.

    `sessions` are those that asked for this very thing, `kind` is the task that stands for all work of its kind,
    `name` what an optimizer calls it. Of the kind, `turns` is how often it was asked for, `wrong` in how many of
    those the record says that something was not as it should be, `tokens` what one took in the mean; `weight` is
    what tasks are ranked by.
    """

    sessions: tuple[_Line, ...]
    kind: _Line = ""
    name: _Line = ""
    turns: Annotated[int, Meta(ge=1)] = 1
    wrong: Annotated[int, Meta(ge=0)] = 0
    tokens: Annotated[int, Meta(ge=0)] = 0
    weight: Annotated[float, Meta(ge=0)] = 0.0
    skills: tuple[_Line, ...] = ()
    evidence: tuple[_Line, ...] = ()


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Work that recurs and has no check that could tell a good answer: `asks` is what a person has to say."""

    task: Annotated[str, Meta(min_length=1, max_length=20_000)]
    asks: _Line
    origin: Origin | None = None


class HarvestNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a mined file was made from, for whoever reads it."""

    project: _Line
    source: _Line
    sessions: int
    turns: int
    at: _Line
    target: _Line | None = None
    notes: tuple[_Line, ...] = ()
