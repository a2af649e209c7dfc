"""How a night's replays are divided among the candidates of one skill.

Owns who gets a round tonight and in which order, and who goes when there are too many. Does not own the replays of a
round (`custody`), nor the evidence.
Invariant: the division follows from the order in which candidates were proposed and from the evidence of earlier
nights; no score of tonight changes it, only how far it is followed. A round is a night of a candidate's own gate.

The guarantee stays with each candidate: its pairs are fresh draws given all that was seen before, of it and of
others, so its wealth is a supermartingale however rounds are dealt out, and one that gets none any more is never
adopted. Choosing between candidates by their evidence costs power at most; choosing tasks by it is never done.
"""

from collections.abc import Sequence

import msgspec

__all__ = ["MOST_OPEN", "ROUNDS_A_NIGHT", "Standing", "in_excess", "rounds_tonight"]

ROUNDS_A_NIGHT = 3
"""With one new candidate a night, and three nights for most, hardly anybody waits."""

MOST_OPEN = 6


class Standing(msgspec.Struct, frozen=True):
    """An undecided candidate and its evidence so far."""

    name: str
    e_value: float = 1.0


def in_excess(undecided: Sequence[Standing], most: int = MOST_OPEN) -> tuple[str, ...]:
    """Who goes, given all in the order in which they were proposed: the least promising, of equals the oldest."""
    order = sorted(range(len(undecided)), key=lambda place: (undecided[place].e_value, place))
    return tuple(undecided[place].name for place in order[: max(0, len(undecided) - most)])


def rounds_tonight(undecided: Sequence[Standing]) -> tuple[str, ...]:
    """Who gets a round, in this order: the oldest first, so that what was begun comes to its end.

    The night is over for all as soon as one of them is certified: once that one is adopted, the others
    stand on a text that is no more.
    """
    return tuple(one.name for one in undecided[:ROUNDS_A_NIGHT])
