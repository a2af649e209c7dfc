"""Which skill a night is about, and what it is about.

Owns the choice among the skills that sessions used, and how much a text has to do with one. Does not own which
files may be changed (`skills.target`), nor what is written into one: the one that is made here says nothing yet.
Invariant: a skill is only chosen where its file lies below a root; a word of the path or of a heading says more
than one of the text, and a single common word says nothing.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.errors import ArmariusError, Refused
from armarius.evolve.episodes import Episode, Skill
from armarius.evolve.likeness import PLAIN, words_of
from armarius.files import read_bounded, write_atomic
from armarius.skills.document import MAX_SKILL, Document
from armarius.skills.target import resolve_target

__all__ = ["LEARNED", "Target", "choose_target", "learned_place", "make_learned", "relevance_to", "skill_text"]

LEARNED = Path(".agents", "skills", "armarius-learned", "SKILL.md")

_EMPTY = b"""---
name: armarius-learned
description: What was learned from past sessions in this project. Read it before you begin any work here.
---

# Learned in this project
"""
_MODE = 0o644

_PATH, _HEADING, _NAME, _TEXT = 3.0, 3.0, 2.0, 1.0
_ENOUGH = 3.0
_FULL = 9.0
_HEADINGS = re.compile(r"^#{1,6}\s+(.+)$|^\*\*(.+)\*\*$", re.MULTILINE)
_STRUCTURE = frozenset({"skills", "skill", ".agents", "agents", ".codex", "codex", "home", "md"})


class Target(msgspec.Struct, frozen=True):
    """The skill and why it was taken; `exists` is False for one that would have to be made."""

    path: Path
    why: str
    exists: bool = True


def choose_target(episodes: Sequence[Episode], project: Path, roots: Sequence[Path]) -> Target:
    """The skill that the sessions used most and that is ours to edit, else the project's learned one."""
    used = Counter[str]()
    paths = defaultdict[str, list[str]](list)
    for one in episodes:
        for skill in one.skills:
            used[skill.name] += 1
            if skill.path:
                paths[skill.name].append(_absolute(skill, one))
    for name, times in sorted(used.items(), key=lambda item: (-item[1], item[0])):
        for place in dict.fromkeys([*reversed(paths[name]), *(str(root / name) for root in _folders(project, roots))]):
            found = _editable(Path(place), roots)
            if found:
                return Target(found, f"used in {times} of {len(episodes)} turns")
    learned = project / LEARNED
    why = f"{', '.join(sorted(used)[:3])} cannot be edited from here" if used else "no session used a skill"
    return Target(learned, why, exists=learned.is_file())


def learned_place(project: Path) -> Path:
    """Where the project's learned skill is, or would be made; Refused when that is outside of the project."""
    path = Path(os.path.realpath(project / LEARNED))
    if not path.is_relative_to(os.path.realpath(project)):
        raise Refused("target-outside", f"{project / LEARNED} would lie outside {project}", "name --target-skill-path")
    return path


def skill_text(path: Path) -> bytes:
    """The bytes of a skill; of a learned one that is not there yet those that it would be made with."""
    if not os.path.lexists(path) and path.parts[-len(LEARNED.parts) :] == LEARNED.parts:
        return _EMPTY
    return read_bounded(path, MAX_SKILL)


def make_learned(path: Path) -> None:
    """Make a learned skill that says nothing, where there is none yet."""
    if not os.path.lexists(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _EMPTY, mode=_MODE)


def _absolute(skill: Skill, one: Episode) -> str:
    path = os.path.expanduser(skill.path or "")  # noqa: PTH111  # a pathlib one raises for a stranger's ~name
    return os.path.join(one.cwd or "/", path)  # noqa: PTH118  # as above: text of a stranger, checked below


def _folders(project: Path, roots: Sequence[Path]) -> list[Path]:
    return [project / ".agents" / "skills", project / ".codex" / "skills", *roots]


def _editable(path: Path, roots: Sequence[Path]) -> Path | None:
    try:
        return resolve_target(path, roots)
    except (ArmariusError, OSError, ValueError):
        return None


def relevance_to(path: Path, document: Document) -> Callable[[str], float]:
    """How much a text has to do with a skill, from 0 to 1, by the words of its path, headings and content."""
    weights = dict[str, float]()
    headings = " ".join(one or other for one, other in _HEADINGS.findall(document.text))
    sources = (
        (_TEXT, document.text),
        (_NAME, f"{document.name} {document.description}"),
        (_HEADING, headings),
        (_PATH, " ".join(path.parent.parts[-2:])),
    )
    for weight, text in sources:
        for word in _words(text):
            weights[word] = max(weight, weights.get(word, 0.0))

    def relevance(text: str) -> float:
        score = sum(weights.get(word, 0.0) for word in _words(text))
        return min(1.0, score / _FULL) if score >= _ENOUGH else 0.0

    return relevance


def _words(text: str) -> set[str]:
    split = (part for word in words_of(text) for part in re.split(r"[-_/.]", word))
    return {part.removesuffix("s") for part in split if len(part) > 1 and part not in PLAIN and part not in _STRUCTURE}
