"""What a piece of work may use up, and what it has used up.

Owns the two values, how a budget is spelt, and whether one is passed. Pure. Does not own where the
numbers come from (`dispatch/meter.py`) nor what happens when one is passed.
Invariant: no limit is None and never a number; two budgets are joined by the smaller of each limit, so
that joining never widens.
"""

import math
import re
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

import msgspec

from armarius.errors import UsageError, nearest

__all__ = ["MEASURES", "NO_BUDGET", "Budget", "Measure", "Passed", "Spent", "parse_budget", "parse_count"]

Measure: TypeAlias = Literal["tokens", "requests", "turns", "minutes", "agents"]
MEASURES: tuple[Measure, ...] = ("tokens", "requests", "turns", "minutes", "agents")

_MOST = 10**12
_COUNT = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
_TIME = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
_NUMBER = re.compile(r"(?P<number>\d{1,15}(?:_\d{1,15})*(?:\.\d{1,6})?)(?P<unit>[kKmM]?)", re.ASCII)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
_EXAMPLE = "write e.g. tokens=200k,requests=50,turns=3,minutes=20,agents=2"
_COUNT_EXAMPLE = "write e.g. 200k or 1.5M"


class Spent(msgspec.Struct, frozen=True):
    """What was used up. `tokens` are those in and out, from a cache or not; `requests` are answers of the model.

    `agents` are sub-agents; what they used up counts in all the others, too.
    """

    tokens: int = 0
    requests: int = 0
    turns: int = 0
    minutes: float = 0.0
    agents: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.turns + other.turns,
            self.minutes + other.minutes,
            self.agents + other.agents,
        )


class Passed(msgspec.Struct, frozen=True):
    """A limit that was passed: whose it is (`run`, `day`, `lane work`, …), of what, and by how much."""

    scope: str
    measure: Measure
    used: float
    limit: float

    def __str__(self) -> str:
        return f"{self.used:,.10g} of {self.limit:,.10g} {self.measure} of the budget of the {self.scope} are used up"


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that may be used up; None is no limit. `agents` 0 allows no sub-agent."""

    tokens: _COUNT | None = None
    requests: _COUNT | None = None
    turns: _COUNT | None = None
    minutes: _TIME | None = None
    agents: Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None = None

    def __bool__(self) -> bool:
        return self != NO_BUDGET

    def limits(self) -> tuple[tuple[Measure, float], ...]:
        """The limits that there are."""
        return tuple((measure, limit) for measure in MEASURES if (limit := getattr(self, measure)) is not None)

    def passed(self, spent: Spent, scope: str = "run") -> Passed | None:
        """The first limit of which more was used than it says."""
        for measure, limit in self.limits():
            if (used := getattr(spent, measure)) > limit:
                return Passed(scope, measure, used, limit)
        return None

    def used_up(self, spent: Spent, scope: str) -> Passed | None:
        """The first limit of which nothing is left to begin anything with; sub-agents are none of it."""
        for measure, limit in self.limits():
            if measure != "agents" and (used := getattr(spent, measure)) >= limit:
                return Passed(scope, measure, used, limit)
        return None

    def joined(self, other: "Budget") -> "Budget":
        """The smaller of each limit."""
        both = {**dict(self.limits())}
        for measure, limit in other.limits():
            both[measure] = min(limit, both.get(measure, math.inf))
        return msgspec.convert(both, Budget)

    def wider(self, most: "Budget") -> Measure | None:
        """The first limit that says more than `most` allows."""
        allowed = dict(most.limits())
        return next((measure for measure, limit in self.limits() if limit > allowed.get(measure, math.inf)), None)

    def left(self, spent: Spent) -> "Budget":
        """What remains for the next piece of the work; ask `used_up` first."""
        remains = {measure: limit - getattr(spent, measure) for measure, limit in self.limits()}
        return msgspec.convert({measure: max(limit, 0) for measure, limit in remains.items()}, Budget)


NO_BUDGET = Budget()


def parse_budget(text: str) -> Budget:
    """`tokens=200k,requests=50,turns=3,minutes=20,agents=2`, any of them; UsageError for anything else.

    A number may have a `.`, `_` between its digits, and `k` or `m` (a thousand, a million) behind it.
    """
    said = dict[str, float]()
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if not equals:
            raise UsageError("budget", f"--budget {text!r}: {part.strip()!r} is not MEASURE=NUMBER", _EXAMPLE)
        if name not in MEASURES:
            raise UsageError(
                "budget", f"--budget {text!r}: there is no measure {name!r}", nearest(name, list(MEASURES))
            )
        if name in said:
            raise UsageError("budget", f"--budget {text!r}: {name} is there twice", "say it once")
        said[name] = _number(f"--budget {text!r}: {name}", number, _EXAMPLE, is_time=name == "minutes")
    try:
        return msgspec.convert(said, Budget)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        what = what.replace("`", "").replace("Expected", "expected")
        raise UsageError("budget", f"--budget {text!r}: {where.rstrip('`')}: {what}", _EXAMPLE) from error


def parse_count(text: str, flag: str) -> int:
    """A number as a budget has it, from 1 on: `200000`, `200_000`, `200k`, `1.5M`; UsageError for anything else."""
    count = int(_number(flag, text.strip(), _COUNT_EXAMPLE))
    if not 1 <= count <= _MOST:
        raise UsageError("budget", f"{flag}: {text!r} is not from 1 to {_MOST:,}", _COUNT_EXAMPLE)
    return count


def _number(where: str, number: str, way_out: str, *, is_time: bool = False) -> float:
    found = _NUMBER.fullmatch(number)
    unit = found["unit"].lower() if found else ""
    if found is None or (is_time and unit):
        raise UsageError("budget", f"{where}: {number!r} is no number", way_out)
    value = Decimal(found["number"].replace("_", "")) * _UNITS[unit]
    if is_time:
        return float(value)
    if value != int(value):
        raise UsageError("budget", f"{where}: {number!r} is no whole number", way_out)
    return int(value)
