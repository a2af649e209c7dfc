"""The checks of a task, and what an answer scores under them.

Owns the operators, their exact meaning, and the hash that stands for a judge in the key of a paid
run. Does not own tasks, replays or the decision whether a candidate is better.
Invariant: a judge that exists can be applied. What is unknown, empty or no valid pattern is refused
when it is built, so scoring never guesses, and raises only when the world outside of the answer fails.
Patterns run on RE2: linear time, no backtracking, whoever wrote them. A tool counts as called when it
was executed, never when the answer says so.

All checks that look at the answer see the same text: line ends as line feeds, letters composed (NFC), white
space around it removed. An empty answer passes none of them; else it would pass as short, or as no refusal.
"""

import functools
import unicodedata
from typing import Annotated, Any, Literal, Protocol, TypeAlias, assert_never, get_args

import msgspec
from msgspec import Meta

from armarius.evolve.checks import (
    CheckBase,
    CommandPasses,
    FileHolds,
    JsonSchema,
    Qrels,
    Rubric,
    WantedCommand,
    WantedFile,
    WantedQuality,
    missing_slugs,
    unfit,
)
from armarius.evolve.sections import fold_title, sections_titled
from armarius.evolve.wording import citations_in, refusal_in
from armarius.identity import hash_value

__all__ = [
    "OPERATORS",
    "Check",
    "CheckResult",
    "Contains",
    "Exact",
    "Judge",
    "MaxChars",
    "MinChars",
    "MinCitations",
    "NoRefusal",
    "NotContains",
    "Regex",
    "Score",
    "SectionContains",
    "SectionPresent",
    "SectionText",
    "ToolCalled",
    "ToolNotCalled",
    "Unjudged",
    "World",
    "score",
]

_Text = Annotated[str, Meta(min_length=1, max_length=2_000)]
_Size = Annotated[int, Meta(ge=1, le=1_000_000)]
_Tool = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]


class SectionPresent(CheckBase, frozen=True, tag="section_present"):
    """There is a section with this title: a heading of any level or a line in bold."""

    arg: _Text

    def __post_init__(self) -> None:
        _check_title(self.arg)


class SectionText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section's title and a text that stands below it."""

    section: _Text
    text: _Text

    def __post_init__(self) -> None:
        _check_title(self.section)
        _check_text(self.text)


class SectionContains(CheckBase, frozen=True, tag="section_contains"):
    """One of the sections with this title, its subsections included, holds the text, to the letter."""

    arg: SectionText


class Regex(CheckBase, frozen=True, tag="regex"):
    """The pattern (RE2) is found somewhere; `^` and `$` match at every line."""

    arg: _Text

    def __post_init__(self) -> None:
        compiled = _pattern(self.arg)
        if all(compiled.search(text) for text in _UNLIKE):
            raise ValueError(
                f"the pattern {_shown(self.arg)} is found in every answer, so the check would tell nothing"
            )


class MaxChars(CheckBase, frozen=True, tag="max_chars"):
    """The answer has at most so many code points."""

    arg: _Size


class MinChars(CheckBase, frozen=True, tag="min_chars"):
    """The answer has at least so many code points."""

    arg: _Size


class Contains(CheckBase, frozen=True, tag="contains"):
    """The text occurs, to the letter and in this case."""

    arg: _Text

    def __post_init__(self) -> None:
        _check_text(self.arg)


class NotContains(CheckBase, frozen=True, tag="not_contains"):
    """The text does not occur, to the letter and in this case."""

    arg: _Text

    def __post_init__(self) -> None:
        _check_text(self.arg)


class Exact(CheckBase, frozen=True, tag="exact"):
    """The answer is this text, white space around both aside; to hold it is not enough."""

    arg: _Text

    def __post_init__(self) -> None:
        _check_text(self.arg)


class NoRefusal(CheckBase, frozen=True, tag="no_refusal"):
    """The answer does not begin with an English refusal to do the task. It takes no argument."""

    arg: None = None


class ToolCalled(CheckBase, frozen=True, tag="tool_called"):
    """The tool of this name was executed."""

    arg: _Tool


class ToolNotCalled(CheckBase, frozen=True, tag="tool_not_called"):
    """The tool of this name was not executed."""

    arg: _Tool


