"""A judge's verdict: its form, and whether what it claims to have run was run.

Owns the contract, in words and as a JSON Schema, reading both strictly, and holding a verdict against
the commands that were observed. Pure. Does not own what becomes of a verdict.
Invariant: a Verdict is in every part what the contract asks for, and nothing in it contradicts itself or
what was seen; everything else is a NoVerdict, which says where and why. Nothing is mended or guessed.

    VERDICT: FAIL

    COMMANDS RUN:
    judge_source: codex-gpt-5.5
    $ pytest -q
    1 failed, 6 passed
    REASONS:
    - `pytest -q` fails in test_totals, which the acceptance asks to pass
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from armarius.errors import NoAnswer
from armarius.thread import Command

__all__ = [
    "CONTRACT",
    "JSON_SCHEMA",
    "Claim",
    "NoVerdict",
    "Reason",
    "Verdict",
    "check",
    "parse",
    "parse_json",
    "text_of",
]

CONTRACT: Final = """\
Answer with nothing but a verdict in this form, without a code fence around it:

VERDICT: PASS

COMMANDS RUN:
judge_source: codex-<the model you are>
$ <a command that you ran, letter for letter>
<lines of its output, letter for letter; a line of ... stands for lines that you leave out>
REASONS:
- <a reason, citing at least one of these commands in backticks, e.g. `<that command>`>

