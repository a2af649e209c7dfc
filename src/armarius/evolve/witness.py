"""Was a tool really called? Two witnesses that must agree.

Owns the tools that a replay offers, the FIFO on which they report, and the reading of both
testimonies. Does not own what a check makes of it (judge.py).
Invariant: a tool counts as called when the program itself reported it and Codex recorded a command
that ran it and succeeded. The FIFO alone proves nothing, since an agent can write to it; a command's
text alone proves nothing, since `echo search` contains the word. A tool that was not to be called is another matter:
there nobody gains by a false report, and each witness counts alone.
"""

import os
import shlex
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from armarius.thread import Command, Thread

__all__ = ["NO_TESTIMONY", "Testimony", "called", "make_tools", "read_testimony"]

_SEPARATORS = frozenset(";&|()\n")
_WRAPPERS = frozenset(
    {"command", "exec", "time", "nohup", "!", "if", "elif", "while", "until", "then", "do", "else", "{"}
)
_TOOL = """#!/bin/sh
printf '%s\\n' {name} > {fifo}
printf '{plain}: nothing was found for: %s\\n' "$*"
"""


class Testimony(msgspec.Struct, frozen=True):
    """The tools each witness saw. They disagree when somebody cheated or an event was lost."""

    reported: frozenset[str]
    recorded: frozenset[str]

    @property
    def agreed(self) -> frozenset[str]:
        return self.reported & self.recorded

    def called(self, unwanted: AbstractSet[str]) -> frozenset[str]:
        """The tools that were called: of those that should not have been, one witness is enough."""
        return self.agreed | ((self.reported | self.recorded) & unwanted)


NO_TESTIMONY = Testimony(frozenset(), frozenset())
"""Of a replay that could run nothing."""


def make_tools(folder: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """A folder of tools for PATH, and the FIFO they report on; both below `folder`."""
    bin_folder, fifo = folder / "bin", folder / "witness"
    bin_folder.mkdir(exist_ok=True)
    if not fifo.exists():
        os.mkfifo(fifo, 0o600)
    for name in names:
        tool = bin_folder / name
        text = _TOOL.format(name=shlex.quote(name), fifo=shlex.quote(str(fifo)), plain=name)
        tool.write_text(text, encoding="utf-8")
        tool.chmod(0o700)
    return bin_folder, fifo


def read_testimony(log: Path, thread: Thread, offered: Iterable[str]) -> Testimony:
    """What both witnesses say about the offered tools in the last turn of a thread."""
    told = frozenset(log.read_text(errors="replace").splitlines()) if log.exists() else frozenset[str]()
    commands = [item for item in thread.turns[-1].items if isinstance(item, Command)] if thread.turns else []
    recorded = frozenset(name for name in offered for command in commands if called(name, command))
    return Testimony(told & frozenset(offered), recorded)


def called(name: str, command: Command) -> bool:
    """Whether a recorded command ran the program `name` and ended well."""
    return command.exit_code == 0 and any(word == name for word in _programs(command.command))


def _programs(script: str) -> list[str]:
    """The words of a shell script that stand where a program is named; none when it cannot be split."""
    # Each line feed twice: a comment takes one of them, and the other still ends the command.
    lines = script.replace("\\\n", " ").replace("\n", "\n\n")
    words = shlex.shlex(lines, posix=True, punctuation_chars="();<>|&\n")
    words.whitespace = " \t\r"
    words.whitespace_split = True
    found = list[str]()
    at_start = True
    try:
        for word in words:
            if word and _SEPARATORS.issuperset(word):
                at_start = True
            elif at_start and not _is_assignment(word) and word not in _WRAPPERS:
                found.append(word)
                at_start = False
    except ValueError:  # an open quote: not something a shell ran
        return []
    return found


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()
