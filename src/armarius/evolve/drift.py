"""Adopted skills, watched in real use.

Owns which turns of real sessions are uses of a skill, and putting them before and after its adoption. Does not own
the test (`gate.drift`) nor reading sessions (`harvest`).
Invariant: nothing is replayed and nothing is sent; a use is one that Codex itself recorded.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.evolve.episodes import Episode
from armarius.evolve.records import ProposalRow
from armarius.gate.drift import Drift, drift_of

__all__ = ["DriftLine", "drift_lines"]


class DriftLine(msgspec.Struct, frozen=True):
    """An adopted proposal, what was seen of its skill, and advice, which is empty as long as all is well."""

    proposal: str
    target: str
    seen: Drift
    advice: str


def drift_lines(adopted: Sequence[ProposalRow], episodes: Sequence[Episode]) -> tuple[DriftLine, ...]:
    """A line for each adopted proposal."""
    return tuple(_line(row, episodes) for row in adopted)


def _line(row: ProposalRow, episodes: Sequence[Episode]) -> DriftLine:
    target = Path(row.target_path)
    uses = sorted((one.at_us, one.turn_id, one.went_wrong) for one in episodes if one.at_us and _used(one, target))
    adopted_us = row.adopted_at_us or 0
    seen = drift_of(
        [wrong for at_us, _, wrong in uses if at_us < adopted_us],
        [wrong for at_us, _, wrong in uses if at_us >= adopted_us],
    )
    advice = f"it goes wrong more often than before: armarius sleep rollback {row.id}" if seen.alarm else ""
    return DriftLine(row.id, row.target_path, seen, advice)


def _used(episode: Episode, target: Path) -> bool:
    """Whether the skill was read at its place, or named; a path says more than a name."""
    for skill in episode.skills:
        if skill.path is None:
            if skill.name == target.parent.name:
                return True
        elif os.path.realpath(Path(episode.cwd or "/") / skill.path) == str(target):
            return True
    return False
