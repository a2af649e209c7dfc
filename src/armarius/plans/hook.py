"""The check of plans at the end of a turn, as Codex's Stop hook asks for it.

Owns which plans a turn is held to, and the answer. Does not own the rules, nor putting the hook into Codex
(`install/hooks.py`).
Invariant: a turn is held up once at most, and only for plans that were written to since it began; whatever is
wrong with the question, the answer is nothing, and the turn ends.
"""

from pathlib import Path
from typing import Final

import msgspec

from armarius.errors import ArmariusError
from armarius.plans.check import Checked, Repository
from armarius.plans.folder import line_of, plans_in
from armarius.rollouts.reader import RolloutReader
from armarius.settings import project_root

__all__ = ["stop_reason"]

_TAIL: Final = 1 << 20
_MOST: Final = 20


class _Question(msgspec.Struct):
    """What Codex writes to a Stop hook, as far as it matters here."""

    cwd: str
    transcript_path: str | None = None
    stop_hook_active: bool = False


class _Answer(msgspec.Struct):
    reason: str
    decision: str = "block"


def stop_reason(question: bytes) -> bytes:
    """Codex's question -> the answer that lets the turn go on, or nothing."""
    try:
        asked = msgspec.json.decode(question, type=_Question)
        if asked.stop_hook_active:  # it was held up already
            return b""
        root = project_root(Path(asked.cwd))
        repository = Repository(root)
        began_us = _turn_began_us(asked.transcript_path)
        broken = [found for path in _written_since(root, began_us) if (found := _broken(path, repository))]
    except (ArmariusError, OSError, ValueError, RecursionError):
        return b""
    return msgspec.json.encode(_Answer(_said(broken))) if broken else b""


def _written_since(root: Path, began_us: int | None) -> list[Path]:
    return [path for path in plans_in(root) if began_us is None or path.stat().st_mtime_ns // 1_000 >= began_us]


def _turn_began_us(transcript: str | None) -> int | None:
    """When the turn began, or the session where the turn does not say; None when nothing says."""
    if transcript is None:
        return None
    try:
        thread = RolloutReader.at_end(Path(transcript), _TAIL).thread()
    except OSError:
        return None
    turn = thread.turns[-1].started_at_us if thread.turns else None
    return turn if turn is not None else thread.started_at_us


def _broken(path: Path, repository: Repository) -> Checked | None:
    checked = repository.check(path)
    return None if checked.valid or line_of(path, repository, checked).state != "open" else checked


def _said(broken: list[Checked]) -> str:
    found = [(plan.path, each) for plan in broken for each in plan.findings if each.severity == "error"]
    lines = [f"{path}:{each.line}: {each.rule} {each.message}; {each.fix}" for path, each in found[:_MOST]]
    more = [f"… and {len(found) - _MOST} more"] if len(found) > _MOST else []
    head = "The plan that you have worked on breaks its rules. Correct it, and check with `armarius plan check`:"
    return "\n".join([head, *lines, *more])
