"""What a number of tasks can detect, before anything is spent.

Owns the probabilities that a candidate of a known worth is adopted, and the replays that takes. Does
not own the test itself: the thresholds and bets are those of `decision`.
Invariant: no chance and no simulation; the probabilities are summed over all that can happen, so the
same question has the same answer everywhere.

The model: every pair is a fresh draw, and scores are 0 or 1. An edit worth g turns that share of the tasks
from failed into passed; of all others a share, the `flips`, has two answers of which one passes and one
fails, as two replays of one task with one skill have, and either arm may have the better one. Real edits
help some tasks and harm others, and graded scores say more than 0 and 1: take it for a plan.
"""

from typing import NamedTuple

import msgspec

from armarius.errors import UsageError
from armarius.gate.decision import BETS, DEFAULT, Answer, Rules, best_case

__all__ = ["EFFECTS", "FLIPS", "MOST_TASKS", "Chance", "Plan", "plan_for"]

EFFECTS = (0.05, 0.1, 0.2, 0.4)
"""The gains in the pass rate that a plan speaks of."""

FLIPS = 0.3
"""Of a noisy agent: three tasks in ten end otherwise when they are replayed with the same skill."""

MOST_TASKS = 100
_WANTED = 0.8
_NEGLIGIBLE = 1e-7
_SHARES = tuple(bet / 4 for bet in BETS)


class Chance(msgspec.Struct, frozen=True):
    """What becomes of a candidate that is worth `gain`.

    `tonight` and `in_the_end` are the probabilities of adoption after one night and after all of them,
    `replays` the mean number of runs until the gate has decided or its nights are over.
    """

    gain: float
    tonight: float
    in_the_end: float
    replays: float


class Plan(msgspec.Struct, frozen=True):
    """What so many held-out tasks can show.

    `certifies` is the first night at whose end a candidate that wins every pair is adopted, None when
    it never is. `useless` is an edit that changes nothing; `detects` the smallest gain, in steps of a
    hundredth, that is adopted with probability .8 in the end.
    """

    held_out: int
    flips: float
    certifies: int | None
    replays_a_night: int
    useless: Chance
    chances: tuple[Chance, ...]
    detects: float | None


def plan_for(held_out: int, flips: float = FLIPS, rules: Rules = DEFAULT) -> Plan:
    """The plan for so many held-out tasks; UsageError for a number or a rate that means nothing."""
    if not 0 <= held_out <= MOST_TASKS:
        raise UsageError("plan-tasks", f"{held_out} tasks", f"a plan is made for 0 to {MOST_TASKS} held-out tasks")
    if not 0 <= flips <= 1:
        raise UsageError("plan-flips", f"a share of {flips} that flips", "it lies between 0 and 1")
    table = _Table(held_out * rules.pairs_a_night, rules)
    nights = range(1, rules.nights + 1)
    certain = [night for night in nights if best_case(held_out, night, rules).answer is Answer.ADOPT]
    return Plan(
        held_out=held_out,
        flips=flips,
        certifies=certain[0] if held_out and certain else None,
        replays_a_night=2 * held_out * rules.pairs_a_night,
        useless=table.chance(0.0, flips),
        chances=tuple(table.chance(gain, flips) for gain in EFFECTS),
        detects=_smallest(table, flips),
    )


def _smallest(table: "_Table", flips: float) -> float | None:
    """By halving: a larger gain is never adopted less often."""
    low, high = 0, 100
    if table.chance(1.0, flips).in_the_end < _WANTED:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if table.chance(middle / 100, flips).in_the_end < _WANTED:
            low = middle
        else:
            high = middle
    return high / 100


class _Table:
    """The gate's walk over (pairs won, lost, tied), for so many pairs a night."""

    def __init__(self, pairs: int, rules: Rules) -> None:
        self._pairs = pairs
        self._rules = rules
        self._limits: dict[tuple[int, int], _Limits] = {}

    def chance(self, gain: float, flips: float) -> Chance:
        loss = (1 - gain) * flips / 2
        win = gain + loss
        tie = max(0.0, 1 - win - loss)
        alive, adopted, tonight, offered = {(0, 0): 1.0}, 0.0, 0.0, 0.0
        for pair in range(1, self._rules.most_nights * self._pairs + 1):
            if pair == self._rules.nights * self._pairs + 1:
                alive = {state: mass for state, mass in alive.items() if self._is_steady(state, pair - 1)}
            offered += sum(alive.values())
            after = dict[tuple[int, int], float]()
            for (won, lost), mass in alive.items():
                for chance, state in ((win, (won + 1, lost)), (loss, (won, lost + 1)), (tie, (won, lost))):
                    share = chance * mass
                    if share <= _NEGLIGIBLE:
                        continue
                    limits = self._limits.get(state) or self._limit(state)
                    if limits.adopts:
                        adopted += share
                    elif pair - sum(state) < (limits.steady if self._is_steady(state, pair) else limits.usual):
                        after[state] = after.get(state, 0.0) + share
            alive = after
            if pair == self._pairs:
                tonight = adopted
        return Chance(gain, tonight, adopted, 2 * offered)

    def _is_steady(self, state: tuple[int, int], pair: int) -> bool:
        """Whether an agent counts as steady after so many pairs; who is not gets no further night."""
        below = self._rules.steady_below
        return pair > self._rules.nights * self._pairs or sum(state) * below.denominator < below.numerator * pair

    def _limit(self, state: tuple[int, int]) -> "_Limits":
        """What the gate does there."""
        won, lost = state
        rules = self._rules
        gained = sum((1 + bet) ** won * (1 - bet) ** lost for bet in _SHARES)
        if gained >= rules.adopt_at * len(_SHARES):
            limits = _ADOPTS
        else:
            usual, steady = (self._ties(won, lost, float(worth)) for worth in (rules.worth, rules.steady_worth))
            limits = _Limits(usual=usual, steady=steady)
        self._limits[state] = limits
        return limits

    def _ties(self, won: int, lost: int, worth: float) -> int:
        """With how many ties the gate rejects, as a tie tells for it a little."""
        enough = self._rules.reject_at * len(_SHARES)
        purses = [(1 + bet * (worth - 1)) ** won * (1 + bet * (worth + 1)) ** lost for bet in _SHARES]
        ties = 0
        while sum(purses) < enough:
            purses = [purse * (1 + bet * worth) for purse, bet in zip(purses, _SHARES, strict=True)]
            ties += 1
        return ties


class _Limits(NamedTuple):
    """From how many ties on the gate rejects, by whether the agent is steady; or that it adopts."""

    usual: int = 0
    steady: int = 0
    adopts: bool = False


_ADOPTS = _Limits(adopts=True)
