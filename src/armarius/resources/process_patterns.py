"""Which processes a pattern of the user's means.

Owns telling work from whoever started it. Does not own looking at processes (resource_probes.py).
Invariant: pure; Codex, Armarius and whatever started us never match, though their command lines hold
the words of the work. What Codex started does match: that is the work.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import msgspec
import re2

from armarius.errors import DataError

__all__ = ["Process", "is_ours", "matching"]

_INTERPRETERS = ("python", "node", "bun", "deno")
_OURS = ("codex", "armarius")
_LONGEST = 1 << 16


class Process(msgspec.Struct, frozen=True):
    """One process. `name` is the kernel's, `argv` empty where it may not be seen."""

    pid: int
    parent: int
    name: str
    argv: tuple[str, ...]

    @property
    def line(self) -> str:
        return " ".join(self.argv)[:_LONGEST] or self.name


def matching(processes: Sequence[Process], patterns: Sequence[str], me: int) -> tuple[Process, ...]:
    """The processes whose command line one of the patterns is found in; `me` is our own pid."""
    compiled = [_compiled(pattern) for pattern in patterns]
    parents = {process.pid: process.parent for process in processes}
    excluded = set(_line_of(me, parents))
    ours = [process for process in processes if is_ours(process)]
    excluded |= {process.pid for process in ours}
    wrapped = dict[int, list[str]]()
    for process in ours:
        for above in _line_of(process.parent, parents):
            wrapped.setdefault(above, []).extend((process.line, *process.argv))
    return tuple(
        process
        for process in processes
        if process.pid not in excluded
        and any(pattern.search(_without(process.line, wrapped.get(process.pid, ()))) for pattern in compiled)
    )


def is_ours(process: Process) -> bool:
    """Whether it is Codex or Armarius itself, by what was started and not by what it was told."""
    if process.name.startswith(_OURS):
        return True
    if not process.argv:
        return False
    program, *words = process.argv
    stem = PurePath(program).name
    if stem.startswith(_INTERPRETERS):
        stem = _script(words)
    return stem.split(".")[0] in _OURS or stem.startswith(tuple(f"{name}-" for name in _OURS))


def _script(words: Sequence[str]) -> str:
    """What an interpreter runs: the module after `-m`, else the first word that is no option."""
    for number, word in enumerate(words):
        if word == "-m" and number + 1 < len(words):
            return words[number + 1]
        if word == "-c":
            return ""
        if not word.startswith("-"):
            path = PurePath(word)
            # The guard and the like are files of the package itself.
            return "armarius" if "armarius" in path.parent.parts[-2:] and path.suffix == ".py" else path.name
    return ""


def _without(line: str, told: Sequence[str]) -> str:
    """A command line without what it only hands on to Codex or Armarius, e.g. that of `sh -c 'codex exec …'`."""
    for words in sorted(told, key=len, reverse=True):
        line = line.replace(words, "")
    return line


def _line_of(pid: int, parents: dict[int, int]) -> list[int]:
    """A process and those above it."""
    found = list[int]()
    while pid in parents and pid not in found:
        found.append(pid)
        pid = parents[pid]
    return found


def _compiled(pattern: str) -> Any:
    engine: Any = re2  # the library carries no types
    options = engine.Options()
    options.log_errors = False  # else RE2 writes to stderr by itself
    try:
        return engine.compile(pattern, options)
    except engine.error as error:
        reason = error.args[0].decode(errors="replace")
        raise DataError(
            "pattern", f"{pattern[:100]!r} is no pattern: {reason}", "write a regular expression in the syntax of RE2"
        ) from error
