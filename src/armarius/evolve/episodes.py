"""What a session says about the work in it: one episode for each turn of a person.

Owns picking from a thread what mining and checks are made of: the request, the answer, commands with their
exit codes, tests, patches, skills, denials, corrections, tokens. Does not own which sessions count
(`harvest`), nor what recurs (`mine`).
Invariant: pure. Every text is redacted before it is cut; what a record does not say is None or empty. That a
turn was corrected is told by the record (it was interrupted, and somebody went on) or by the first words of
the next request; that is a sign and no verdict, and weighs in the ranking alone.
"""

import base64
import posixpath
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

import msgspec

from armarius.redact import redact
from armarius.thread import Command, FileChange, Item, ItemStatus, Thread, ToolCall, Turn, TurnState, Usage, UserMessage

__all__ = ["Episode", "Ran", "Skill", "episodes_of", "is_test"]

_LONGEST_PROMPT = 8_000
_LONGEST_ANSWER = 4_000
_LONGEST_COMMAND = 500
_MOST_COMMANDS = 60
_MOST_PATHS = 200


class Ran(msgspec.Struct, frozen=True):
    """A command and how its last run in the turn ended; None when nobody wrote that down."""

    command: str
    exit_code: int | None
    is_test: bool = False


class Skill(msgspec.Struct, frozen=True):
    """A skill that was read (`path` is where) or named with `$`."""

    name: str
    path: str | None = None


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a person, and what came of it.

    `number` counts the turns of its thread from 1. `added` and `changed` are paths of patches that were
    applied, relative to `cwd` where they lie in it. `denied` counts what was declined. `correction` is the
    beginning of the request that took the turn back. `dirty` says that earlier turns had changed files,
    `sets_right` that the request takes the turn before back.
    """

    thread_id: str
    turn_id: str
    number: int
    at_us: int | None
    prompt: str
    answer: str
    state: str
    cwd: str | None
    git_commit: str | None
    commands: tuple[Ran, ...] = ()
    tools: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    skills: tuple[Skill, ...] = ()
    denied: int = 0
    correction: str | None = None
    tokens: int = 0
    duration_us: int | None = None
    dirty: bool = False
    sets_right: bool = False

    @property
    def tests(self) -> tuple[Ran, ...]:
        return tuple(ran for ran in self.commands if ran.is_test)

    @property
    def went_wrong(self) -> bool:
        """Whether anything in the record says that the turn was not what was wanted."""
        return (
            self.state in (TurnState.FAILED.value, TurnState.INTERRUPTED.value)
            or self.correction is not None
            or self.denied > 0
            or any(test.exit_code for test in self.tests)
        )


def episodes_of(thread: Thread) -> tuple[Episode, ...]:
    """The turns in which a person asked for something, in order."""
    spent = defaultdict[str, Usage](Usage)
    for response in thread.responses:
        spent[response.turn_id] = spent[response.turn_id] + response.usage
    found, number, dirty = list[Episode](), 0, False
    for turn in thread.turns:
        said = [item.text for item in turn.items if isinstance(item, UserMessage) and _is_request(item.text)]
        if said:
            number += 1
            took_back = _correction(said[0])
            if found and (took_back or found[-1].state == TurnState.INTERRUPTED.value):
                found[-1] = msgspec.structs.replace(found[-1], correction=_shown(said[0], _LONGEST_COMMAND))
            one = _episode(thread, turn, said, number, spent[turn.id].total)
            found.append(msgspec.structs.replace(one, dirty=dirty, sets_right=bool(found) and took_back))
        dirty = dirty or any(isinstance(item, FileChange) for item in turn.items)
    return tuple(found)


def _episode(thread: Thread, turn: Turn, said: list[str], number: int, tokens: int) -> Episode:
    cwd = turn.cwd or thread.cwd
    patches = [i for i in turn.items if isinstance(i, FileChange) and i.status is ItemStatus.COMPLETED]
    paths = [(change.kind, _inside(change.path, cwd)) for patch in patches for change in patch.changes]
    steered = [text for text in said[1:] if _correction(text)]
    started, ended = turn.started_at_us, turn.ended_at_us
    return Episode(
        thread_id=thread.id,
        turn_id=turn.id,
        number=number,
        at_us=started if started is not None else thread.started_at_us,
        prompt=_shown(said[0], _LONGEST_PROMPT),
        answer=_shown(turn.final_message or "", _LONGEST_ANSWER),
        state=turn.state.value,
        cwd=cwd,
        git_commit=thread.git_commit,
        commands=_commands(turn.items, cwd),
        tools=tuple(sorted({item.name for item in turn.items if isinstance(item, ToolCall) and item.name})),
        added=_unlike(path for kind, path in paths if kind == "add"),
        changed=_unlike(path for _, path in paths),
        skills=_skills(turn.items, said[0]),
        denied=sum(getattr(item, "status", None) is ItemStatus.DECLINED for item in turn.items),
        correction=_shown(steered[0], _LONGEST_COMMAND) if steered else None,
        tokens=tokens,
        duration_us=ended - started if started is not None and ended is not None and ended >= started else None,
    )


# Requests.

_NO_REQUEST = re.compile(r"\s*(?:/[a-z][\w-]*(?:\s+\S+)?\s*\Z|<[a-z_]+(?:_[a-z]+)*[ >])")
_OURS = ("ARMARIUS REFLECTION v1", "ARMARIUS RATING v1", "ARMARIUS NAMING v1")


def _is_request(text: str) -> bool:
    """Whether a person asks for work: no bare slash command, no block that a program put there."""
    return bool(text.strip()) and not _NO_REQUEST.match(text) and not text.lstrip().startswith(_OURS)


_TAKEN_BACK = re.compile(
    r"\W*(?:no(?:pe)?\s*[,.!:;\u2013\u2014-]|no[,]? (?:that|this|i|you|not)\b|not (?:what|like|that|this)\b|wrong\b"
    r"|(?:that|this|it)(?:'s| is| was)? (?:not (?:right|what|correct|how)|wrong|incorrect)\b"
    r"|(?:it |this |that )?still (?:fail|does|doesn|not|broken|wrong|missing)"
    r"|you (?:forgot|missed|didn'?t|did not|ignored|broke|should(?:n'?t| not)? have)\b"
    r"|i (?:said|asked|told you|meant)\b"
    r"|(?:please )?(?:undo|revert|roll back)\b|why did(?:n'?t)? you\b|don'?t (?:do|change|touch)\b"
    r"|nein\b|falsch\b|das ist (?:falsch|nicht)|non\s*[,.!]"
    r"|c'est faux|incorrecto\b|no es\b|неверно|не так|不对|不是|違う)",
    re.IGNORECASE,
)


def _correction(text: str) -> bool:
    return _TAKEN_BACK.match(text[:200]) is not None


# Commands.

_TESTS = re.compile(
    r"(?:^|[\s;&|(/])(?:pytest|tox|nox|unittest|jest|vitest|mocha|ctest|rspec|phpunit|busted|bats"
    r"|(?:npm|pnpm|yarn|bun|deno)(?: run)? test\b"
    r"|(?:cargo|go|dotnet|swift|mvn|gradle|\./gradlew|sbt|mix|make|just|bazel)"
    r"(?: \S+){0,3}? (?:test|check|verify)\b|ruff check|mypy|pyright|tsc\b|eslint|clippy|golangci-lint)"
)
_SKILL_FILE = re.compile(r"([~\w./@+-]*?([\w.-]+))/SKILL\.md\b")
_SKILL_NAME = re.compile(r"(?<![\w$\\])\$([a-z][a-z0-9]*(?:[-_:][a-z0-9]+)*)\b")


_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"")
_GOES_ON = re.compile(r"(?<![&>|])[|;\n](?!\s*\Z)|(?<![&>])&(?![&>1-9])")


def is_test(command: str) -> bool:
    """Whether a command runs tests or a checker of code, and ends as they do.

    Behind a pipe, a semicolon or `||` it ends as what follows does, which says nothing of them.
    """
    plain = _QUOTED.sub("''", command)
    found = _TESTS.search(plain)
    if found is None:
        return False
    follows = plain[found.end() :]
    if "pipefail" in plain[: found.start()]:
        follows = re.sub(r"(?<!\|)\|(?!\|)", " ", follows)
    return _GOES_ON.search(follows) is None


def _commands(items: tuple[Item, ...], cwd: str | None) -> tuple[Ran, ...]:
    last = dict[str, Ran]()
    for item in items:
        if isinstance(item, Command) and item.status is not ItemStatus.DECLINED:
            command = _shown(_from_folder(item, cwd), _LONGEST_COMMAND)
            last.pop(command, None)
            last[command] = Ran(command, item.exit_code, is_test(command))
    return tuple(last.values())[-_MOST_COMMANDS:]


def _from_folder(item: Command, cwd: str | None) -> str:
    """A command as it would be typed in the folder of the turn, in which its places have no other name."""
    place = cwd.rstrip("/") if cwd else ""
    if not place or not PurePosixPath(place).is_absolute():
        return item.command
    away = posixpath.normpath(posixpath.join(place, item.cwd or place))
    command = item.command if away == posixpath.normpath(place) else f"cd {shlex.quote(away)} && {item.command}"
    here = re.compile(rf"(?<![\w./~-]){re.escape(place)}(?:(/)(?!\.\.)|(?![\w./-]))")
    command = here.sub(lambda found: "./" if found[1] else ".", command)
    return _CD.sub("cd ", _CD_HERE.sub("", command))


_CD_HERE = re.compile(r"^\s*cd +[\"']?\./?[\"']? *(?:&&|;) *")
_CD = re.compile(r"\bcd +\./(?=\w)")


def _skills(items: tuple[Item, ...], prompt: str) -> tuple[Skill, ...]:
    """Those whose SKILL.md a command opened, and those that the request names."""
    found = dict[str, Skill]()
    for item in items:
        if isinstance(item, Command):
            for folder, name in _SKILL_FILE.findall(item.command):
                found[name] = Skill(name, f"{folder}/SKILL.md")
    for name in _SKILL_NAME.findall(prompt):
        found.setdefault(name, Skill(name))
    return tuple(found.values())


def _inside(path: str, cwd: str | None) -> str:
    """A path as it is seen from the folder of the turn, where it lies in it."""
    pure = PurePosixPath(path)
    if cwd and pure.is_absolute() and pure.is_relative_to(cwd):
        return str(pure.relative_to(cwd))
    return str(pure)


def _unlike(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))[:_MOST_PATHS]


def _shown(text: str, most: int) -> str:
    """Redacted, then cut: a secret cut in two would not be seen."""
    plain = _ENCODED.sub(_without_secret, redact(text.encode(errors="replace").decode()))
    if not plain.isascii() and (seen := redact(_UNSEEN.sub("", plain))) != _UNSEEN.sub("", plain):
        plain = seen
    return plain if len(plain) <= most else plain[: most - 1] + "…"


_ENCODED = re.compile(r"(?<![\w+/=-])(?:[A-Za-z0-9+/_-]{24,}={0,2}|(?:[\w.~+-]|%[0-9A-Fa-f]{2}){16,})", re.ASCII)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def _without_secret(found: re.Match[str]) -> str:
    """A word as it is, unless a secret stands in what it encodes: in base64, or for a URL."""
    word = found.group()
    bare = word.rstrip("=")
    try:
        decoded = base64.b64decode(
            bare + "=" * (-len(bare) % 4), altchars=b"-_" if "-" in bare or "_" in bare else None
        )
    except ValueError:  # no base64
        decoded = b""
    for inside in (decoded.decode("latin-1"), unquote(word) if "%" in word else ""):
        if redact(inside) != inside:
            return "[redacted:encoded]"
    return word
