"""What can go wrong, seen from outside.

Owns the tree of errors that a caller or the command line catches, and the exit code of each.
Does not own errors that nobody catches: those are built-in exceptions and mean a bug.
Invariant: an error's message says what and where, its hint says the way out, and neither ever
holds a secret.

    ArmariusError
    ├── Failed        1    the thing asked for was done and did not succeed
    ├── UsageError    2    the command line was wrong
    ├── DataError     3    a file or value is bad
    ├── HostError     4    the machine lacks something: no codex, no login, no disk, port taken
    ├── Refused       5    policy forbids it
    ├── NoAnswer      6    no verdict, broken infrastructure, a gate that could not decide
    └── Interrupted   130  a person stopped it
"""

from typing import ClassVar

__all__ = [
    "ArmariusError",
    "DamagedFile",
    "DataError",
    "Failed",
    "HostError",
    "Interrupted",
    "NoAnswer",
    "Refused",
    "UsageError",
    "nearest",
]


class ArmariusError(Exception):
    """Base of all errors that end a command with one clear line.

    `code` is a stable word for programs (`armarius.error.v1`), `message` is for people,
    `hint` is the way out.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Failed(ArmariusError):
    """The thing asked for was carried out and did not succeed."""

    exit_code = 1


class UsageError(ArmariusError):
    """The command line was wrong."""

    exit_code = 2


class DataError(ArmariusError):
    """A file or a value is bad."""

    exit_code = 3


class HostError(ArmariusError):
    """The machine lacks something that is needed."""

    exit_code = 4


class Refused(ArmariusError):
    """Policy forbids it."""

    exit_code = 5


class NoAnswer(ArmariusError):
    """A decision was asked for and none could be reached."""

    exit_code = 6


class Interrupted(ArmariusError):
    """A person stopped it."""

    exit_code = 130


class DamagedFile(OSError):
    """A file whose bytes do not fit together; for its readers it is one that cannot be read, like any other."""


def nearest(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """The known word that `word` was probably meant to be, as `; did you mean 'x'?`, or nothing."""
    import difflib  # only on the way to an error; 3 ms that no successful command should pay

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else "known: " + ", ".join(sorted(known))
