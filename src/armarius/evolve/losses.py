"""Replays that got no score: in which arm, why, and whether chance explains it.

Owns the counting and what is told of it. Does not own evidence: to the gate such a pair is none.
Invariant: a loss counts for nobody. One that befalls one arm alone is said, and makes nothing live by itself, since a
candidate that makes replays fail would be judged by those that are left.
"""

from collections.abc import Iterable, Sequence
from math import comb
from typing import Protocol

from armarius.errors import Refused

__all__ = ["check_losses", "counts", "losses_told"]

_CHANCE = 0.05
_MOST_REASONS = 3


class _Pair(Protocol):
    @property
    def night(self) -> int: ...
    @property
    def baseline(self) -> float | None: ...
    @property
    def candidate(self) -> float | None: ...
    @property
    def why(self) -> str: ...


def losses_told(pairs: Sequence[_Pair], round_number: int) -> tuple[str, ...]:
    """What a reader must know of the pairs without a score, in sentences; none when each has one."""
    lost = [pair for pair in pairs if pair.baseline is None or pair.candidate is None]
    if not lost:
        return ()
    before, after = sum(pair.baseline is None for pair in lost), sum(pair.candidate is None for pair in lost)
    reasons = list(dict.fromkeys(pair.why for pair in lost if pair.why))
    such = f" ({'; '.join(reasons[:_MOST_REASONS])})" if reasons else ""
    said = [f"Without a score: {before} replays with the skill before, {after} with the candidate{such}."]
    only_before, only_after = _alone(lost)
    if _is_lopsided(only_before, only_after):
        worse = "with the candidate" if only_after > only_before else "with the skill before"
        said.append(
            f"Chance seldom does that: replays fail {worse}. The pairs that are left may flatter it; look at those "
            "runs (`armarius runs list --role replay`) before you adopt anything."
        )
    if not counts(pairs, round_number):
        said.append("No pair of this round has a score, so the round is not counted and is made again.")
    return tuple(said)


def check_losses(pairs: Iterable[_Pair]) -> None:
    """Refuse to make a candidate live unseen with which replays fail more often than chance explains."""
    before, after = _alone(pair for pair in pairs if pair.baseline is None or pair.candidate is None)
    if after > before and _is_lopsided(before, after):
        what = f"{after} replays failed with the candidate alone, {before} with the skill before: the rest may mislead"
        raise Refused("losses-one-sided", what, "look at the runs of its report; `armarius sleep adopt` makes it live")


def counts(pairs: Iterable[_Pair], round_number: int) -> bool:
    """Whether a round is one: unless it has pairs, and none of them a score."""
    tonight = [pair for pair in pairs if pair.night == round_number]
    return not tonight or any(pair.baseline is not None and pair.candidate is not None for pair in tonight)


def _alone(lost: Iterable[_Pair]) -> tuple[int, int]:
    """How many pairs lost the one arm alone, and how many the other."""
    both = [(pair.baseline is None, pair.candidate is None) for pair in lost]
    return both.count((True, False)), both.count((False, True))


def _is_lopsided(one: int, other: int) -> bool:
    """The sign test, on both sides: could a coin have dealt them out so?"""
    total = one + other
    tail = sum(comb(total, k) for k in range(min(one, other) + 1))
    return 2 * tail <= _CHANCE * 2**total