class MinCitations(CheckBase, frozen=True, tag="min_citations"):
    """At least so many sources are cited, outside code.

    Sources are counted by number (`[3]`, `[^3]`, `[1, 2]`) and by URL, each once, and the larger
    count holds: a number and the URL in the list of references are the same source.
    """

    arg: Annotated[int, Meta(ge=1, le=1_000)]


_OfTheAnswer: TypeAlias = (
    SectionPresent
    | SectionContains
    | Regex
    | MaxChars
    | MinChars
    | Contains
    | NotContains
    | Exact
    | NoRefusal
    | ToolCalled
    | ToolNotCalled
    | MinCitations
    | JsonSchema
    | Qrels
)

Check: TypeAlias = _OfTheAnswer | CommandPasses | FileHolds | Rubric

OPERATORS = tuple(str(kind.__struct_config__.tag) for kind in get_args(Check))
"""The words that `op` may be."""


class Judge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer must fulfil: all of the checks."""

    kind: Literal["rule"]
    checks: Annotated[tuple[Check, ...], Meta(min_length=1, max_length=100)]

    @property
    def hash(self) -> str:
        """Names the judge by content: part of the key under which a paid run is kept."""
        return hash_value(msgspec.to_builtins(self))

    @property
    def shape_only(self) -> bool:
        """No check looks at what is said, so an answer can pass and be worthless: nothing to certify."""
        return all(isinstance(check, MaxChars | MinChars | NoRefusal) for check in self.checks)

    @property
    def looks_outside(self) -> bool:
        """Some check needs a `World`: the answer alone does not tell."""
        return any(isinstance(check, CommandPasses | FileHolds | Rubric) for check in self.checks)


class CheckResult(msgspec.Struct, frozen=True):
    """Whether one check holds, and what was seen."""

    op: str
    held: bool
    reason: str


class Score(msgspec.Struct, frozen=True):
    """`hard` when all checks hold; `soft` is the share that does."""

    hard: bool
    soft: float
    results: tuple[CheckResult, ...]


class Unjudged(Exception):
    """A check could not be applied: the machine or a model failed, and not the answer. No score comes of it."""


class World(Protocol):
    """What an answer left behind, and who may be asked about it; each raises Unjudged when it cannot say."""

    def command(self, wanted: WantedCommand) -> tuple[bool, str]:
        """Whether the command ends as it should, and what was seen."""
        ...

    def file(self, wanted: WantedFile) -> tuple[bool, str]:
        """Whether the file is as it should be, and what was seen."""
        ...

    def rating(self, wanted: WantedQuality, answer: str) -> tuple[float, str]:
        """How good the answer is, from 0 to 1, and why."""
        ...


def score(judge: Judge, answer: str, tools_called: frozenset[str], world: World | None = None) -> Score:
    """What the answer scores, with the tools that were really executed for it and what it left behind.

    Unjudged when a check needs a world that is not there or cannot say.
    """
    text = _plain(answer)
    results = tuple(_result(check, text, tools_called, world) for check in judge.checks)
    held = sum(result.held for result in results)
    return Score(held == len(results), held / len(results), results)


_NOT_OF_THE_ANSWER = ToolCalled | ToolNotCalled | CommandPasses | FileHolds


def _result(check: Check, text: str, tools_called: frozenset[str], world: World | None) -> CheckResult:
    if not text and not isinstance(check, _NOT_OF_THE_ANSWER):
        return CheckResult(check.op, held=False, reason="the answer is empty")
    if isinstance(check, CommandPasses | FileHolds | Rubric):
        held, reason = _outside(check, text, world)
    else:
        held, reason = _verdict(check, text, tools_called)
    return CheckResult(check.op, held, reason)


def _outside(check: CommandPasses | FileHolds | Rubric, text: str, world: World | None) -> tuple[bool, str]:
    if world is None:
        raise Unjudged(f"a check {check.op!r} needs what the agent left behind")
    match check:
        case CommandPasses(arg=command):
            return world.command(command)
        case FileHolds(arg=file):
            return world.file(file)
        case Rubric(arg=quality):
            rating, reason = world.rating(quality, text)
            return rating >= quality.least, f"rated {rating:.2f}, at least {quality.least:.2f}: {reason}"


def _verdict(check: _OfTheAnswer, text: str, tools_called: frozenset[str]) -> tuple[bool, str]:
    match check:
        case SectionPresent(arg=title):
            there = bool(sections_titled(title, text))
            return there, f"section {_shown(title)} {_IS[there]}"
        case SectionContains(arg=SectionText(section=title, text=wanted)):
            bodies = sections_titled(title, text)
            there = any(_as_read(wanted) in body for body in bodies)
            what = _shown(wanted) if bodies else "the section itself"
            return there, f"section {_shown(title)}: {what} {_IS[there]}"
        case Regex(arg=pattern):
            there = _pattern(pattern).search(text) is not None
            return there, f"a match of {_shown(pattern)} {_IS[there]}"
        case MaxChars(arg=most):
            return len(text) <= most, f"{len(text):,} characters, at most {most:,}"
        case MinChars(arg=least):
            return len(text) >= least, f"{len(text):,} characters, at least {least:,}"
        case Contains(arg=wanted):
            there = _as_read(wanted) in text
            return there, f"{_shown(wanted)} {_IS[there]}"
        case NotContains(arg=unwanted):
            there = _as_read(unwanted) in text
            return not there, f"{_shown(unwanted)} {_IS[there]}"
        case Exact(arg=wanted):
            same = text == _plain(wanted)
            return same, f"the answer is {'' if same else 'not '}{_shown(wanted)}"
        case NoRefusal():
            refusal = refusal_in(text)
            return not refusal, f"it refuses: {_shown(refusal)}" if refusal else "no refusal"
        case ToolCalled(arg=tool):
            called = tool in tools_called
            return called, f"{tool} was {'' if called else 'not '}called"
        case ToolNotCalled(arg=tool):
            called = tool in tools_called
            return not called, f"{tool} was {'' if called else 'not '}called"
        case MinCitations(arg=least):
            count = citations_in(text)
            return count >= least, f"{count} sources cited, at least {least}"
        case JsonSchema(arg=schema):
            reason = unfit(schema, text)
            return reason is None, reason or "it fits the schema"
        case Qrels(arg=ranking):
            found, missing = missing_slugs(ranking, text)
            lacks = f", without {', '.join(missing[:3])}" if missing else ""
            return found >= ranking.wanted, f"{found} of {len(ranking.expected)} in the top {ranking.top}{lacks}"
        case _:
            assert_never(check)


_PRINTED = "".join(map(chr, range(ord(" "), ord("~") + 1)))
_UNLIKE = (*_PRINTED.replace(" ", ""), "\ue000", _PRINTED, f"{_PRINTED}\n{_PRINTED}")
"""Answers that have no character in common, and some that have all: what is found in each says nothing of any."""

_IS = {True: "is there", False: "is missing"}
_SHOWN = 60


def _shown(text: str) -> str:
    """Quoted, on one line, and cut so that a reason stays short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _plain(text: str) -> str:
    # Half a surrogate pair can come out of JSON; RE2 takes UTF-8, which has no form for it.
    return _as_read(text.encode(errors="replace").decode()).removeprefix("\ufeff").strip()


