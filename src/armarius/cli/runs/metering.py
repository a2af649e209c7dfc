"""What a run has used up, beside what it may.

Owns the shape and the words. Does not own the numbers (`dispatch.meter`).
"""

import msgspec

from armarius.budget import MEASURES, Budget, Spent

__all__ = ["MeterLine", "words_of_meter"]


class MeterLine(msgspec.Struct, frozen=True):
    """The meter of a run; a limit that is null is none."""

    used: Spent
    limit: Budget


def words_of_meter(meter: MeterLine) -> str:
    """`12,345 / 200,000 tokens · 3 requests · …`."""
    parts = list[str]()
    for measure in MEASURES:
        used, limit = getattr(meter.used, measure), getattr(meter.limit, measure)
        most = "" if limit is None else f" / {limit:,.10g}"
        shown = f"{used:,.1f}" if measure == "minutes" else f"{used:,}"
        parts.append(f"{shown}{most} {measure}")
    return "used " + " · ".join(parts)
