"""Commands that have to succeed after an agent has done its work.

Owns reading one, finding its program before the agent runs, and the values of what came of it. Does not own running
it (dispatch/proving.py).
Invariant: no shell reads a command. Its program is the file that was found on the owner's PATH before the agent
began; a name is never looked up again afterwards.
"""

import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from armarius.errors import DataError, UsageError
from armarius.identity import hash_file

__all__ = [
    "MOST_EXCERPT",
    "Pins",
    "Required",
    "RequiredRun",
    "checked",
    "path_outside",
    "pin",
    "read_required",
    "shown",
]

MOST_EXCERPT = 500
"""How many characters of a command's output a receipt holds."""

_MOST = 50
_LONGEST_S = 24 * 3600.0
_DEFAULT_S = 600.0


class Required(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command, as words. `program` is the file that the first one stands for: absolute, or below the run's folder."""

    argv: tuple[str, ...]
    program: str
    timeout_s: float = _DEFAULT_S


class RequiredRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a command. `output` is the end of what it printed, `folder` has the whole of it.

    `exit_code` is None when a signal or its deadline ended it, or when it was never started: `problem` says which.
    `head` is the commit that was checked out, `tree` the hash of every file (None where there is none, or too much).
    `files_changed` is what the command itself changed.
    """

    argv: tuple[str, ...]
    program: str
    passed: bool
    exit_code: int | None = None
    timed_out: bool = False
    problem: str | None = None
    duration_us: int | None = None
    output: str = ""
    stdout_sha256: str | None = None
    stdout_bytes: int = 0
    stderr_sha256: str | None = None
    stderr_bytes: int = 0
    folder: str = ""
    head_before: str | None = None
    head_after: str | None = None
    tree_before: str | None = None
    tree_after: str | None = None
    files_changed: tuple[str, ...] = ()


class Pins(msgspec.Struct, frozen=True):
    """What was there before the agent began: the commit that was checked out, and the hash of each program."""

    head: str | None
    programs: dict[str, str]


def read_required(lines: Iterable[str], search_path: str, cwd: Path) -> tuple[Required, ...]:
    """Commands as they were typed, split into words as a shell would; UsageError or DataError when one cannot be."""
    found = list[Required]()
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError("require", f"--require {line!r}: {error}", "close the quote") from error
        found.append(checked(words, search_path, cwd))
    if len(found) > _MOST:
        raise UsageError("require", f"{len(found)} required commands are too many", f"at most {_MOST}")
    return tuple(found)


def checked(words: Sequence[str], search_path: str, cwd: Path, timeout_s: float = _DEFAULT_S) -> Required:
    """A command whose program is there; DataError when it is not."""
    if not words or not words[0]:
        raise UsageError("require", "a required command is empty", "say which program, with its arguments")
    if any("\0" in word or not word.isprintable() for word in words):
        raise UsageError("require", f"a required command holds control characters: {words!a}", "put it into a script")
    if not 0 < timeout_s <= _LONGEST_S:
        raise UsageError("require", f"{timeout_s:g} seconds is not within 0 and {_LONGEST_S:g}", "give it less time")
    name = words[0]
    if "/" in name:
        program = os.path.normpath(name)
        is_there = os.access(cwd / program, os.X_OK) and (cwd / program).is_file()
        if program.startswith(".."):
            raise DataError("require", f"{name!r} leads out of {cwd}", "name the program by its absolute path")
    else:
        program = shutil.which(name, path=_absolute(search_path)) or ""
        is_there = bool(program)
    if not is_there:
        raise DataError("require", f"no program {name!r}", "see `command -v`, or name it by its absolute path")
    return Required(tuple(words), program, timeout_s)


def shown(required: Required | RequiredRun) -> str:
    """A command as a person would type it."""
    return shlex.join(required.argv)


def pin(required: Iterable[Required], cwd: Path) -> dict[str, str]:
    """The hash of each program, as it is now."""
    return {one.program: _hash(cwd / one.program) for one in required}


def path_outside(search_path: str, folders: Iterable[Path]) -> str:
    """The entries of a PATH into which nobody could write who may write to `folders`."""
    kept = list[str]()
    real = [os.path.realpath(folder) for folder in folders]
    for entry in _absolute(search_path).split(os.pathsep):
        place = os.path.realpath(entry)
        if not any(place == one or place.startswith(one.rstrip("/") + "/") for one in real):
            kept.append(entry)
    return os.pathsep.join(kept)


def _absolute(search_path: str) -> str:
    """A PATH without the entries that mean another folder depending on where one stands."""
    return os.pathsep.join(entry for entry in search_path.split(os.pathsep) if entry.startswith("/"))


def _hash(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"
