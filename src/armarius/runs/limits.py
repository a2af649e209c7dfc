"""What limits a run besides its own budget.

Owns the values, and the refusal to begin what nothing is left for. Does not own where standing limits
come from (`standing.py`) nor keeping a run within them (`meter.py`).
Invariant: a budget that cannot be kept is refused before anything is claimed.
"""

from collections.abc import Callable, Sequence

import msgspec

from armarius.budget import Budget, Spent
from armarius.errors import Refused
from armarius.runs.request import Problem, RunRequest

__all__ = ["NO_STANDING", "Limit", "Standing", "check_budget", "is_metered"]


class Limit(msgspec.Struct, frozen=True):
    """A budget that a run shares: whose it is, and what all who share it have used up so far, this run included."""

    scope: str
    budget: Budget
    spent: Callable[[], Spent]


class Standing(msgspec.Struct, frozen=True):
    """What the owner of a runner has said for every run: limits, and where else a run may be done.

    `move` gives the request for another lane, None when there is none with room.
    """

    limits: Callable[[RunRequest], tuple[Limit, ...]] = lambda _: ()
    move: Callable[[RunRequest, Problem], RunRequest | None] = lambda _, __: None


NO_STANDING = Standing()


def is_metered(request: RunRequest, limits: Sequence[Limit]) -> bool:
    """Whether anything limits the run but its time, which its guard keeps."""
    return bool(limits) or any(measure != "minutes" for measure, _ in request.budget.limits())


def check_budget(request: RunRequest, limits: Sequence[Limit]) -> None:
    """Refuse a run for which nothing is left, and one whose use nobody could see."""
    if request.ephemeral and is_metered(request, limits):
        raise Refused(
            "budget-ephemeral",
            "an ephemeral run leaves no record of what it uses up, so no budget could be kept",
            "leave out --ephemeral, or let the budget name minutes alone",
        )
    for limit in limits:
        passed = limit.budget.used_up(limit.spent(), limit.scope)
        if passed is not None:
            raise Refused(f"budget-{passed.measure}", str(passed), "wait until there is room again, or raise it")
