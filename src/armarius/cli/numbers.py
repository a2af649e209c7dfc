"""Numbers as they are typed.

Owns what is taken for a number on the command line. Does not own which range an option has, nor how a count is spelt
(`armarius.budget`).
Invariant: what is let through can be compared and added up: `nan` and an endless number are none, although Python
takes them for some.
"""

import math
from typing import Any

import click

from armarius.budget import parse_count

__all__ = ["COUNT", "MOST_S", "Within"]

MOST_S = 10_000_000.0
"""Seconds that may be waited for anything: some four months."""


class _Count(click.ParamType[int]):
    """A number from 1 on, with `_`, and `k` or `m` behind it, as a budget writes it."""

    name = "number"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002  # click's signature
        return value if isinstance(value, int) else parse_count(value, param.opts[0] if param else "number")


COUNT = _Count()


class Within(click.FloatRange):
    """A number in a range. `nan` is in none: it is neither below nor above anything, so that no limit would hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}", param, ctx)
        return number
