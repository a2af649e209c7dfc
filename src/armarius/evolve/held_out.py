"""A candidate before the gate.

Owns the paired replays of held-out tasks and the keeping of their scores. Does not own the
decision (gate/).
Invariant: both arms of a pair run under the same conditions, in turn; each pair is in the ledger
before it counts, so a night that is resumed offers the gate exactly what it had seen. Every run that was
begun for the night is among the results, whichever process began it. A round in which no pair got a score is none:
what the machine or the provider fails at brings no candidate nearer to its end.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

import msgspec

from armarius.clock import Clock
from armarius.evolve.bench import Bench
from armarius.evolve.records import QUERIES, NightRow, kept_pairs
from armarius.evolve.replay import Lab, Metric, key_of, request_for, trial_of
from armarius.evolve.tasks import Task
from armarius.gate.custody import Slot, examine, schedule
from armarius.gate.decision import DEFAULT, Decision, Gate, Pair
from armarius.runs.records import QUERIES as RUNS
from armarius.runs.records import RunRow
from armarius.runs.request import RunRequest
from armarius.store.database import Database

__all__ = ["Candidate", "try_candidate"]


_MOST_IN_VAIN = 2
"""After so many replays that failed twice, something is down."""


class Candidate(msgspec.Struct, frozen=True):
    """Two skill texts and the tasks that judge between them; `shown` are those the proposer saw.

    `round` is the night of its own gate that it has tonight.
    """

    id: str
    round: int
    base: bytes
    proposed: bytes
    held_out: Mapping[str, Task]
    shown: frozenset[str]
    metric: Metric = "mixed"


def try_candidate(
    candidate: Candidate, *, bench: Bench, lab: Lab, ledger: Database, clock: Clock, night: NightRow
) -> Decision:
    """Offer pairs to the gate, those that are kept first, until it decides or those of its round are used.

    The experiment of `lab` is the candidate's own: no replay of one serves another, not even of the skill before,
    as a later candidate may have been proposed because of it.
    """
    kept = kept_pairs(ledger, candidate.id)
    gate = Gate(DEFAULT)
    for row in kept:
        gate.offer(row.pair)
    tonight = schedule(lab.experiment, candidate.held_out.keys(), candidate.round, shown=candidate.shown)
    slots = tonight[sum(row.night == candidate.round for row in kept) :]
    runs = list[tuple[str, str]]()

    def keep(pair: Pair) -> None:
        baseline_run, candidate_run = runs[-1]
        ledger.execute(
            QUERIES.insert_evidence,
            course=night.experiment,
            candidate_id=candidate.id,
            night=night.number,
            task=pair.task,
            baseline=pair.baseline,
            candidate=pair.candidate,
            baseline_run=baseline_run,
            candidate_run=candidate_run,
            now_us=clock.now_us(),
        )
        bench.progress("pairs", len(runs), len(slots))

    if not gate.decided:
        with contextlib.closing(_pairs(candidate, bench, lab, slots, runs)) as pairs:
            examine(gate, pairs, keep)
    _count_all(candidate, bench, lab, tonight, ledger)
    is_over = any(row.has_score for row in kept_pairs(ledger, candidate.id) if row.night == candidate.round)
    return gate.decision(nights_over=candidate.round if is_over else candidate.round - 1)


def _pairs(
    candidate: Candidate, bench: Bench, lab: Lab, slots: Sequence[Slot], runs: list[tuple[str, str]]
) -> Generator[Pair]:
    """Both arms of each slot in schedule order; `runs` gets the two runs before their pair is yielded.

    A replay that failed is asked for once more, in its place, unless that was in vain before.
    """
    in_vain = 0
    requests = (
        request_for(lab, task, skill, arm=arm, replicate=replicate)
        for task, skill, arm, replicate in _arms(candidate, slots)
    )
    with contextlib.closing(bench.in_order(requests)) as results:
        for slot in slots:
            arms = [next(results), next(results)]
            failed = [place for place, result in enumerate(arms) if result.state == "failed"]
            if failed and in_vain < _MOST_IN_VAIN:
                asked = [
                    request_for(lab, task, skill, arm=arm, replicate=replicate)
                    for task, skill, arm, replicate in _arms(candidate, [slot])
                ]
                for place, result in zip(failed, bench.all([asked[place] for place in failed], "again"), strict=True):
                    arms[place] = result
                in_vain += any(arms[place].state == "failed" for place in failed)
            runs.append((arms[0].id, arms[1].id))
            task = candidate.held_out[slot.task]
            before, after = (trial_of(task, result, lab.look).valued(candidate.metric) for result in arms)
            yield Pair(slot.night, slot.task, before, after)


def _count_all(candidate: Candidate, bench: Bench, lab: Lab, slots: Iterable[Slot], ledger: Database) -> None:
    """Take up what an earlier process began for these slots and nobody asked for since: it was paid for."""
    counted = {result.id for result in bench.results}
    begun = list[RunRequest]()
    for task, skill, arm, replicate in _arms(candidate, slots):
        key = key_of(lab, task, skill, arm=arm, replicate=replicate)
        row = ledger.fetch_one(RUNS.run_by_paid_key, RunRow, paid_key=key)
        if row is not None and row.id not in counted:
            begun.append(request_for(lab, task, skill, arm=arm, replicate=replicate))
    with contextlib.closing(bench.in_order(begun)) as results:
        for _ in results:
            pass


def _arms(candidate: Candidate, slots: Iterable[Slot]) -> Iterator[tuple[Task, bytes, str, int]]:
    """(task, skill, arm, replicate) of both arms of each slot, in turn."""
    for slot in slots:
        for arm, skill in (("baseline", candidate.base), ("candidate", candidate.proposed)):
            yield candidate.held_out[slot.task], skill, arm, slot.replicate
