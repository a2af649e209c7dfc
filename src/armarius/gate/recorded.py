"""Recorded pairs are decided again, or for the first time, by the same gate as a night's.

Owns the form in which pairs are written down, one a line, and their answer. Does not own the test.
Invariant: nothing is guessed. A line that is no pair is refused where it stands; pairs are offered in
the order in which they stand, those of each experiment to a gate of its own.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from armarius.errors import DataError
from armarius.gate.decision import DEFAULT, Gate, Pair, Rules

__all__ = ["Decided", "Decisions", "decide_recorded"]

_LONGEST = 64 << 10
_FORM = 'a line is {"experiment","night","task","baseline","candidate"}, null for an error'


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pair: the scores of both arms, null where there was an error and no score."""

    experiment: Annotated[str, Meta(min_length=1, max_length=1_000)]
    night: Annotated[int, Meta(ge=1, le=1_000_000)]
    task: Annotated[str, Meta(min_length=1, max_length=1_000)]
    baseline: float | None
    candidate: float | None


class Decided(msgspec.Struct, frozen=True):
    """What the evidence of one experiment allows."""

    experiment: str
    decision: str
    e_value: float
    pairs_used: int
    pairs_ignored: int


class Decisions(msgspec.Struct, frozen=True):
    """The experiments in the order in which they first occur (`armarius.gate_replay.v1`)."""

    experiments: tuple[Decided, ...]
    schema: str = "armarius.gate_replay.v1"


def decide_recorded(lines: Iterable[bytes], where: str, rules: Rules = DEFAULT) -> Decisions:
    """The decision on each experiment in these lines; DataError with file and line for what is no pair."""
    gates = dict[str, Gate]()
    decode = msgspec.json.Decoder(_Row).decode
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > _LONGEST:
            raise DataError("pair", f"{where}:{number}: the line has more than {_LONGEST:,} bytes", _FORM)
        try:
            row = decode(line)
            pair = Pair(row.night, row.task, row.baseline, row.candidate)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DataError) as error:
            reason = error.message if isinstance(error, DataError) else str(error)
            raise DataError("pair", f"{where}:{number}: {reason}", _FORM) from None
        gates.setdefault(row.experiment, Gate(rules)).offer(pair)
    return Decisions(tuple(_decided(name, gate) for name, gate in gates.items()))


def _decided(experiment: str, gate: Gate) -> Decided:
    decision = gate.decision()
    return Decided(experiment, decision.answer.value, decision.e_value, decision.pairs_used, decision.pairs_ignored)
