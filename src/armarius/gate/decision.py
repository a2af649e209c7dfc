"""May a candidate be adopted? The one place that says so.

Owns the evidence of one experiment, folded from pairs of replays in the order offered, and the
decision that follows from it. Does not own replaying, scoring, keeping evidence or adopting.
Invariant: a decision is a function of the pairs offered, and nothing else; all arithmetic is exact,
so no threshold hangs on a rounding error, and until one is reached the order of pairs is
immaterial to the last bit.
"""

# Sources.
#   J. Ville, Étude critique de la notion de collectif, Gauthier-Villars, 1939.
#   H. Robbins, Statistical methods related to the law of the iterated logarithm, Annals of
#     Mathematical Statistics 41(5), 1970.
#   I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, Journal of the
#     Royal Statistical Society B 86(1), 2024; arXiv:2010.09686.
#   E. Miller, Adding error bars to evals, 2024; arXiv:2411.00640.

import enum
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from armarius.errors import DataError

__all__ = [
    "BETS",
    "DEFAULT",
    "Answer",
    "Decision",
    "Gate",
    "Pair",
    "Reason",
    "Rules",
    "best_case",
    "decide",
    "wealth_path",
]

# The gamblers' bets, in quarters of their wealth. Simulated on a noisy agent with ten tasks a night, they
# adopt .75 of the edits worth 20 points. Of other ways to bet, one uniform mixture over all bets adopts .74,
# plug-in bets (aGRAPA of Waudby-Smith and Ramdas) .69 to .74, online Newton steps at most .68, each at the
# price of .03 to .04 of the inert edits. A single bet of 1/2 does as well on graded scores, but adopts more
# useless edits (.07) on all-or-nothing ones. None stakes everything: one lost pair would be ruin.
BETS = (1, 2, 3)


class Rules(msgspec.Struct, frozen=True):
    """What it takes. `adopt_at` is 1/alpha, `reject_at` 1/beta, `worth` the gain that is worth having.

    An agent is steady while the mean square of the gains in the first `nights` lies below `steady_below`. What
    scatters little can be told from nothing at the same cost though it is less, and so it is asked for less
    (`steady_worth`) and gets more nights (`steady_nights`).
    """

    adopt_at: int = 10
    trial_at: int = 5
    reject_at: int = 4
    worth: Fraction = Fraction(15, 100)
    nights: int = 3
    pairs_a_night: int = 2
    steady_below: Fraction = Fraction(12, 100)
    steady_worth: Fraction = Fraction(12, 100)
    steady_nights: int = 4

    @property
    def most_nights(self) -> int:
        return max(self.nights, self.steady_nights)


DEFAULT = Rules()


class Pair(msgspec.Struct, frozen=True):
    """One task replayed by both arms: two scores in [0, 1], or None where there was no score but an error.

    Pairing takes the spread between tasks out of the noise (Miller 2024).
    """

    night: int
    task: str
    baseline: float | None
    candidate: float | None

    def __post_init__(self) -> None:
        if self.night < 1:
            raise DataError("night", f"task {self.task!r}: night {self.night}", "nights count from 1")
        for score in (self.baseline, self.candidate):
            if score is not None and not 0 <= score <= 1:
                raise DataError(
                    "score",
                    f"night {self.night}, task {self.task!r}: score {score}",
                    "a score lies between 0 and 1; a replay or judge that failed has none (null)",
                )

    @property
    def gain(self) -> Fraction | None:
        """Candidate minus baseline, exactly; None when either arm has no score."""
        if self.baseline is None or self.candidate is None:
            return None
        return Fraction(self.candidate) - Fraction(self.baseline)


class Answer(enum.Enum):
    """What the evidence allows. `trial` touches nothing live; `continue` asks for more pairs."""

    ADOPT = "adopt"
    TRIAL = "trial"
    REJECT = "reject"
    CONTINUE = "continue"


Reason: TypeAlias = Literal["certified", "futile", "exhausted", "undecided"]


