"""Checks that the sessions themselves suggest, each with where it comes from.

Owns what of a group of episodes becomes a check: commands that passed, files that appeared, forms that were
asked for. Does not own whether work recurs (`mine`), nor what a check means (`judge`).
Invariant: nothing is drafted from what an agent claimed. A command counts when it ended with 0 after the work,
a file when a patch that was applied made it, a form when a person asked for it; and each in every part of the
work that went well, so that it says what is wanted each time and not what was so once.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from armarius.evolve.checks import CommandPasses, FileHolds, WantedCommand, WantedFile
from armarius.evolve.checks import JsonSchema as JsonForm
from armarius.evolve.episodes import Episode
from armarius.evolve.judge import Check, Contains, MaxChars, MinCitations, Regex, SectionPresent

__all__ = ["Drafted", "draft_checks"]

Drafted: TypeAlias = tuple[Check, str]
"""A check, and the sentence that says where it comes from."""

_MOST = 8
_COMMAND_S = 600.0
_REDACTED = "[redacted:"
"""Without its secret a command is not the one that passed, nor a text the one that was asked for."""

_ELSEWHERE = re.compile(
    r"(?:^|[;&|(\n])\s*(?:cd|pushd) +(?:-\w+ +|-- +)*[\"']?(?:/|~|\$|\.\.|-)"
    r"|(?:-C|--rootdir|--prefix)[ =]?[\"']?[/~$]"
)


def draft_checks(episodes: Sequence[Episode]) -> list[Drafted]:
    """The checks that these episodes of one kind of work suggest, the strongest first."""
    well = [one for one in episodes if not one.went_wrong and one.state in ("completed", "unknown")]
    drafted = (*_commands(well), *_files(well), *_forms(episodes))
    found = [(check, why) for check, why in drafted if _REDACTED not in repr(check)]
    return list({repr(check): (check, why) for check, why in reversed(found)}.values())[::-1][:_MOST]


def _commands(well: Sequence[Episode]) -> Iterable[Drafted]:
    """Tests that passed each time, in the folder of the work: elsewhere nothing of a replay would be seen."""
    for command in _common([{test.command for test in one.tests if test.exit_code == 0} for one in well]):
        if _ELSEWHERE.search(command) or "\0" in command:
            continue
        check = CommandPasses(WantedCommand(("/bin/sh", "-c", command), timeout_s=_COMMAND_S))
        yield check, f"`{command}` ended with 0 in {_sessions(well)}"


def _files(well: Sequence[Episode]) -> Iterable[Drafted]:
    """Files that were made each time, inside the folder of the work."""
    for path in _common([set(one.added) for one in well]):
        try:
            yield FileHolds(WantedFile(path)), f"{path} was made in {_sessions(well)}"
        except ValueError:  # a path that leads out of the folder
            continue


def _common(of_each: list[set[str]]) -> list[str]:
    return sorted(word for word in of_each[0] if all(word in other for other in of_each[1:])) if of_each else []


def _sessions(episodes: Sequence[Episode]) -> str:
    names = list(dict.fromkeys(one.thread_id for one in episodes))
    return "session " + names[0] if len(names) == 1 else f"all of {len(names)} sessions, such as {names[0]}"


# Forms, in the words of the request or of the correction that followed it.

_QUOTED = r"[\"'`\u201c]([^\"'`\u201c\u201d\n]{1,80})[\"'`\u201d]"

# Elsewhere than in English a title stands in quotes of many kinds, beside the word for a part of a text.
_TITLE = (
    r"[\"'`\u201c\u201e\u00ab\u300c\u300e]\s?([^\"'`\u201c-\u201e\u00ab\u00bb\u300c-\u300f\n]{1,80}?)\s?"
    r"[\"'`\u201c\u201d\u00bb\u300d\u300f]"
)
_PART = (
    "abschnitt|überschrift|kapitel|rubrique|partie|titre|sección|apartado|título|sezione|titolo|seção|sectie|kop|"
    "раздел\\w*|заголов\\w*|секци\\w*"
)
_PART_AFTER = "一?[章节]|部分|段落|标题|セクション|見出し|節|섹션|제목"


def _max_chars(found: re.Match[str]) -> Check:
    number = int(found[1].replace(",", ""))
    # Words are counted as six characters and a space, so that nobody fails who kept to them.
    return MaxChars(min(1_000_000, number * (8 if found[2].lower().startswith("word") else 1)))


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Check]], ...] = (
    (
        re.compile(rf"(?i)\b(?:section|heading|header)s? (?:called|titled|named|headed|for)? ?{_QUOTED}"),
        lambda found: SectionPresent(found[1]),
    ),
    (re.compile(rf"(?i)(?:\ba|the|an) {_QUOTED} (?:section|heading)\b"), lambda found: SectionPresent(found[1])),
    (
        re.compile(r"\b(?:a|an|the|forgot the|missing) ([A-Z][\w-]*(?: [A-Z&][\w-]*){0,4}) (?:section|heading)\b"),
        lambda found: SectionPresent(found[1]),
    ),
    (
        re.compile(
            rf"(?i)(?<!not )(?<!n't )(?<!never )\b(?:contain|include|mention|say|end with|start with) {_QUOTED}"
        ),
        lambda found: Contains(found[1]),
    ),
    (
        re.compile(
            r"(?i)\b(?:as|in|return|output|only|valid) (?:an? |only |valid |pure |raw ){0,3}JSON\b(?! (?:file|schema))"
        ),
        lambda _: JsonForm({"type": ["object", "array"]}),
    ),
    (re.compile(rf"(?i)\b(?:{_PART})\b[^\n.!?\"'`]{{0,20}}?{_TITLE}"), lambda found: SectionPresent(found[1])),
    (
        re.compile(r"(?i)\bsection\s?(?:(?:intitul|appel|nomm)ée )?[«„]\s?([^«»„“”\n]{1,80}?)\s?[»“”]"),
        lambda found: SectionPresent(found[1]),
    ),
    (re.compile(rf"{_TITLE}\s?[的の]?\s?(?:{_PART_AFTER})"), lambda found: SectionPresent(found[1])),
    (
        re.compile(
            r"(?i)\b(?:als|en|em|in formato|в формате|в) JSON\b(?![- ](?:datei|fichier|archivo|schema))"
            r"|JSON\s?(?:格式|形式)"
        ),
        lambda _: JsonForm({"type": ["object", "array"]}),
    ),
    (
        re.compile(r"(?i)\b(?:as|in) a (?:markdown )?table\b"),
        lambda _: Regex(r"^\s*\|.*\|\s*\n\s*\|[ :|-]+\|"),
    ),
    (re.compile(r"(?i)\b(?:cite|with (?:citations|sources|references))\b"), lambda _: MinCitations(1)),
    (
        re.compile(
            r"(?i)\b(?:at most|under|no more than|max(?:imum)?(?: of)?|within|less than) (\d[\d,]{0,6})"
            r" (characters?|chars|words?)\b"
        ),
        _max_chars,
    ),
)


def _forms(episodes: Sequence[Episode]) -> Iterable[Drafted]:
    """What a person asked for in every request of this kind, or set right in any of them."""
    asked = [_forms_in(one.prompt) for one in episodes]
    for key in _common([set(forms) for forms in asked]):
        yield asked[0][key], f"asked for in every one of {len(episodes)} requests"
    for one in episodes:
        for check in _forms_in(one.correction or "").values():
            yield check, f"set right by the person in session {one.thread_id}"


def _forms_in(text: str) -> dict[str, Check]:
    found = dict[str, Check]()
    for pattern, check_of in _FORMS:
        for match in pattern.finditer(text[:8_000]):
            try:
                check = check_of(match)
            except ValueError:  # a title without a letter, a number of nothing
                continue
            found.setdefault(repr(check).casefold(), check)
    return found