def _as_read(text: str) -> str:
    """With line feeds, and each letter in one piece where Unicode has it so: nobody sees how it was typed."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _check_text(text: str) -> None:
    if not text.strip():
        raise ValueError("the text is blank, so the check would say the same of every answer")


def _check_title(title: str) -> None:
    if not fold_title(title):
        raise ValueError(f"{title!r} is no title: it has no letter or digit")


@functools.lru_cache(maxsize=64)
def _pattern(pattern: str) -> Any:
    """The compiled pattern; ValueError with RE2's reason, and the place in it where RE2 tells."""
    import re2  # only judges with a pattern load the engine

    engine: Any = re2  # the library carries no types
    options = engine.Options()
    options.log_errors = False  # else RE2 writes to stderr by itself
    try:
        engine.compile(pattern, options)  # first as it came, so that a complaint quotes it so
        return engine.compile("(?m)" + unicodedata.normalize("NFC", pattern), options)
    except engine.error as error:
        reason = error.args[0].decode(errors="replace")
        fragment = reason.partition(": ")[2] or pattern[-1:]
        at = pattern.find(fragment)
        place = f" at character {at + 1}" if at >= 0 and fragment != pattern else ""
        raise ValueError(f"invalid pattern {_shown(pattern)}{place}: {reason} (syntax of RE2)") from error
