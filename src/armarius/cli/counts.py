"""A number on the command line, written as a budget writes it.

Owns the type of such an option. Does not own how a number is spelt (`armarius.budget`).
"""

import click

from armarius.budget import parse_count

__all__ = ["COUNT"]


class _Count(click.ParamType[int]):
    """A number from 1 on, with `_`, and `k` or `m` behind it."""

    name = "number"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002  # click's signature
        return value if isinstance(value, int) else parse_count(value, param.opts[0] if param else "number")


COUNT = _Count()