class Decision(msgspec.Struct, frozen=True):
    """The answer and what it rests on.

    Every pair offered is either used or ignored: it was an `error` in an arm, `surplus` over the cap or
    after the last night, or came `late`, after the gate had adopted or rejected. `nights` is how many there
    may be and `worth` the gain that would be worth having, as the scatter of the pairs so far has them.
    """

    answer: Answer
    reason: Reason
    e_value: float
    mean_gain: float
    tasks: int
    wins: int
    losses: int
    ties: int
    errors: int
    surplus: int
    late: int
    nights: int
    worth: float

    @property
    def pairs_used(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def pairs_ignored(self) -> int:
        return self.errors + self.surplus + self.late


class Gate:
    """The evidence of one experiment so far. Offer pairs one at a time, look after each, stop when `decided`.

    Adopts when the wealth bet against "the mean gain is not above 0" reaches `adopt_at`; rejects as futile
    when the wealth bet against "it is at least `worth`" reaches `reject_at`. Neither error is likelier
    than one in that many, however often one looks (see `_Wealth`), and whatever of the past decides when one
    stops: to give a steady agent another night costs nothing of that.

    Where the theory stops: that holds of each pair given the past, but a second replay of a task is no
    fresh draw of the user's work. Enough replays of few tasks would certify the luck of drawing them, so
    surplus pairs are ignored, and what false adoption is left is measured (`benchmarks/gatebench.py`).

    The same pairs offered to a fresh gate give the same gate: that is how a night resumes.
    """

    def __init__(self, rules: Rules = DEFAULT) -> None:
        self._rules = rules
        self._for = _Wealth()
        self._against = _Wealth()
        self._against_less = _Wealth()
        self._squares = Fraction(0)
        self._squared = 0
        self._reached: Literal["certified", "futile"] | None = None
        self._used: Counter[tuple[int, str]] = Counter()
        self._tasks: set[str] = set()
        self._latest_night = 0
        self._total_gain = Fraction(0)
        self._wins = self._losses = self._ties = 0
        self._errors = self._surplus = self._late = 0

    @property
    def nights(self) -> int:
        """How many nights there may be. It says nothing of which arm is better, and so no pair is chosen by that."""
        return self._rules.most_nights if self._is_steady else self._rules.nights

    @property
    def decided(self) -> bool:
        """The gate has adopted or rejected on evidence; nothing offered from now on changes that."""
        return self._reached is not None

    def offer(self, pair: Pair) -> None:
        """Take in the next pair.

        An error takes no slot: it tells about the infrastructure and not about the scores, so a
        martingale that skips it stays one, and the task may be replayed in its place. (Errors that
        befall one arm alone would leave a choice of pairs: who plays them looks for that.)
        """
        if self.decided:
            self._late += 1
            return
        slot = (pair.night, pair.task)
        gain = pair.gain
        self._tasks.add(pair.task)
        self._latest_night = max(self._latest_night, pair.night)
        if gain is None:
            self._errors += 1
        elif pair.night > self.nights or self._used[slot] == self._rules.pairs_a_night:
            self._surplus += 1
        else:
            self._used[slot] += 1
            if pair.night <= self._rules.nights:  # what it has of the nights beyond cannot end them
                self._squares += gain * gain
                self._squared += 1
            self._settle(gain)

    def decision(self, *, nights_over: int = 0) -> Decision:
        """What the pairs so far allow, if they were all; `nights_over` says how many nights are closed.

        Pairs alone tell that the last night is over when one of a later night was offered, or when every
        task seen has used up the last night's slots. Whoever runs the nights knows earlier and better.
        Being exhausted is a reading of the evidence and not an event in it: should a task that was
        never seen still come in the last night, its pairs count.
        """
        answer, reason = self._answer(nights_over)
        used = self._wins + self._losses + self._ties
        return Decision(
            answer=answer,
            reason=reason,
            e_value=self._for.value,
            mean_gain=float(self._total_gain / used) if used else 0.0,
            tasks=len({task for _, task in self._used}),
            wins=self._wins,
            losses=self._losses,
            ties=self._ties,
            errors=self._errors,
            surplus=self._surplus,
            late=self._late,
            nights=self.nights,
            worth=float(self._worth),
        )

    @property
    def _is_steady(self) -> bool:
        return self._squares < self._rules.steady_below * self._squared

    @property
    def _worth(self) -> Fraction:
        return self._rules.steady_worth if self._is_steady else self._rules.worth

    def _settle(self, gain: Fraction) -> None:
        self._total_gain += gain
        self._wins += gain > 0
        self._losses += gain < 0
        self._ties += gain == 0
        self._for.bet_on(gain)
        self._against.bet_on(self._rules.worth - gain)
        self._against_less.bet_on(self._rules.steady_worth - gain)
        # A small soft gain, above 0 and below `worth`, feeds both; what is proven goes first.
        if self._for.has_reached(self._rules.adopt_at):
            self._reached = "certified"
        elif (self._against_less if self._is_steady else self._against).has_reached(self._rules.reject_at):
            self._reached = "futile"

    def _answer(self, nights_over: int) -> tuple[Answer, Reason]:
        if self._reached == "certified":
            return Answer.ADOPT, "certified"
        if self._reached == "futile":
            return Answer.REJECT, "futile"
        if max(nights_over, self._latest_night - 1) >= self.nights or self._last_night_is_full():
            return Answer.REJECT, "exhausted"
        trial = self._for.has_reached(self._rules.trial_at)
        return (Answer.TRIAL if trial else Answer.CONTINUE), "undecided"

    def _last_night_is_full(self) -> bool:
        last = self.nights
        return self._latest_night == last and all(
            self._used[last, task] == self._rules.pairs_a_night for task in self._tasks
        )


def decide(pairs: Iterable[Pair], rules: Rules = DEFAULT, *, nights_over: int = 0) -> Decision:
    """The decision on one experiment's pairs, in the order offered."""
    gate = Gate(rules)
    for pair in pairs:
        gate.offer(pair)
    return gate.decision(nights_over=nights_over)


def wealth_path(pairs: Iterable[Pair], rules: Rules = DEFAULT) -> tuple[float, ...]:
    """The e-value after each pair that counted, from 1 on; what a plot of the evidence shows."""
    gate, path, used = Gate(rules), [1.0], 0
    for pair in pairs:
        gate.offer(pair)
        now = gate.decision()
        if now.pairs_used > used:
            used = now.pairs_used
            path.append(now.e_value)
    return tuple(path)


def best_case(tasks: int, nights: int = 1, rules: Rules = DEFAULT) -> Decision:
    """The decision if every pair of so many tasks and nights were won.

    Unless this adopts, so few tasks cannot certify anything, and the night can say so before it spends.
    """
    return decide(
        (
            Pair(night=night, task=str(task), baseline=0, candidate=1)
            for night in range(1, nights + 1)
            for _ in range(rules.pairs_a_night)
            for task in range(tasks)
        ),
        rules,
    )


class _Wealth:
    """What gamblers have made of 1, on average, each always staking the same share of her wealth.

    A share b on a gain multiplies wealth by 1 + b * gain, which is never negative here. Where the mean
    gain is not above 0, wealth is a supermartingale: the capital process of Waudby-Smith and Ramdas (2024,
    section 4). The average over gamblers is one too (Robbins 1970), and the probability that it ever
    reaches c is at most 1/c (Ville 1939).

    Kept in whole numbers over one unit: exact as fractions are, without a common divisor at each step.
    """

    def __init__(self) -> None:
        self._purses = [1] * len(BETS)
        self._unit = len(BETS)

    def bet_on(self, gain: Fraction) -> None:
        """Every purse is multiplied by 1 + bet * gain."""
        won, whole = gain.numerator, 4 * gain.denominator
        self._purses = [purse * (whole + bet * won) for bet, purse in zip(BETS, self._purses, strict=True)]
        self._unit *= whole

    def has_reached(self, level: int) -> bool:
        return sum(self._purses) >= level * self._unit

    @property
    def value(self) -> float:
        return sum(self._purses) / self._unit
