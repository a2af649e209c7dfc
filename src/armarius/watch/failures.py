"""A failure in what a command printed.

Owns how pytest, tracebacks, compilers and make say that something failed, and which commands only
show what was written before. Does not own whose output it is: nobody's prose comes here.
Invariant: linear time on any output. The failure that is found is the first one that stands there
whole, so that an output which arrives in pieces gives the same one as in one go.
"""

import shlex
from typing import Any, Final

import msgspec
import re2

__all__ = ["Failure", "failure_in", "only_shows"]

_MOST = 4 << 20
_LONGEST_COMMAND = 16 << 10


class Failure(msgspec.Struct, frozen=True):
    """The tool that failed and the line that says so."""

    tool: str
    line: str


# Each pattern is for whole lines. Where the telling line is not the first one, it is the group.
_RULES: Final = (
    ("pytest", r"(?:FAILED|ERROR) \S*\.py(?:::\S.*| - .*)?"),
    ("pytest", r"\S+\.py::\S.* (?:FAILED|ERROR)(?: +\[ *\d+%\])?"),
    ("pytest", r"=* ?(?:[1-9]\d* \w+, )*[1-9]\d* (?:failed|errors?)\b.* in \d[\d.:]*s\b.*"),
    ("pytest", r"INTERNALERROR> \S.*"),
    ("unittest", r"(?:FAIL|ERROR): \w+ \([\w.]+\).*"),
    ("unittest", r"FAILED \((?:failures|errors)=[1-9].*\)"),
    ("python", r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*([A-Za-z_][\w.]*(?:: .*)?)"),
    ("python", r'  File "[^"\n]*", line \d+\n(?:    .*\n)+((?:Syntax|Indentation|Tab)Error: .*)'),
    ("rust", r"thread '[^'\n]*' (?:\(\d+\) )?panicked at .*"),
    ("go", r"(?:panic|fatal error): .*\n(?:.*\n){0,3}goroutine \d+ \[.*"),
    ("go", r"--- FAIL: \S.*"),
    ("go", r"FAIL\t\S.*"),
    ("java", r'Exception in thread "[^"\n]*" \S.*'),
    ("node", r"(?:Uncaught )?((?:[\w.]*(?:Error|Exception))(?: \[\w+\])?: .*)\n(?:.*\n){0,4}?    at \S.*"),
    ("rustc", r"error(?:\[E\d{4}\])?: .*\n *--> \S.*:\d+:\d+"),
    ("cargo", r"error: could not compile .*"),
    ("cargo", r"error: test failed.*"),
    ("cargo", r"test \S.* \.\.\. FAILED"),
    ("cargo", r"test result: FAILED\..*"),
    ("tsc", r"\S.*\(\d+,\d+\): error TS\d+: .*"),
    ("tsc", r"(?:\S.*:\d+:\d+ - )?error TS\d+: .*"),
    ("javac", r"\S.*\.java:\d+: error: .*"),
    ("javac", r"\[ERROR\] \S.*\.java:\[\d+,\d+\] .*"),
    ("gcc", r"\S[^\n:]*(?::\d+){1,2}: (?:fatal |internal compiler )?error: .*"),
    ("gcc", r"(?:\S*/)?(?:\S*-)?(?:gcc|g\+\+|cc|c\+\+|cc1|cc1plus|clang|clang\+\+)(?:-\d+)?: (?:fatal )?error: .*"),
    ("ld", r"\S.*: undefined reference to .*"),
    ("ld", r"collect2: error: .*"),
    ("ld", r"(?:\S*/)?ld(?:\.\w+)?: (?:error|fatal|cannot find|symbol\(s\) not found).*"),
    ("go", r"(?:vet: )?\S*\.go:\d+:\d+: .*"),
    ("make", r"\S*make(?:\[\d+\])?: \*\*\* .*"),
    ("ninja", r"ninja: build stopped: .*"),
)

_GROUPS = "|".join(f"(?P<r{number}>{pattern})" for number, (_, pattern) in enumerate(_RULES))
_FAILURE: Any = re2.compile(rf"(?m)^(?:{_GROUPS})$")  # pyright: ignore[reportUnknownMemberType]
_EACH: tuple[Any, ...] = tuple(re2.compile(rf"(?m)^{pattern}$") for _, pattern in _RULES)  # pyright: ignore[reportUnknownMemberType]
# Colours and other terminal sequences, and what a carriage return has overwritten.
_DRESS: Any = re2.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\-_])|\r$|(?m:^[^\n]*\r)")  # pyright: ignore[reportUnknownMemberType]

_SHOWING = frozenset(
    {
        *("ack", "ag", "awk", "bat", "batcat", "cat", "column", "comm", "cut", "diff", "egrep", "fgrep", "fold"),
        *("grep", "look", "nm", "objdump", "readelf", "rev", "stat", "file"),
        *("head", "hexdump", "jq", "less", "ls", "more", "nl", "od", "rg", "sed", "sort", "strings", "tac", "tail"),
        *("tr", "tree", "uniq", "wc", "xxd", "zcat", "zgrep", "journalctl"),
    }
)
_NEUTRAL = frozenset({"cd", "echo", "export", "printf", "pwd", "set", "true", ":", "tee", "pushd", "popd"})
_GIT_SHOWING = frozenset({"blame", "diff", "grep", "log", "show", "status", "cat-file"})


def failure_in(output: str, *, is_whole: bool = True) -> Failure | None:
    """The first failure that `output` tells of; a last line without its end counts only when it is whole."""
    text = output[:_MOST]
    if not is_whole:
        text = text[: text.rfind("\n") + 1]
    found = _FAILURE.search(_DRESS.sub("", text))
    if found is None:
        return None
    number = next(number for number in range(len(_RULES)) if found.group(f"r{number}") is not None)
    whole = found.group()
    telling = _EACH[number].search(whole)
    line = telling.group(telling.lastindex or 0) if telling else whole
    return Failure(_RULES[number][0], line.split("\n", 1)[0].strip())


def only_shows(command: str) -> bool:
    """Whether a command does nothing but show files or history: what it prints is old."""
    if len(command) > _LONGEST_COMMAND:
        return False
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a quotation without its end
        return False
    verdicts = {_shows(part) for part in _simple_commands(words)}
    return True in verdicts and False not in verdicts


def _simple_commands(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set("();|&"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _shows(words: list[str]) -> bool | None:
    """Of one simple command; None when it says nothing by itself."""
    while words and ("=" in words[0].split("/")[0] or words[0] in {"sudo", "command", "time"}):
        words = words[1:]
    if not words:
        return None
    name = words[0].rsplit("/", 1)[-1]
    if name in _NEUTRAL:
        return None
    if name == "git":
        rest = [word for word in words[1:] if not word.startswith("-")]
        return bool(rest) and any(word in _GIT_SHOWING for word in rest[:2])
    if name == "find":
        return not any(word.startswith(("-exec", "-ok")) for word in words)
    if name == "xargs":
        return any(word in _SHOWING for word in words[1:])
    return name in _SHOWING