The first line is "VERDICT: PASS" or "VERDICT: FAIL", the second is empty. Name every command that your
verdict rests on, each with its own line beginning with "$ ". Every reason is one line beginning with
"- ". PASS means that every point of the acceptance text holds, and that you have seen it hold by running
a command; otherwise it is FAIL. Only what you ran counts: a verdict without commands is none.
"""
"""What a judge is told, word for word; `parse` reads what follows it."""

JSON_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verdict", "judge_source", "commands_run", "reasons"],
    "properties": {
        "verdict": {"type": "string", "enum": ["PASS", "FAIL"]},
        "judge_source": {"type": "string"},
        "commands_run": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["command", "output"],
                "properties": {"command": {"type": "string"}, "output": {"type": "string"}},
            },
        },
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
"""The twin of the contract, for `--output-schema`: the same parts, the same rules."""

LARGEST: Final = 1 << 20
"""Bytes of a verdict; a longer answer is none."""

_SOURCE = re.compile(r"codex-[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}")
_LOOKS_LIKE_A_VERDICT = re.compile(r"[\s>*_#`-]*VERDICT\s*:", re.IGNORECASE)
_ELLIPSES = frozenset({"...", "…", "[...]", "[…]"})
_HEADINGS = frozenset({"COMMANDS RUN:", "REASONS:"})
_HEAD: Final = 4
"""Lines before the first command."""


class NoVerdict(NoAnswer):
    """What a judge said is no verdict. `code` begins with `verdict-`."""


class Claim(msgspec.Struct, frozen=True):
    """A command that a judge says it ran, and what it says came out, line ends included but the last."""

    command: str
    output: str = ""


class Reason(msgspec.Struct, frozen=True):
    """One reason, and the claimed commands that it cites, in their order."""

    text: str
    cites: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True):
    """What a judge found (`armarius.verdict.v1`); `judge_source` is `codex-` and the model it says it is."""

    outcome: Literal["PASS", "FAIL"]
    judge_source: str
    commands: tuple[Claim, ...]
    reasons: tuple[Reason, ...]
    schema: str = "armarius.verdict.v1"

    @property
    def model(self) -> str:
        return self.judge_source.removeprefix("codex-")


class _Twin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verdict: Literal["PASS", "FAIL"]
    judge_source: str
    commands_run: tuple[Claim, ...]
    reasons: tuple[str, ...]


def parse(text: str) -> Verdict:
    """A verdict in the form of the contract; NoVerdict with the line where it is not."""
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        raise _none("size", f"it is longer than {LARGEST} bytes")
    lines = text.split("\n")
    outcome = _outcome(lines)
    source = lines[3].removeprefix("judge_source: ")
    end = _only(lines, "REASONS:")
    return _whole(outcome, source, _claims(lines, end), _bullets(lines, end + 1))


def parse_json(text: str) -> Verdict:
    """A verdict in the form of JSON_SCHEMA; NoVerdict where it is not."""
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        raise _none("size", f"it is longer than {LARGEST} bytes")
    try:
        twin = msgspec.json.decode(text.encode(), type=_Twin)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise _none("json", f"it does not fit the schema: {error}") from error
    return _whole(twin.verdict, twin.judge_source, twin.commands_run, twin.reasons)


def text_of(verdict: Verdict) -> str:
    """The verdict in the form of the contract; `parse` gives it back, but for output that reads like a part of it."""
    ran = (line for claim in verdict.commands for line in _shown(claim))
    reasons = (f"- {reason.text}" for reason in verdict.reasons)
    head = (f"VERDICT: {verdict.outcome}", "", "COMMANDS RUN:", f"judge_source: {verdict.judge_source}")
    return "\n".join([*head, *ran, "REASONS:", *reasons]) + "\n"


def check(verdict: Verdict, seen: Iterable[Command], required: Sequence[str] = ()) -> None:
    """Hold a verdict against the commands that Codex reported; NoVerdict where they do not agree.

    Each claim needs a run of its own with exactly this line, finished, whose output has the claimed
    lines. `required` are lines that must be among the claims; PASS needs the last run of each to have
    ended with 0, and one command at least that a reason cites and that did.
    """
    finished = [command for command in seen if command.exit_code is not None]
    if not finished:
        raise _none("reader", "the judge ran no command: it read, and judged nothing")
    unused = Counter(command.command.strip() for command in finished)
    for claim in verdict.commands:
        unused[claim.command] -= 1
        if unused[claim.command] < 0:
            raise _none("claim", f"Codex reported no run of {claim.command!r}, which the judge claims")
        if not any(_shows(command.output, claim) for command in finished if command.command.strip() == claim.command):
            raise _none("output", f"what the judge quotes is not what {claim.command!r} printed")
    cited = {line for reason in verdict.reasons for line in reason.cites}
    if verdict.outcome == "PASS" and not any(c.exit_code == 0 for c in finished if c.command.strip() in cited):
        raise _none("contradiction", "PASS, though every command that its reasons cite failed")
    claimed = {claim.command for claim in verdict.commands}
    last = {command.command.strip(): command for command in finished}
    for line in required:
        if line not in claimed:
            raise _none("required", f"the judge did not run {line!r}, which was required")
        if verdict.outcome == "PASS" and last[line].exit_code != 0:
            raise _none("contradiction", f"PASS, though {line!r} ended with {last[line].exit_code}")


def _outcome(lines: list[str]) -> Literal["PASS", "FAIL"]:
    first = lines[0]
    if first not in {"VERDICT: PASS", "VERDICT: FAIL"}:
        raise _none("first-line", 'line 1 is not "VERDICT: PASS" or "VERDICT: FAIL"')
    for number, line in enumerate(lines[1:], 2):
        if _LOOKS_LIKE_A_VERDICT.match(line):
            raise _none("repeated", f"line {number} looks like a second verdict")
    if len(lines) < _HEAD or lines[1]:
        raise _none("second-line", "line 2 is not empty")
    if lines[2] != "COMMANDS RUN:" or lines.count("COMMANDS RUN:") > 1:
        raise _none("commands", 'line 3 is not the only "COMMANDS RUN:"')
    if not lines[3].startswith("judge_source: "):
        raise _none("source", 'line 4 does not begin with "judge_source: "')
    return "PASS" if first == "VERDICT: PASS" else "FAIL"


def _only(lines: list[str], heading: str) -> int:
    """Where the heading stands, which must be there once, after the head."""
    places = [place for place, line in enumerate(lines) if line == heading]
    if len(places) != 1 or places[0] < _HEAD:
        raise _none("reasons", f'there are {len(places)} lines "{heading}" where one belongs')
    return places[0]


def _claims(lines: list[str], end: int) -> tuple[Claim, ...]:
    claims = list[tuple[str, list[str]]]()
    for number, line in enumerate(lines[_HEAD:end], _HEAD + 1):
        if line.startswith("$ "):
            claims.append((line[2:].strip(), []))
        elif claims:
            claims[-1][1].append(line)
        elif line:
            raise _none("commands", f'line {number} belongs to no command; commands begin with "$ "')
    return tuple(Claim(command, "\n".join(output).strip("\n")) for command, output in claims)


def _bullets(lines: list[str], start: int) -> tuple[str, ...]:
    bullets = list[str]()
    for number, line in enumerate(lines[start:], start + 1):
        if line.startswith("- "):
            bullets.append(line[2:])
        elif line.strip():
            raise _none("reasons", f'line {number} is no reason; each is one line that begins with "- "')
    return tuple(bullets)


def _whole(outcome: Literal["PASS", "FAIL"], source: str, claims: tuple[Claim, ...], reasons: Sequence[str]) -> Verdict:
    """What both forms have in common."""
    if not _SOURCE.fullmatch(source):
        raise _none("source", f"{source[:80]!r} is not codex- and a model")
    if not claims:
        raise _none("commands", "no command is named")
    for claim in claims:
        if not claim.command or claim.command != claim.command.strip() or "\n" in claim.command:
            raise _none("commands", f"{claim.command[:80]!r} is not a line of a command")
    if not reasons:
        raise _none("reasons", "no reason is given")
    return Verdict(outcome, source, claims, tuple(_reason(text, claims) for text in reasons))


def _reason(text: str, claims: tuple[Claim, ...]) -> Reason:
    cites = tuple(dict.fromkeys(claim.command for claim in claims if f"`{claim.command}`" in text))
    if not cites or "\n" in text:
        raise _none("reasons", f"the reason {text[:80]!r} cites none of the commands in backticks")
    return Reason(text, cites)


def _shown(claim: Claim) -> list[str]:
    """A claim in the form of the contract; a line of output that would be read as a part of it is left out."""
    printed = claim.output.split("\n") if claim.output else []
    return [f"$ {claim.command}", *("..." if _is_structure(line) else line for line in printed)]


def _is_structure(line: str) -> bool:
    return line.startswith("$ ") or line in _HEADINGS or _LOOKS_LIKE_A_VERDICT.match(line) is not None


def _shows(output: str, claim: Claim) -> bool:
    """Whether every claimed line is in what was printed, in that order; spaces at their ends do not count."""
    printed = iter([line.rstrip() for line in output.splitlines()])
    wanted = (line.rstrip() for line in claim.output.splitlines())
    return all(line in printed for line in wanted if line and line.strip() not in _ELLIPSES)


def _none(code: str, reason: str) -> NoVerdict:
    return NoVerdict(f"verdict-{code}", f"no verdict: {reason}", "ask the judge once more, or another one")
