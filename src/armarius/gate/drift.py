"""Has an adopted skill grown worse in real use?

Owns the test on uses before and after an adoption. Does not own what counts as a use that went wrong.
Invariant: no file, no clock, no chance. If no more than the tolerated share of uses goes wrong, an alarm is raised
with probability of at most one in `ALARM_AT`, however often one looks.

A use is 1 when it went wrong. Gamblers bet that more than the tolerated share goes wrong (see `decision` for why
that is a test). The tolerated share is that of before, with two standard errors for what is not known of it, and a
margin below which nobody would care.
"""

import math
from collections.abc import Sequence

import msgspec

__all__ = ["ALARM_AT", "LEAST_BEFORE", "Drift", "drift_of"]

ALARM_AT = 20
LEAST_BEFORE = 5
"""Uses before the adoption without which nothing is said."""

_MARGIN = 0.1
_DEVIATIONS = 2.0
_MOST_TOLERATED = 0.97
_SHARES = (0.25, 0.5, 0.75)
"""What the gamblers stake, as shares of the most that they could lose."""


class Drift(msgspec.Struct, frozen=True):
    """What was seen: uses and those that went wrong, before and after, the evidence, and whether it is an alarm."""

    before: int
    wrong_before: int
    after: int
    wrong_after: int
    e_value: float
    alarm: bool


def drift_of(before: Sequence[bool], after: Sequence[bool]) -> Drift:
    """The evidence; each use is whether it went wrong, those after the adoption in their order."""
    rate = (sum(before) + 1) / (len(before) + 2)
    doubt = _DEVIATIONS * math.sqrt(rate * (1 - rate) / (len(before) + 2))
    tolerated = min(rate + doubt + _MARGIN, _MOST_TOLERATED)
    purses = [1.0] * len(_SHARES)
    most = 1.0
    if len(before) >= LEAST_BEFORE:
        for wrong in after:
            stakes = [share / tolerated for share in _SHARES]
            purses = [purse * (1 + stake * (wrong - tolerated)) for purse, stake in zip(purses, stakes, strict=True)]
            most = max(most, sum(purses) / len(purses))
    return Drift(len(before), sum(before), len(after), sum(after), most, most >= ALARM_AT)
