"""Numbers as they are typed.

Owns what is no number although Python takes it for one. Does not own which range an option has.
Invariant: what is let through can be compared and added up.
"""

import math
from typing import Any

import click

__all__ = ["Within"]


class Within(click.FloatRange):
    """A number in a range. `nan` is none: it is neither below nor above anything, so that no limit would hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}", param, ctx)
        return number
