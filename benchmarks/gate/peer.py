"""The gate of SkillOpt-Sleep, on the draws that ours gets.

Owns calling it as its night does: the means of one replay of each held-out task, before and after, `mixed` by
default, adopted when strictly better. Does not own the draws.
Invariant: with the package at hand its own function decides; without it the same rule is written out here, and
`name` says so. Its night takes a second look at the candidate, which its cache serves from the first: none.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gate.worlds import SCORES

__all__ = ["Peer", "peer_from"]


class Peer(NamedTuple):
    """Who decides, and the decision on the scores of one replay of each task before and after."""

    name: str
    adopts: Callable[[Sequence[float], Sequence[float]], bool]


def peer_from(folder: Path | None, score: str) -> Peer:
    """The gate of the package installed in `folder`; the rule restated when there is none."""
    soft_of = dict(zip(SCORES[score], SCORES["soft"], strict=True)) if score == "mixed" else None
    module = None if folder is None else _loaded(folder / "skillopt_sleep" / "gate.py")

    def means(scores: Sequence[float]) -> tuple[float, float]:
        soft = scores if soft_of is None else [soft_of[one] for one in scores]
        return sum(float(one == 1) for one in scores) / len(scores), sum(soft) / len(scores)

    def adopts(before: Sequence[float], after: Sequence[float]) -> bool:
        arms = means(before), means(after)
        return _restated(*arms, score) if module is None else _asked(module, *arms, score)

    if folder is None:
        return Peer("SkillOpt-Sleep's rule, restated", adopts)
    return Peer(f"SkillOpt-Sleep {_version(folder)}, its own evaluate_gate", adopts)


def _restated(before: tuple[float, float], after: tuple[float, float], metric: str) -> bool:
    """A candidate is kept when its score is above the one before."""
    weight = {"hard": 0.0, "soft": 1.0, "mixed": 0.5}[metric]
    was, now = ((1 - weight) * hard + weight * soft for hard, soft in (before, after))
    return now > was


def _asked(module: Any, before: tuple[float, float], after: tuple[float, float], metric: str) -> bool:
    was = module.select_gate_score(*before, metric)
    said = module.evaluate_gate(
        "candidate", after[0], "current", was, "current", was, 0, 1, cand_soft=after[1], metric=metric
    )
    return bool(said.action != "reject")


def _loaded(path: Path) -> ModuleType:
    """The file alone, which imports nothing of its package."""
    spec = importlib.util.spec_from_file_location("skillopt_sleep_gate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _version(folder: Path) -> str:
    found = next(folder.glob("skillopt-*.dist-info"), None)
    return found.name.removeprefix("skillopt-").removesuffix(".dist-info") if found else "of unknown version"
