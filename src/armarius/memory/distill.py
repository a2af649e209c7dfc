"""Notes that a session's own evidence proposes.

Owns what counts as evidence: what the person said, in sentences that hold for longer than a turn, and commands that
were seen to succeed. Does not own a model's opinion (`asked.py`), nor keeping anything.
Invariant: pure; nothing is taken from what the agent said; every proposal names the line it comes from, and none
is proposed that could not be kept.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from armarius.errors import DataError
from armarius.memory.notes import Kind, check_text
from armarius.memory.store import Draft
from armarius.thread import Command, FileSpot, Spot, Thread, UserMessage

__all__ = ["distill", "source_of"]

_SENTENCE = re.compile(r"[^.!?\n]+(?:\.(?=\S)[^.!?\n]*)*")
_CONSTRAINT = re.compile(r"(?i)^\W*(?:please\s+)?(?:never|always|do not|don'?t|must not|you must|make sure)\s+\w+")
_PREFERENCE = re.compile(
    r"(?i)\b(?:i (?:prefer|like|want)\b.{3,}|prefer \w+.*|use \S+ (?:instead of|rather than|not) \S+)"
)
_CHECK = re.compile(
    r"^(?:\S*/)?(?:pytest|tox|nox|make (?:test|check|lint)|(?:npm|pnpm|yarn|bun) (?:run )?(?:test|lint|build)|"
    r"cargo (?:test|check|clippy|build)|go (?:test|vet|build)|(?:python3? -m )(?:pytest|unittest)|ruff|pyright|mypy|"
    r"ctest|gradle \w+|mvn \w+|uv run \S+)(?:\s[^;&|<>$`\n]*)?$"
)
_LEAST, _LONGEST = 12, 400
_MOST_WORDS: Final = 6


def distill(thread: Thread, scope: str) -> list[Draft]:
    """Proposals of a session, without what may not be kept; of the same words the last."""
    found = dict[tuple[str, str], Draft]()
    for draft in (*_said(thread, scope), *_run(thread, scope)):
        try:
            check_text(draft.key, draft.value)
        except DataError:  # a proposal that cannot be kept is none
            continue
        found[draft.kind, draft.key] = draft
    return list(found.values())


def source_of(thread_id: str, spot: Spot) -> str:
    """Where something was seen, for a note."""
    return f"session:{thread_id}@{spot.byte if isinstance(spot, FileSpot) else spot.line}"


def _said(thread: Thread, scope: str) -> Iterator[Draft]:
    for turn in thread.turns:
        for item in turn.items:
            if not isinstance(item, UserMessage):
                continue
            for match in _SENTENCE.finditer(item.text):
                sentence = " ".join(match[0].split())
                kind: Kind | None = (
                    "constraint"
                    if _CONSTRAINT.search(sentence)
                    else "preference"
                    if _PREFERENCE.search(sentence)
                    else None
                )
                if kind is not None and _LEAST <= len(sentence) <= _LONGEST:
                    key = " ".join(re.findall(r"[a-z0-9]+", sentence.lower())[:_MOST_WORDS])
                    yield Draft(
                        kind=kind, key=key, value=sentence, scope=scope, source=source_of(thread.id, item.spot),
                        confidence=0.7,
                    )  # fmt: skip


def _run(thread: Thread, scope: str) -> Iterator[Draft]:
    """Checks of the project that were seen to end with 0, surer the more often."""
    commands = [item for turn in thread.turns for item in turn.items if isinstance(item, Command)]
    checks = [item for item in commands if _CHECK.match(item.command.strip()) and item.exit_code == 0]
    times = Counter(item.command.strip() for item in checks)
    for item in checks:
        line = item.command.strip()
        key = "check " + " ".join(re.findall(r"[A-Za-z0-9_./-]+", line)[:_MOST_WORDS])
        yield Draft(
            kind="fact", key=key, value=f"`{line}` ends with 0 here", scope=scope,
            source=source_of(thread.id, item.spot), confidence=min(0.9, 0.5 + 0.1 * times[line]),
        )  # fmt: skip
