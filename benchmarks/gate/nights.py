"""Thirty nights of candidates, most of which do nothing: what is gained by which gate.

Owns the three mixes of candidates and the walk through the nights. Does not own the worlds, the gates, nor the division
of a night's replays: that is `armarius.gate.rounds`, as `armarius sleep run` has it.
Invariant: both gates are offered the same candidates in the same order, drawn alike.

A useful edit is worth up to 20 points in the optimistic mix and up to 15 in the others, a harmful one costs 2 to 20,
each number as likely as the next; the others do nothing or cost one point. What was adopted is what the next
candidate is compared with. Each candidate is judged on other tasks of the same user.
"""

import math
import random
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from gate.peer import Peer
from gate.worlds import HALF, Edit, Evaluate, world

from armarius.gate.custody import replays, schedule
from armarius.gate.decision import Answer, Gate
from armarius.gate.rounds import Standing, in_excess, rounds_tonight

__all__ = ["MIXES", "NIGHTS", "Month", "Summary", "difference", "months", "summary_of"]

NIGHTS = 30
_LEAST, _MOST = 0.01, 0.99


class Mix(NamedTuple):
    """Shares of candidates that do nothing (to the `idle` effect) and that harm; the others help by up to `best`."""

    null: float
    harmful: float
    idle: float
    best: int
    goal: bool = True


MIXES = {
    "optimistic": Mix(null=0.5, harmful=0.25, idle=0.0, best=20, goal=False),
    "sober": Mix(null=0.5, harmful=0.3, idle=-0.01, best=15),
    "hostile": Mix(null=0.4, harmful=0.5, idle=-0.01, best=15),
}
_WORST = 20


class Month(NamedTuple):
    """What became of one user: the gain in success, what was adopted that does not help, of it what harms, replays."""

    gain: float
    false: int
    harmful: int
    true: int
    replays: int


class Summary(NamedTuple):
    """Means over users; `worst` is the gain that one in twenty stays below, `worse` the share that lost."""

    gain: float
    worst: float
    worse: float
    false: float
    harmful: float
    true: float
    replays_a_night: float


def months(
    name: str, *, agent_spread: float, size: int, score: str, trials: int, seed: int, peer: Peer
) -> dict[str, list[Month]]:
    """So many users through thirty nights, with our gate in three ways and with the peer's."""
    found: dict[str, list[Month]] = {"in turn": [], "at once": [], "beside": [], "skillopt": []}
    for trial in range(trials):
        key = f"{seed} {name} {agent_spread} {size} {trial}"
        effects = _candidates(random.Random(key), MIXES[name])  # noqa: S311 - a simulation, no secret
        month = _Month(key, effects, agent_spread, size, score)
        found["in turn"].append(month.in_turn())
        found["at once"].append(month.at_once())
        found["beside"].append(month.side_by_side())
        found["skillopt"].append(month.with_peer(peer))
    return found


