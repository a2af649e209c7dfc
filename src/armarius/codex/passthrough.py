"""A command line for codex that somebody wrote themselves: what of it may not be passed on.

Owns reading the words as codex would, as far as money, logins and the sandbox go. Does not own the decision who
is billed (`billing.py`) nor starting anything.
Invariant: a word that would let another provider, key or login be used is refused, wherever it stands; what a
`-c` or a profile says is given to the billing gate, which knows those keys. A flag that is not known is
passed on: no such flag can bring a key along, because the environment has none.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from armarius.errors import Refused, UsageError

__all__ = ["Given", "read_words"]

_VALUED = {
    "-c": "--config", "-i": "--image", "-m": "--model", "-p": "--profile", "-s": "--sandbox", "-C": "--cd",
    "-a": "--ask-for-approval", "-o": "--output-last-message",
}  # fmt: skip
"""Short flags that take a value, and their long names."""

_LONG_VALUED = frozenset(
    {
        *_VALUED.values(),
        *("--enable", "--disable", "--remote", "--remote-auth-token-env", "--local-provider", "--add-dir"),
        *("--thread-source", "--cyber-access-program", "--output-schema", "--color"),
    }
)
_PROVIDERS = ("--oss", "--local-provider", "--remote", "--remote-auth-token-env")
_LOGINS = ("--with-api-key", "--with-access-token", "--device-auth", "--api-key")
_LOGIN_COMMANDS = ("login", "logout")
_DANGER = "danger-full-access"
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\s+)")
"""What stands for a character in a text of TOML, or, at the end of a line, for none."""

_INTERACTIVE = (None, "resume", "fork")


class Given(msgspec.Struct, frozen=True):
    """What a command line says: its subcommand, what its `-c` flags hold, its profile and its directory.

    `is_interactive` is one that would have the terminal.
    """

    subcommand: str | None = None
    overrides: tuple[str, ...] = ()
    profile: str | None = None
    folder: str | None = None

    @property
    def is_interactive(self) -> bool:
        return self.subcommand in _INTERACTIVE


def read_words(words: Sequence[str]) -> Given:
    """What the words after `codex` say; Refused for those that are never passed on."""
    overrides = list[str]()
    profile: str | None = None
    folder: str | None = None
    plain = list[str]()
    for flag, value in _flags(words):
        if flag in _PROVIDERS:
            raise Refused("exec-provider", f"{flag} would ask another provider", "leave it out, or use codex itself")
        if flag in _LOGINS:
            raise Refused("exec-login", f"{flag} would change the login", "use `armarius lanes login`")
        if flag.startswith(("--dangerously-bypass-approvals", "--yolo")):
            raise _danger(flag)
        match flag:
            case "--config":
                overrides.append(value)
                if _names_danger(value):
                    raise _danger(f"-c {value}")
            case "--sandbox" if value == _DANGER:
                raise _danger(f"--sandbox {value}")
            case "--profile":
                profile = value
            case "--cd":
                folder = value
            case "":
                plain.append(value)
            case _:
                pass
    # The second word counts, too: the first may be the value of a flag that only a newer codex knows.
    for before, word in zip([None, *plain[:1]], plain[:2], strict=False):
        if word in _LOGIN_COMMANDS and before != "mcp":
            raise Refused("exec-login", f"`codex {word}` would change the login", "use `armarius lanes login`")
    return Given(plain[0] if plain else None, tuple(overrides), profile, folder)


def _names_danger(override: str) -> bool:
    """Whether a `-c` says it, however it is spelt in TOML: also in the newer one, which Codex reads and we do not."""
    _, _, value = override.partition("=")
    if _DANGER in _ESCAPED.sub(_unescaped, value):
        return True
    try:
        said: Any = tomllib.loads(f"v = {value}")
    except (ValueError, RecursionError):
        said = value
    return _DANGER in msgspec.json.encode(msgspec.to_builtins(said, str_keys=True)).decode()


def _unescaped(escaped: re.Match[str]) -> str:
    code = int(escaped[1] or escaped[2] or escaped[3] or "0", 16)
    return chr(code) if 0 < code <= sys.maxunicode else ""


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag by its long name, with its value if it takes one; a word that is none as the value of an empty flag.

    As codex does, `--flag=value`, `-fvalue` and `-f=value` are read like `--flag value`.
    """
    coming = iter(words)
    for word in coming:
        if word == "--":
            return
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            if not equals and name in _LONG_VALUED:
                value = _next(coming, name)
            yield name, value
        elif word.startswith("-") and len(word) > 1:
            short = word[:2]
            if short not in _VALUED:
                yield word, ""
                continue
            rest = word[2:].removeprefix("=")
            yield _VALUED[short], rest or _next(coming, short)
        else:
            yield "", word


def _next(coming: Iterator[str], flag: str) -> str:
    try:
        return next(coming)
    except StopIteration:
        raise UsageError("exec-words", f"codex's {flag} has no value", f"write one after {flag}") from None


def _danger(what: str) -> Refused:
    return Refused(
        "sandbox-danger",
        f"{what} takes the sandbox away, which needs a recorded authorisation",
        "use workspace-write, or codex itself",
    )