def summary_of(found: Sequence[Month]) -> Summary:
    gains = sorted(month.gain for month in found)
    return Summary(
        gain=mean(gains),
        worst=gains[len(gains) // 20],
        worse=sum(gain < 0 for gain in gains) / len(gains),
        false=mean(month.false for month in found),
        harmful=mean(month.harmful for month in found),
        true=mean(month.true for month in found),
        replays_a_night=mean(month.replays for month in found) / NIGHTS,
    )


def difference(ours: Sequence[Month], theirs: Sequence[Month]) -> tuple[float, float]:
    """How much more was gained with ours, user by user, and its standard error."""
    more = [one.gain - other.gain for one, other in zip(ours, theirs, strict=True)]
    return mean(more), (stdev(more) / math.sqrt(len(more)) if len(more) > 1 else math.inf)


def _candidates(chance: random.Random, mix: Mix) -> list[float]:
    def drawn() -> float:
        lot = chance.random()
        if lot < mix.null:
            return mix.idle
        return -chance.randint(2, _WORST) / 100 if lot < mix.null + mix.harmful else chance.randint(1, mix.best) / 100

    return [drawn() for _ in range(NIGHTS)]


class _Month:
    """One user's candidates, and what they do to her agent when they are adopted."""

    def __init__(self, key: str, effects: Sequence[float], agent_spread: float, size: int, score: str) -> None:
        self._key = key
        self._effects = effects
        self._spread = agent_spread
        self._tasks = frozenset(f"task-{k}" for k in range(size))
        self._score = score

    def in_turn(self) -> Month:
        """An undecided candidate keeps its place, so that the next one waits."""
        tally, waiting = _Tally(), list(enumerate(self._effects))
        live: _Live | None = None
        for _ in range(NIGHTS):
            if live is None:
                live = self._taken_up(*waiting.pop(0), tally.level)
            if live.has_ended(self._tasks, tally):
                live = None
        return tally.month

    def at_once(self) -> Month:
        """Every candidate is decided in the night in which it is proposed: all of its rounds, one after the other."""
        tally = _Tally()
        for number, effect in enumerate(self._effects):
            live = self._taken_up(number, effect, tally.level)
            while not live.has_ended(self._tasks, tally):
                pass
        return tally.month

    def side_by_side(self) -> Month:
        """What `armarius sleep run` does every night, if what it certifies is adopted in the morning."""
        tally, live = _Tally(), list[_Live]()
        for number, effect in enumerate(self._effects):
            live.append(self._taken_up(number, effect, tally.level))
            # Evidence is void once the skill is another one: it is gathered anew on that.
            live = [
                one if one.level == tally.level else self._taken_up(one.number, one.effect, tally.level) for one in live
            ]
            gone = in_excess([one.standing for one in live])
            live = [one for one in live if one.standing.name not in gone]
            tonight = rounds_tonight([one.standing for one in live])
            for one in [one for one in live if one.standing.name in tonight]:
                if one.has_ended(self._tasks, tally):
                    live.remove(one)
                if one.is_certified:
                    break
        return tally.month

    def with_peer(self, peer: Peer) -> Month:
        tally = _Tally()
        for number, effect in enumerate(self._effects):
            live = self._taken_up(number, effect, tally.level)
            slots = schedule(f"month {number}", self._tasks, 1, shown=frozenset())[: len(self._tasks)]
            pairs = [live.evaluate(slot.task, slot.night, slot.replicate) for slot in slots]
            tally.replays += 2 * len(pairs)
            if peer.adopts([before for before, _ in pairs], [after for _, after in pairs]):
                tally.adopt(live)
        return tally.month

    def _taken_up(self, number: int, effect: float, level: float) -> "_Live":
        """A candidate on the agent as it is by now; nothing lifts it above .99 or lowers it below .01."""
        after = min(max(round(level + effect, 9), _LEAST), _MOST)
        chance = random.Random(f"{self._key} {number}")  # noqa: S311 - a simulation, no secret
        evaluate = world(chance, Edit(after - level), self._spread, self._score, level)
        return _Live(number, effect, level, after, evaluate)


class _Live:
    """A candidate before our gate."""

    def __init__(self, number: int, effect: float, level: float, after: float, evaluate: Evaluate) -> None:
        self.number, self.effect, self.level, self.after = number, effect, level, after
        self.evaluate = evaluate
        self._gate, self._nights = Gate(), 0

    @property
    def standing(self) -> Standing:
        return Standing(str(self.number), self._gate.decision(nights_over=self._nights).e_value)

    @property
    def is_certified(self) -> bool:
        return self._gate.decision(nights_over=self._nights).answer is Answer.ADOPT

    def has_ended(self, tasks: frozenset[str], tally: "_Tally") -> bool:
        """One more night of it; whether that was its last."""
        self._nights += 1
        slots = schedule(f"month {self.number}", tasks, self._nights, shown=frozenset())
        for pair in replays(slots, self.evaluate):
            self._gate.offer(pair)
            tally.replays += 2
            if self._gate.decided:
                break
        answer = self._gate.decision(nights_over=self._nights).answer
        if answer is Answer.ADOPT:
            tally.adopt(self)
        return answer in (Answer.ADOPT, Answer.REJECT)


class _Tally:
    def __init__(self) -> None:
        self.level = HALF
        self.replays = 0
        self._false = self._harmful = self._true = 0

    def adopt(self, one: _Live) -> None:
        self.level = one.after
        self._false += one.effect <= 0
        self._harmful += one.effect < -0.01  # noqa: PLR2004
        self._true += one.effect > 0

    @property
    def month(self) -> Month:
        return Month(round(self.level - HALF, 9), self._false, self._harmful, self._true, self.replays)
